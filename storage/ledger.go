package storage

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tallystick/tallystick/storage/money"
)

// JournalKind says what a journal is for.
type JournalKind string

// The kinds of journal.
const (
	KindTransfer   JournalKind = "transfer"
	KindDeposit    JournalKind = "deposit"
	KindWithdrawal JournalKind = "withdrawal"
	// KindReversal moves back what its Original moved, or a part of it.
	KindReversal JournalKind = "reversal"
	// KindHold reserves an amount; its ID is that of the [Hold]. KindCapture moves an amount out of the
	// hold that is its Original and lets go of the rest; KindVoid and KindExpiry let go of all of it.
	KindHold    JournalKind = "hold"
	KindCapture JournalKind = "capture"
	KindVoid    JournalKind = "void"
	KindExpiry  JournalKind = "expiry"
)

// Moves says whether journals of the kind move money. Those that do have two entries, those that only
// reserve it or let it go have none.
func (k JournalKind) Moves() bool { return k != KindHold && k != KindVoid && k != KindExpiry }

// SystemClient is the client of journals that the ledger makes by itself. No client has such a name.
const SystemClient ClientID = "(system)"

// WalletAccount names the wallet of a user in a currency.
func WalletAccount(user UserID, currency money.Currency) AccountID {
	return AccountID("user/" + string(user) + "/" + string(currency))
}

// WorldAccount names the system account through which money of a currency enters and leaves; its
// balance is the negative of all that users own. In the order of account names, which is the order
// in which rows are locked, it comes after every wallet.
func WorldAccount(currency money.Currency) AccountID {
	return AccountID("world/cash/" + string(currency))
}

// Account is a balance. Amounts are in minor units and signed; entries above zero raise it.
type Account struct {
	ID       AccountID
	User     UserID // empty for system accounts
	Currency money.Currency
	Balance  int64
	Held     int64
	// Version is the sequence number of the last entry; 0 for an account that has none.
	Version int64
	// Fence grows with every journal that takes money out or reserves it.
	Fence     int64
	CreatedAt time.Time
	// Spent is what was spent on SpentDay, a [Day]; see [Limits], which are the account's own.
	Spent, SpentDay int64
	Limits          Limits
	// FrozenAt is since when nothing leaves the account; nil if it is not frozen.
	FrozenAt *time.Time
}

// Available is what the owner can spend.
func (a *Account) Available() int64 { return a.Balance - a.Held }

// Journal is a set of entries that sum to zero. Journals and entries are inserted and never changed.
type Journal struct {
	ID        JournalID
	Kind      JournalKind
	From      UserID // empty where the money comes from outside
	To        UserID // empty where it goes outside
	Amount    money.Amount
	Memo      string // at most 256 bytes
	Reference string // at most 128 bytes
	// Metadata is what the client says of it: a JSON object of strings without spaces between them, its names in order,
	// at most 2048 bytes; empty for none.
	Metadata string
	// Original is the journal that a reversal undoes, or the hold that a capture, void or expiry closes;
	// empty for other kinds.
	Original JournalID
	// Client, Actor and Session say whose token moved the money.
	Client    ClientID
	Actor     UserID // empty for internal apps
	Session   SessionID
	CreatedAt time.Time
}

// HoldState is where a hold stands.
//
//	open ──capture──► captured
//	  ├────void─────► voided
//	  └───expiry────► expired
type HoldState string

// The states of a hold.
const (
	HoldOpen     HoldState = "open"
	HoldCaptured HoldState = "captured"
	HoldVoided   HoldState = "voided"
	HoldExpired  HoldState = "expired"
)

// Hold is money reserved in a wallet. Memo, reference and who made it stand on the journal of its ID,
// who closed it on that of ClosedBy.
type Hold struct {
	ID      JournalID
	Account AccountID
	From    UserID
	To      UserID // who gets what is captured; empty where it goes outside
	Amount  money.Amount
	State   HoldState
	// Captured is how much was taken, and ClosedBy by which journal; 0 and empty while it is open.
	Captured  int64
	ClosedBy  JournalID
	CreatedAt time.Time
	// ExpiresAt is from when on it cannot be captured any more.
	ExpiresAt time.Time
	ClosedAt  *time.Time
}

// Entry is one line of a journal on one account.
type Entry struct {
	Account AccountID
	// Sequence numbers the entries of an account from 1 without gaps.
	Sequence     int64
	Journal      JournalID
	Kind         JournalKind
	Amount       int64 // below zero for money out
	Currency     money.Currency
	BalanceAfter int64
	// Counterparty is the user on the other side; empty for the system.
	Counterparty UserID
	Memo         string
	CreatedAt    time.Time
}

