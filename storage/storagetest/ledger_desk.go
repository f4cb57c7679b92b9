package storagetest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// LedgerStore is a store that keeps a ledger, and all that a posting is checked against.
type LedgerStore interface {
	storage.Ledger
	storage.Books
	storage.Bookkeeper
	storage.Users
	storage.Clients
	storage.Sessions
	storage.Wallets
}

const (
	cny = money.Currency("CNY")

	codeInsufficient = "insufficient_funds"
	codeUnknown      = "unknown_recipient"
	codeRange        = "limit_exceeded"
	codeClosed       = "hold_closed"
	codeExceeds      = "reversal_exceeds_original"
	codeLimit        = "spending_limit"
	codeFrozen       = "wallet_frozen"
)

// desk is where the ledger suite makes users, sign-ins and postings.
type desk struct {
	LedgerStore
	now time.Time
	// app is an internal client, whose tokens deposit.
	app storage.Bearer
}

func newDesk(t *testing.T, s LedgerStore) *desk {
	t.Helper()
	d := &desk{LedgerStore: s, now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)}
	d.app = d.client(t)
	return d
}

// client makes a confidential client and a token of it.
func (d *desk) client(t *testing.T) storage.Bearer {
	t.Helper()
	c := storage.Client{
		ID: storage.ClientID("client-" + storage.NewID(d.now)), Name: "Client", Kind: storage.Confidential, Version: 1,
		CreatedAt: d.now, UpdatedAt: d.now,
	}
	if err := d.CreateClient(t.Context(), c, nil); err != nil {
		t.Fatalf("create client: %v", err)
	}
	return storage.Bearer{Client: c.ID, JTI: storage.NewID(d.now), IssuedAt: d.now}
}

// user makes a user.
func (d *desk) user(t *testing.T) storage.UserID {
	t.Helper()
	u := storage.User{ID: storage.NewUserID(), CreatedAt: d.now, UpdatedAt: d.now}
	u.Username = string(u.ID)
	if err := d.CreateUser(t.Context(), u); err != nil {
		t.Fatalf("create user: %v", err)
	}
	return u.ID
}

// wallet is a user with a token, who may hold money.
type wallet struct {
	user   storage.UserID
	bearer storage.Bearer
}

func (w wallet) account() storage.AccountID { return storage.WalletAccount(w.user, cny) }

// wallet makes a user with a sign-in and some money.
func (d *desk) wallet(t *testing.T, amount int64) wallet {
	t.Helper()
	w := wallet{user: d.user(t)}
	w.bearer = d.signIn(t, w.user)
	if amount > 0 {
		d.must(t, d.deposit(w.user, amount))
	}
	return w
}

// opening is a sign-in on a phone, where a further one ends the one before it.
func (d *desk) opening(user storage.UserID) storage.Opening {
	expires := d.now.Add(time.Hour)
	return storage.Opening{
		Session: storage.Session{
			ID: storage.SessionID(storage.NewID(d.now)), User: user, Product: "shop", Terminal: storage.Mobile,
			Mode: storage.Kickout, Client: d.app.Client, Device: storage.Device{Name: "Tom's phone"},
			CreatedAt: d.now, LastSeenAt: d.now, ExpiresAt: expires, IdleAt: expires,
			Access:      storage.Stamp{JTI: storage.NewID(d.now), KeyID: "key", IssuedAt: d.now, ExpiresAt: expires},
			AccessUntil: expires,
		},
		MaxSessions: 1, Now: d.now,
	}
}

func (d *desk) signIn(t *testing.T, user storage.UserID) storage.Bearer {
	t.Helper()
	opened, err := d.Open(t.Context(), d.opening(user))
	if err != nil {
		t.Fatalf("open session: %v", err)
	}
	return bearerOf(opened.Session)
}

func bearerOf(s storage.Session) storage.Bearer {
	return storage.Bearer{Session: s.ID, Client: s.Client, JTI: s.Access.JTI, IssuedAt: s.Access.IssuedAt}
}

// deposit asks for money from outside, under a key of its own.
func (d *desk) deposit(to storage.UserID, amount int64) storage.Posting {
	return d.posting(d.app, storage.Journal{
		Kind: storage.KindDeposit, To: to, Reference: "order 7", Amount: money.Amount{Minor: amount, Currency: cny},
	}, storage.WorldAccount(cny), storage.WalletAccount(to, cny))
}

// transfer asks for money from one wallet to another, under a key of its own.
func (d *desk) transfer(from, to wallet, amount int64) storage.Posting {
	return d.posting(from.bearer, storage.Journal{
		Kind: storage.KindTransfer, From: from.user, To: to.user, Actor: from.user, Memo: "午餐 🍜", Metadata: `{"order":"7","table":"窗"}`,
		Amount: money.Amount{Minor: amount, Currency: cny},
	}, from.account(), to.account())
}

