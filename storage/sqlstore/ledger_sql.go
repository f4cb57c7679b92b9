package sqlstore

import (
	"strconv"
	"strings"
)

// The statements of the ledger. A part in braces is repeated by [spread]: {?|, } becomes "?", "?, ?"
// and so on, as long as the list it stands for.

const (
	accountColumns = `account_id, user_id, currency, balance, held, version, fence, created_at, spent, spent_day, limit_single, limit_daily, frozen_at`
	journalColumns = `journal_id, kind, from_user, to_user, amount, currency, memo, reference, client_id, actor, session_id, created_at, original_id, metadata`
	entryColumns   = `account_id, sequence, journal_id, kind, amount, currency, balance_after, counterparty, memo, created_at`
	holdColumns    = `hold_id, account_id, from_user, to_user, amount, currency, state, captured, closed_by, created_at, expires_at, closed_at`
	answerColumns  = `client_id, user_id, idem_key, journal_id, code, body`
)

// bearer statements also count those of the users that must exist: a subquery of its own, which takes
// no lock, rather than a round trip of its own. The client of a session is read in the same way.
const (
	lockSessions = `SELECT (SELECT COUNT(*) FROM users WHERE user_id IN ({?|, })),` +
		` (SELECT disabled_at FROM clients WHERE client_id = ?), (SELECT tokens_from FROM clients WHERE client_id = ?),` +
		` session_id, expires_at, idle_at, ended_at, end_reason, end_actor, end_terminal, end_device` +
		` FROM sessions WHERE session_id IN ({?|, }) ORDER BY session_id`
	lockClients = `SELECT (SELECT COUNT(*) FROM users WHERE user_id IN ({?|, })),` +
		` (SELECT COUNT(*) FROM revoked_tokens WHERE token_id IN ({?|, })),` +
		` client_id, disabled_at, tokens_from FROM clients WHERE client_id IN ({?|, }) ORDER BY client_id`
	findRevoked = `SELECT token_id, revoked_at, actor FROM revoked_tokens WHERE token_id IN ({?|, })`
	findUsers   = `SELECT user_id FROM users WHERE user_id IN ({?|, })`

	lockAccounts  = `SELECT ` + accountColumns + ` FROM accounts WHERE account_id IN ({?|, }) ORDER BY account_id`
	insertAccount = ` accounts (account_id, user_id, currency, balance, held, version, fence, created_at, spent, spent_day, frozen_at)` +
		` VALUES (?, ?, ?, 0, 0, 0, 0, ?, 0, 0, ?)`

	insertAnswers = `INSERT INTO answers (client_id, user_id, idem_key, request_hash, journal_id, code, body, created_at)` +
		` VALUES {(?, ?, ?, ?, ?, ?, ?, ?)|, }`
	insertJournals = `INSERT INTO journals (` + journalColumns + `) VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)|, }`
	insertUnsealed = `INSERT INTO unsealed (journal_id, after_sequence, after_fence) VALUES {(?, ?, ?)|, }`
	insertEntries  = `INSERT INTO entries (` + entryColumns + `) VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)|, }`

	// movedRow and movedRows are what accounts are moved by, as rows of a subquery; the first names the columns. Balances
	// move on condition of what was locked and of what is available, and the caller counts the
	// rows: neither a lost lock nor a fault above takes a wallet below zero. What is held is part of that, since a hold
	// leaves the version as it is.
	//
	// The work grows with the rows. A CASE for each column, with a branch for each account, was rejected: it grows with
	// their square, and costs a server 1.6 times this for 128 accounts.
	movedRow = `SELECT ? AS moved_id, ? AS moved, ? AS steps, ? AS debits, ? AS reserved, ? AS was, ? AS was_held,` +
		` ? AS spends, ? AS spends_on`
	movedRows = movedRow + `{ UNION ALL SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?|}`
	moveSet   = `balance = balance + moved, version = version + steps, fence = fence + debits, held = held + reserved,` +
		` spent = spends, spent_day = spends_on`
	moveWhere = `account_id = moved_id AND version = was AND held = was_held AND (user_id = '' OR balance + moved >= held + reserved)`
)

// Holds are locked after their accounts, whose locks already keep two of their captures apart. Closing
// one is conditional, and its caller counts the rows. The sum of a journal's reversals so far is the last
// of them: its accounts are locked, so nobody adds to it.
const (
	insertHolds = `INSERT INTO holds (` + holdColumns + `) VALUES {(?, ?, ?, ?, ?, ?, 'open', 0, '', ?, ?, NULL)|, }`
	lockHolds   = `SELECT ` + holdColumns + ` FROM holds WHERE hold_id IN ({?|, }) ORDER BY hold_id`
	closeHolds  = `UPDATE holds SET state = CASE hold_id {WHEN ? THEN ?| } END, captured = CASE hold_id {WHEN ? THEN ?| } END,` +
		` closed_by = CASE hold_id {WHEN ? THEN ?| } END, closed_at = CASE hold_id {WHEN ? THEN ?| } END` +
		` WHERE hold_id IN ({?|, }) AND state = 'open'`
	readHold = `SELECT ` + holdColumns + ` FROM holds WHERE hold_id = ?`
	dueHolds = `SELECT ` + holdColumns + ` FROM holds WHERE state = 'open' AND expires_at <= ? ORDER BY expires_at LIMIT ?`

	readOriginals = `SELECT ` + journalColumns + `, (SELECT COALESCE(MAX(total), 0) FROM reversals WHERE original_id = journal_id)` +
		` FROM journals WHERE journal_id IN ({?|, })`
	insertReversals = `INSERT INTO reversals (original_id, total, reversal_id) VALUES {(?, ?, ?)|, }`
)

const (
	// readAnswers looks many keys up, each by primary key: a list of rows, (a, b) IN ((?, ?)), is a scan on
	// some engines.
	readAnswers = `{SELECT client_id, user_id, idem_key, journal_id, code, body, request_hash FROM answers` +
		` WHERE user_id = ? AND client_id = ? AND idem_key = ?| UNION ALL }`
	readWallets = `SELECT ` + accountColumns + ` FROM accounts WHERE user_id = ? ORDER BY currency LIMIT ?`
	readJournal = `SELECT ` + journalColumns + ` FROM journals WHERE journal_id = ?`
	readEntries = `SELECT ` + entryColumns + ` FROM entries WHERE account_id = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?`
)

// spread repeats each part in braces as often as its count says, in order; a part is {item|separator}.
func spread(statement string, counts ...int) string {
	var b strings.Builder
	for _, n := range counts {
		before, rest, _ := strings.Cut(statement, "{")
		part, after, found := strings.Cut(rest, "}")
		item, separator, parted := strings.Cut(part, "|")
		if !found || !parted || n < 1 {
			panic("sqlstore: statement has no part for a list of " + strconv.Itoa(n) + ": " + statement)
		}
		b.WriteString(before)
		b.WriteString(item)
		for range n - 1 {
			b.WriteString(separator)
			b.WriteString(item)
		}
		statement = after
	}
	b.WriteString(statement)
	return b.String()
}