// IdempotencyKey identifies a write. Client and User are those of the token, User empty for
// internal apps.
type IdempotencyKey struct {
	Client ClientID
	User   UserID
	Key    string // 1 to 64 printable ASCII characters
}

// Answer is what was answered to a write, as it is replayed: either a Journal or the Code of a
// refusal.
type Answer struct {
	Journal JournalID
	// Code is the stable code of the refusal; empty for success.
	Code string
	// Body is the answer as JSON, at most 8 KiB, replayed byte for byte.
	Body json.RawMessage
}

// Posting asks for one journal.
type Posting struct {
	Key IdempotencyKey
	// RequestHash identifies the request that came under the key.
	RequestHash [32]byte
	// Bearer is checked strictly: inside the posting transaction, with its session locked.
	Bearer  Bearer
	Journal Journal
	// From and To are the accounts; Journal.Amount moves from one to the other, or is held on From to be
	// moved to the other. They differ.
	From, To AccountID
	// Rest asks a reversal for what is left of its Original: Journal.Amount has a currency and no amount, which is
	// decided in the transaction and stands on the journal that Success gets. Nothing left is ErrExceeds.
	Rest bool
	// HoldUntil is when a hold expires, after Now; zero for other kinds.
	HoldUntil time.Time
	// MustExist, if not empty, is a user without whom the posting is refused with ErrNotFound.
	MustExist UserID
	// Limits are those of the configuration, for an account that has none of its own.
	Limits Limits
	// Fence, if not nil, is the fence of From as read under the lock; another one there gives ErrStale.
	Fence *int64
	// Success renders the answer of a posted journal, as it is stored; Refuse that of a refusal, for
	// which it is given ErrInsufficient, ErrNotFound, ErrClosed, ErrExceeds, ErrFrozen, a [*LimitError] or [money.ErrRange]. The store sets the Journal of
	// the answer; that of a refusal needs a Code. Both must be pure: they may be called more than once. One
	// that panics fails its posting.
	Success func(Journal) Answer
	Refuse  func(error) Answer
	Now     time.Time
}

// Posted is the outcome of a posting.
type Posted struct {
	Answer Answer
	// Replayed says that the key was answered before and that this is that answer.
	Replayed bool
}

// Footing is what a posting under a lock starts from.
type Footing struct {
	// Answer is what was answered under the key; nil if nothing was.
	Answer *Answer
	// Fence is that of the account; 0 if there is no such account yet.
	Fence int64
}

// MaxExpire is how many holds [Ledger.ExpireHolds] lets go of at once.
const MaxExpire = 100