func (d *desk) posting(b storage.Bearer, j storage.Journal, from, to storage.AccountID) storage.Posting {
	j.ID, j.CreatedAt = storage.JournalID(storage.NewID(d.now)), d.now
	j.Client, j.Session = b.Client, b.Session
	key := storage.IdempotencyKey{Client: b.Client, User: j.From, Key: "key-" + storage.NewID(d.now)}
	return storage.Posting{
		Key: key, RequestHash: hashOf(j), Bearer: b, Journal: j, From: from, To: to, MustExist: j.To,
		Success: success, Refuse: refuse, Now: d.now,
	}
}

// again is a posting as a retry of it would be: same key and request, another journal.
func (d *desk) again(p storage.Posting) storage.Posting {
	p.Journal.ID = storage.JournalID(storage.NewID(d.now))
	return p
}

// hashOf identifies a request: who pays whom how much.
func hashOf(j storage.Journal) [32]byte {
	return sha256.Sum256(fmt.Append(nil, j.Kind, "|", j.From, "|", j.To, "|", j.Amount, "|", j.Original))
}

// success has a blank in it, which a store that keeps JSON as JSON would lose.
func success(j storage.Journal) storage.Answer {
	return storage.Answer{Body: json.RawMessage(fmt.Sprintf(`{"id": %q,  "amount": %d, "memo": "午餐 \u003c"}`, j.ID, j.Amount.Minor))}
}

func refuse(err error) storage.Answer {
	code := "unexpected"
	switch {
	case errors.Is(err, storage.ErrInsufficient):
		code = codeInsufficient
	case errors.Is(err, storage.ErrNotFound):
		code = codeUnknown
	case errors.Is(err, money.ErrRange):
		code = codeRange
	case errors.Is(err, storage.ErrClosed):
		code = codeClosed
	case errors.Is(err, storage.ErrExceeds):
		code = codeExceeds
	case errors.Is(err, storage.ErrOverLimit):
		code = codeLimit
	case errors.Is(err, storage.ErrFrozen):
		code = codeFrozen
	}
	return storage.Answer{Code: code, Body: json.RawMessage(fmt.Sprintf(`{"code":  %q}`, code))}
}

// must posts what has to be posted anew.
func (d *desk) must(t *testing.T, p storage.Posting) storage.Answer {
	t.Helper()
	posted, err := d.Post(t.Context(), p)
	if err != nil || posted.Replayed || posted.Answer.Code != "" || posted.Answer.Journal != p.Journal.ID {
		t.Fatalf("post %d from %s to %s: %+v, %v", p.Journal.Amount.Minor, p.From, p.To, posted, err)
	}
	return posted.Answer
}

// refused posts what has to be refused with a code.
func (d *desk) refused(t *testing.T, p storage.Posting, code string) storage.Answer {
	t.Helper()
	posted, err := d.Post(t.Context(), p)
	if err != nil || posted.Replayed || posted.Answer.Code != code || posted.Answer.Journal != "" {
		t.Fatalf("posting %d from %s: %+v, %v; want a refusal with %s", p.Journal.Amount.Minor, p.From, posted, err, code)
	}
	return posted.Answer
}

// failed posts what has to fail with an error, and leave nothing behind.
func (d *desk) failed(t *testing.T, p storage.Posting) error {
	t.Helper()
	posted, err := d.Post(t.Context(), p)
	if err == nil {
		t.Fatalf("posting %d from %s: %+v, want an error", p.Journal.Amount.Minor, p.From, posted)
	}
	if _, err := d.Answered(t.Context(), p.Key, p.RequestHash); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("after a posting that failed its key gives %v, want ErrNotFound", err)
	}
	if _, err := d.Journal(t.Context(), p.Journal.ID); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("after a posting that failed its journal gives %v, want ErrNotFound", err)
	}
	return err
}

// fence reads the fence of an account, under a key that was never answered.
func (d *desk) fence(t *testing.T, id storage.AccountID) (int64, error) {
	t.Helper()
	f, err := d.Footing(t.Context(), storage.IdempotencyKey{Client: d.app.Client, Key: "nobody's"}, [32]byte{}, id)
	if f.Answer != nil {
		t.Errorf("a key that nobody used has the answer %+v", f.Answer)
	}
	return f.Fence, err
}

// balance is what a wallet holds; 0 if it has no account.
func (d *desk) balance(t *testing.T, w wallet) int64 {
	t.Helper()
	return d.state(t, w).Balance
}

