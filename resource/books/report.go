package books

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// MaxFaults is how many faults a report names; the rest are counted.
const MaxFaults = 100

// Check names what was found wrong.
type Check string

// The checks, each with what it found wrong.
const (
	// AccountName: an account is not named after its owner and currency.
	AccountName Check = "account_name"
	// AccountMissing: there are entries on an account that is not there.
	AccountMissing Check = "account_missing"
	// AccountBalance: an account's balance is not that of its entries.
	AccountBalance Check = "account_balance"
	// AccountVersion: an account's version is not the number of its last entry.
	AccountVersion Check = "account_version"
	// Overdraft: a wallet, or what is available in it, is or was below zero.
	Overdraft Check = "overdraft"
	// EntrySequence: entries are not numbered from 1 without a gap.
	EntrySequence Check = "entry_sequence"
	// EntryBalance: an entry's balance is not the one before plus its amount.
	EntryBalance Check = "entry_balance"
	// EntryCurrency: an entry is in another currency than its account.
	EntryCurrency Check = "entry_currency"
	// JournalMissing: an entry belongs to a journal that is not there.
	JournalMissing Check = "journal_missing"
	// JournalUnbalanced: a journal does not sum to zero.
	JournalUnbalanced Check = "journal_unbalanced"
	// JournalEntries: a journal's entries are not those that it calls for.
	JournalEntries Check = "journal_entries"
	// HoldMismatch: a hold that does not add up.
	HoldMismatch Check = "hold_mismatch"
	// ReversalMismatch: more of a journal is moved back than was moved.
	ReversalMismatch Check = "reversal_mismatch"
	// OriginMismatch: a hold or the record of a reversal says something else than its journal.
	OriginMismatch Check = "origin_mismatch"
	// BlockChain: a block does not follow from the one before it.
	BlockChain Check = "block_chain"
	// BlockHash: the hash of a block is not that of what is in it.
	BlockHash Check = "block_hash"
	// SealSequence: a seal is not at its place in its block.
	SealSequence Check = "seal_sequence"
	// SealMismatch: a journal or its entries are not as they were sealed.
	SealMismatch Check = "seal_mismatch"
	// SealMissing: a journal is neither sealed nor does it wait to be.
	SealMissing Check = "seal_missing"
	// HeadMismatch: a block is not the one that was written down.
	HeadMismatch Check = "head_mismatch"
	// AnswerMissing: a journal was posted that no recorded answer tells of.
	AnswerMissing Check = "answer_missing"
	// AnswerMismatch: a recorded answer tells something else than its journal, or two tell of one.
	AnswerMismatch Check = "answer_mismatch"
	// TrialBalanceOff: the accounts of a currency do not sum to zero.
	TrialBalanceOff Check = "trial_balance"
)

// Fault is one thing that is wrong, and where.
type Fault struct {
	Check    Check             `json:"check"`
	Account  storage.AccountID `json:"account,omitempty"`
	Sequence int64             `json:"sequence,omitempty"`
	Journal  storage.JournalID `json:"journal,omitempty"`
	Block    int64             `json:"block,omitempty"`
	// Key names an idempotency record: client, user and key.
	Key      string         `json:"key,omitempty"`
	Currency money.Currency `json:"currency,omitempty"`
	Detail   string         `json:"detail"`
}

// String tells a fault in one line.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(string(f.Check))
	for _, part := range []struct{ name, value string }{
		{"account", string(f.Account)}, {"journal", string(f.Journal)}, {"key", f.Key}, {"currency", string(f.Currency)},
	} {
		if part.value != "" {
			b.WriteString(" " + part.name + " " + part.value)
		}
	}
	if f.Block != 0 {
		b.WriteString(" block " + strconv.FormatInt(f.Block, 10))
	}
	if f.Sequence != 0 {
		b.WriteString(" entry " + strconv.FormatInt(f.Sequence, 10))
	}
	return b.String() + ": " + f.Detail
}

// Line is one line of the trial balance.
type Line struct {
	Currency money.Currency `json:"currency"`
	// Class is "wallet" for what users own and "world" for the other side of it.
	Class    string `json:"class"`
	Accounts int64  `json:"accounts"`
	Balance  int64  `json:"balance"`
}

// Report is what was read and what was found.
type Report struct {
	Accounts int64 `json:"accounts"`
	Entries  int64 `json:"entries"`
	Journals int64 `json:"journals"`
	Answers  int64 `json:"answers"`
	Holds    int64 `json:"holds"`
	// Blocks and Sealed are the blocks that were recomputed, and the journals in them; Waiting are journals that
	// wait to be sealed, and Unenrolled those of which the sealer has not taken note yet.
	Blocks     int64 `json:"blocks"`
	Sealed     int64 `json:"sealed"`
	Waiting    int64 `json:"waiting"`
	Unenrolled int64 `json:"unenrolled"`
	// Head is the last block; nil if there is none. If nothing is wrong, it is where a later run can go on.
	Head *Anchor `json:"head"`
	// UnknownHolds is how many accounts have holds of which it is not recorded when they were made, so that only
	// what is held now was checked.
	UnknownHolds int64 `json:"unknown_holds"`
	// TrialBalance sums to zero per currency, if all is well.
	TrialBalance []Line `json:"trial_balance"`
	// Faults are the first of FaultCount.
	Faults     []Fault `json:"faults"`
	FaultCount int64   `json:"fault_count"`
}

// OK says that nothing is wrong.
func (r *Report) OK() bool { return r.FaultCount == 0 }

func (r *Report) fault(f Fault, format string, args ...any) {
	r.FaultCount++
	if len(r.Faults) < MaxFaults {
		f.Detail = fmt.Sprintf(format, args...)
		r.Faults = append(r.Faults, f)
	}
}