// Ledger keeps the books. See the package's doc for what it promises about crashes.
type Ledger interface {
	// Post moves money, or records why not, once per key. In one transaction: the bearer is checked
	// with its row locked; the account rows are locked in the order of their names (those that are missing
	// are made at zero before, in a transaction of their own); the amount is taken only if From has it available (system accounts may go below
	// zero); the journal, its entries, the balances and the answer under the key are written.
	//
	// A key answered before gives that answer, with Replayed, if the request hash is the same, and
	// ErrKeyReused if not. ErrInsufficient, ErrNotFound (of MustExist) and [money.ErrRange] (a balance
	// would be beyond ±[money.Max]) are refusals of business: their answer is recorded under the key and
	// returned with a nil error. [*EndedError], ErrStale (fence) and ErrUnavailable record nothing: a
	// bearer that has ended is refused even where the key was answered. After ErrUnavailable the outcome
	// is resolved by posting again with the same key. Of concurrent postings with one key, one happens
	// and the others replay it.
	//
	// What a journal does is told by its kind:
	//
	//   - A transfer, deposit or withdrawal moves its amount.
	//   - A reversal moves it from who got it with the Original to who gave it: a transfer, deposit,
	//     withdrawal or capture. All reversals of one journal together never exceed it: ErrExceeds, also
	//     of any number at once. ErrNotFound if there is no such journal.
	//   - A hold reserves it on From until HoldUntil: Held grows, Balance does not change.
	//   - A capture moves it, all or a part, out of the hold that is its Original, and lets go of the rest;
	//     a void lets go of all of it, which is its amount. ErrNotFound if there is no such hold, ErrClosed
	//     if it is closed or past its time, ErrExceeds above what is held. Of any number of captures,
	//     voids and expiries of a hold exactly one happens.
	//
	// Out of a frozen account nothing is taken or held (ErrFrozen), but for a reversal without an Actor, which is
	// an internal app's; money comes in, and voids and expiries go on. What a transfer or hold spends is bounded by
	// the limits of its account: a [*LimitError]. Both are exact, with any number of processes: they stand on the account
	// row, which is locked.
	//
	// ErrClosed, ErrExceeds, ErrFrozen and ErrOverLimit, and ErrNotFound of an Original, are refusals of business as well.
	//
	// A posting that no caller may make (an amount below 1 or above [money.Max], an account moving money
	// to itself, an account of another user or currency than the journal says, an Original of other parties, an expiry) is
	// an internal error, and nothing is recorded.
	//
	// A sign-in that ends the bearer's session and has returned before Post is called is always seen.
	// Available money never falls below zero, with or without a lock held by the caller.
	Post(ctx context.Context, p Posting) (Posted, error)

	// Answered looks a key up: the recorded answer, ErrNotFound, or ErrKeyReused.
	Answered(ctx context.Context, key IdempotencyKey, requestHash [32]byte) (Answer, error)

	// Footing looks a key up and reads the fence of an account, both at one instant: what a posting under
	// a lock starts from. ErrKeyReused as Answered gives it; a key without an answer is no error.
	Footing(ctx context.Context, key IdempotencyKey, requestHash [32]byte, id AccountID) (Footing, error)

	// Accounts returns the accounts of a user by currency. At most one for each configured currency.
	Accounts(ctx context.Context, user UserID) ([]Account, error)

	// Entries returns up to limit entries of an account with a sequence below before (0: the newest),
	// newest first.
	Entries(ctx context.Context, id AccountID, before int64, limit int) ([]Entry, error)

	// Journal gives ErrNotFound.
	Journal(ctx context.Context, id JournalID) (Journal, error)

	// Hold returns a hold as it stands; ErrNotFound. One that is past its time is open until it was
	// expired, and can be neither captured nor voided.
	Hold(ctx context.Context, id JournalID) (Hold, error)

	// ExpireHolds lets go of up to limit (at most [MaxExpire]) holds that are open and past their time at
	// now, oldest first, each with a journal of [SystemClient], and returns how many; fewer than limit says that
	// no more are due. Any number of processes may call it at once: each hold expires once.
	ExpireHolds(ctx context.Context, now time.Time, limit int) (int, error)
}

// Books reads the ledger from end to end, to prove it, in pages of bounded size. The functions are
// called in order and must not write; an error of theirs ends the reading and is returned as it is.
//
// Each page is read at its own moment, so what is read while others write does not add up;
// [Bookkeeper.ReadBooks] gives Books that do.
type Books interface {
	// AllAccounts calls each for every account, in the order of IDs.
	AllAccounts(ctx context.Context, each func(Account) error) error
	// AllEntries calls each for every entry, by account, then sequence.
	AllEntries(ctx context.Context, each func(Entry) error) error
	// AllJournals calls each for every journal with the entries it has, by account, in the order of IDs.
	// An entry whose journal is missing comes in AllEntries alone.
	AllJournals(ctx context.Context, each func(Journal, []Entry) error) error
	// JournalsFrom is AllJournals from an ID on.
	JournalsFrom(ctx context.Context, from JournalID, each func(Journal, []Entry) error) error
	// AllHolds calls each for every hold, in the order of IDs.
	AllHolds(ctx context.Context, each func(Hold) error) error
	// AllAnswers calls each for every idempotency record.
	AllAnswers(ctx context.Context, each func(IdempotencyKey, Answer) error) error
	// AnswersFrom returns the time before which answers have been trimmed: a journal older than that may
	// have none. The zero time if that never happened.
	AnswersFrom(ctx context.Context) (time.Time, error)
	// CountEntries estimates the work ahead, for progress.
	CountEntries(ctx context.Context) (int64, error)

	OriginBooks
	ChainBooks
}

// Bookkeeper opens the books.
type Bookkeeper interface {
	// ReadBooks calls f with Books that all show one instant, whatever is written meanwhile, and delays
	// no writer. The Books are good until f returns; its error is returned as it is.
	ReadBooks(ctx context.Context, f func(Books) error) error
}

// Lease is a lock that is held.
type Lease interface {
	// Release lets go. It outlives the cancellation of ctx and may be called more than once.
	Release(ctx context.Context)
}

// Locker keeps one user's writes in order.
type Locker interface {
	// Lock waits up to wait for the user's lock, which frees itself after a while if its holder dies.
	// ErrBusy if it was not had in time, ErrUnavailable if there is no telling.
	Lock(ctx context.Context, user UserID, wait time.Duration) (Lease, error)
}