func (d *desk) state(t *testing.T, w wallet) storage.Account {
	t.Helper()
	accounts, err := d.Accounts(t.Context(), w.user)
	if err != nil {
		t.Fatalf("accounts: %v", err)
	}
	for _, a := range accounts {
		if a.Currency == cny {
			return a
		}
	}
	return storage.Account{}
}

// prove recomputes the books from their entries and fails the test where they do not add up.
func (d *desk) prove(t *testing.T) {
	t.Helper()
	if err := d.ReadBooks(context.WithoutCancel(t.Context()), func(b storage.Books) error { return proof(t.Context(), b) }); err != nil {
		t.Errorf("the books do not add up: %v", err)
	}
}

// chain is an account as its entries so far say.
type chain struct{ balance, entries int64 }

// proof says what is wrong with the books, if anything.
func proof(ctx context.Context, b storage.Books) error {
	chains := map[storage.AccountID]chain{}
	journals, posted, answered := map[storage.JournalID]bool{}, map[storage.JournalID]bool{}, map[storage.JournalID]bool{}
	err := b.AllEntries(ctx, func(e storage.Entry) error {
		c := chains[e.Account]
		c.balance, c.entries = c.balance+e.Amount, c.entries+1
		if e.Sequence != c.entries || e.BalanceAfter != c.balance {
			return fmt.Errorf("entry %d of %s leaves %d; its chain is at %+v", e.Sequence, e.Account, e.BalanceAfter, c)
		}
		chains[e.Account] = c
		return nil
	})
	if err != nil {
		return err
	}
	sum, held := int64(0), map[storage.AccountID]int64{}
	err = b.AllHolds(ctx, func(h storage.Hold) error {
		if h.State == storage.HoldOpen {
			held[h.Account] += h.Amount.Minor
		}
		return soundHold(h)
	})
	if err != nil {
		return err
	}
	err = b.AllAccounts(ctx, func(a storage.Account) error {
		sum += a.Balance
		if c := chains[a.ID]; c.balance != a.Balance || c.entries != a.Version {
			return fmt.Errorf("account %+v, but its entries say %+v", a, c)
		}
		if a.Held != held[a.ID] {
			return fmt.Errorf("account %+v, but its holds say %d", a, held[a.ID])
		}
		if a.User != "" && a.Available() < 0 {
			return fmt.Errorf("account %s is overdrawn: %d", a.ID, a.Available())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if sum != 0 {
		return fmt.Errorf("all balances together are %d", sum)
	}
	from, err := b.AnswersFrom(ctx)
	if err != nil {
		return err
	}
	given, taken := map[storage.JournalID]int64{}, map[storage.JournalID]int64{}
	err = b.AllJournals(ctx, func(j storage.Journal, entries []storage.Entry) error {
		given[j.ID] = j.Amount.Minor
		if j.Original != "" {
			taken[j.Original] += j.Amount.Minor
		}
		journals[j.ID] = true
		posted[j.ID] = j.CreatedAt.Before(from) // its answer may be trimmed
		if !j.Kind.Moves() && len(entries) == 0 {
			return nil
		}
		if !j.Kind.Moves() || len(entries) != 2 || entries[0].Amount+entries[1].Amount != 0 || max(entries[0].Amount, entries[1].Amount) != j.Amount.Minor {
			return fmt.Errorf("journal %+v has entries %+v", j, entries)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, amount := range taken {
		if amount > given[id] {
			return fmt.Errorf("%d of the %d of journal %s were moved back, or taken out of it", amount, given[id], id)
		}
	}
	err = b.AllAnswers(ctx, func(k storage.IdempotencyKey, a storage.Answer) error {
		if (a.Journal == "") == (a.Code == "") || a.Journal != "" && (!journals[a.Journal] || answered[a.Journal]) {
			return fmt.Errorf("answer %+v to %+v names no journal of its own", a, k)
		}
		posted[a.Journal], answered[a.Journal] = true, true
		return nil
	})
	if err == nil && len(journals) > 0 {
		for id := range journals {
			if !posted[id] {
				return fmt.Errorf("journal %s answers no key", id)
			}
		}
	}
	return err
}

// soundHold says what is wrong with a hold by itself, if anything.
func soundHold(h storage.Hold) error {
	open := h.State == storage.HoldOpen
	captured := h.State == storage.HoldCaptured
	if open != (h.ClosedAt == nil) || open != (h.ClosedBy == "") || captured != (h.Captured > 0) || h.Captured > h.Amount.Minor {
		return fmt.Errorf("hold %+v", h)
	}
	return nil
}
