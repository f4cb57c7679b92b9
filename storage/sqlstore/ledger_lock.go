package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// bearers are the postings of a batch by whose rows answer for them.
type bearers struct {
	// sessions are those of users, by the client that presented the token: it has to stand as well.
	sessions map[storage.ClientID]map[storage.SessionID][]*item
	clients  map[storage.ClientID][]*item
	// wanted are the users that must exist. exist is how many of them do, as counted by the last
	// statement that found a bearer.
	wanted map[storage.UserID]bool
	exist  int
}

func gather(items []*item) *bearers {
	by := &bearers{
		sessions: map[storage.ClientID]map[storage.SessionID][]*item{},
		clients:  map[storage.ClientID][]*item{},
		wanted:   map[storage.UserID]bool{},
	}
	for _, it := range items {
		if it.system {
			continue
		}
		if it.MustExist != "" {
			by.wanted[it.MustExist] = true
		}
		client := it.Bearer.Client
		if it.Bearer.Session == "" {
			by.clients[client] = append(by.clients[client], it)
			continue
		}
		if by.sessions[client] == nil {
			by.sessions[client] = map[storage.SessionID][]*item{}
		}
		by.sessions[client][it.Bearer.Session] = append(by.sessions[client][it.Bearer.Session], it)
	}
	return by
}

// checkBearers is the strict check: it locks the rows of the sessions and clients whose tokens came with
// the postings, in share mode until the commit, and refuses those that have ended. Whoever ends one
// of them comes before this, and is seen, or waits for the commit, and comes after it.
//
// The client of a session's token is read without a lock: a disabling that has returned is seen. A
// lock would make the row of a busy client everybody's queue where share mode is not to be had (TiDB).
func (b *batch) checkBearers(ctx context.Context, tx *sql.Tx) error {
	by := gather(b.pending())
	for _, client := range slices.Sorted(maps.Keys(by.sessions)) {
		if err := b.checkSessions(ctx, tx, by, client); err != nil {
			return fmt.Errorf("lock sessions: %w", err)
		}
	}
	if len(by.clients) > 0 {
		if err := b.checkClients(ctx, tx, by); err != nil {
			return fmt.Errorf("lock clients: %w", err)
		}
	}
	if err := b.findUsers(ctx, tx, by); err != nil {
		return fmt.Errorf("find users: %w", err)
	}
	return nil
}

func (b *batch) checkSessions(ctx context.Context, tx *sql.Tx, by *bearers, client storage.ClientID) error {
	items := maps.Clone(by.sessions[client])
	args := append(sortedArgs(by.wanted), client, client)
	rows, err := tx.QueryContext(ctx, spread(lockSessions, max(len(by.wanted), 1), len(items))+b.d.ForShare,
		append(args, sortedArgs(items)...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			s             storage.Session
			c             clientState
			expires, idle int64
			end           endState
		)
		if err := rows.Scan(&by.exist, &c.disabledAt, &c.tokensFrom, &s.ID, &expires, &idle,
			&end.at, &end.reason, &end.actor, &end.terminal, &end.device); err != nil {
			return err
		}
		s.ExpiresAt, s.IdleAt, s.End = instant(expires), instant(idle), end.end()
		for _, it := range items[s.ID] {
			it.ended(s.EndedAt(it.Now))
			it.ended(c.end(it.Bearer))
		}
		delete(items, s.ID)
	}
	endUnknown(items)
	return rows.Err()
}

// checkClients also counts how many of the tokens were revoked. As a rule none was, and the count says
// so. A revocation that has returned is seen; its row is locked as little as a user's is.
func (b *batch) checkClients(ctx context.Context, tx *sql.Tx, by *bearers) error {
	tokens := tokensOfClients(by)
	revoked, err := b.lockClients(ctx, tx, by, sortedArgs(tokens))
	if err != nil || revoked == 0 {
		return err
	}
	ends, err := collect(ctx, tx, scanRevoked, spread(findRevoked, max(len(tokens), 1)), sortedArgs(tokens)...)
	if err != nil {
		return fmt.Errorf("find revoked tokens: %w", err)
	}
	for _, r := range ends {
		for _, it := range tokens[r.token] {
			it.ended(&r.end)
		}
	}
	return nil
}

// tokensOfClients are the postings that came with tokens of client credentials, by their jti.
func tokensOfClients(by *bearers) map[string][]*item {
	tokens := map[string][]*item{}
	for _, items := range by.clients {
		for _, it := range items {
			tokens[it.Bearer.JTI] = append(tokens[it.Bearer.JTI], it)
		}
	}
	return tokens
}

// revokedToken is a token that was revoked, and how.
type revokedToken struct {
	token string
	end   storage.End
}

func scanRevoked(row scanner) (r revokedToken, err error) {
	var at int64
	var actor string
	err = row.Scan(&r.token, &at, &actor)
	r.end = revokedAt(at, actor)
	return r, err
}

func (b *batch) lockClients(ctx context.Context, tx *sql.Tx, by *bearers, tokens []any) (revoked int, err error) {
	items := maps.Clone(by.clients)
	args := slices.Concat(sortedArgs(by.wanted), tokens, sortedArgs(items))
	rows, err := tx.QueryContext(ctx, spread(lockClients, max(len(by.wanted), 1), len(tokens), len(items))+b.d.ForShare, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id storage.ClientID
			c  clientState
		)
		if err := rows.Scan(&by.exist, &revoked, &id, &c.disabledAt, &c.tokensFrom); err != nil {
			return 0, err
		}
		for _, it := range items[id] {
			it.ended(c.end(it.Bearer))
		}
		delete(items, id)
	}
	endUnknown(items)
	return revoked, rows.Err()
}

// endUnknown ends the postings whose bearer has no row: tombstones outlive the tokens that name them.
func endUnknown[K comparable](items map[K][]*item) {
	for _, of := range items {
		for _, it := range of {
			end := expiredAt(it.Now)
			it.ended(&end)
		}
	}
}

// ended refuses a posting for the end of its bearer; the first end told stays.
func (it *item) ended(end *storage.End) {
	if end != nil && it.err == nil {
		it.err = &storage.EndedError{End: *end}
	}
}

// findUsers tells which of the users that must exist do. As a rule all do, and the count says so.
func (b *batch) findUsers(ctx context.Context, tx *sql.Tx, by *bearers) error {
	if by.exist == len(by.wanted) {
		b.users = by.wanted
		return nil
	}
	found, err := collect(ctx, tx, scanText[storage.UserID], spread(findUsers, len(by.wanted)), sortedArgs(by.wanted)...)
	for _, id := range found {
		b.users[id] = true
	}
	return err
}

// clientState is what decides whether a client's tokens stand.
type clientState struct{ disabledAt, tokensFrom sql.NullInt64 }

func (c clientState) end(b storage.Bearer) *storage.End {
	at := c.disabledAt
	if c.tokensFrom.Valid && !b.IssuedAt.After(instant(c.tokensFrom.Int64)) {
		at = c.tokensFrom
	}
	if !at.Valid {
		return nil
	}
	return &storage.End{Reason: storage.Kicked, At: instant(at.Int64), Actor: "system"}
}

// endState is how a session ended, as its row has it.
type endState struct {
	at                              sql.NullInt64
	reason, actor, terminal, device sql.NullString
}

func (e endState) end() *storage.End {
	if !e.at.Valid {
		return nil
	}
	at := instant(e.at.Int64)
	return &storage.End{
		Reason: storage.Reason(e.reason.String), At: at, Actor: e.actor.String, By: superseder(e.terminal, e.device, at),
	}
}

// lockAccounts locks the accounts of all pending postings in the order of their names and puts them on the
// sheet: errNoAccount if some are missing, which are then in b.missing. A posting whose user does not exist
// needs no account.
func (b *batch) lockAccounts(ctx context.Context, tx *sql.Tx) error {
	wanted := map[storage.AccountID]storage.Account{}
	for _, it := range b.pending() {
		if it.missing(b.users) {
			continue
		}
		j := &it.Journal
		wanted[it.From] = storage.Account{ID: it.From, User: j.From, Currency: j.Amount.Currency, CreatedAt: it.Now}
		if !j.Kind.Moves() {
			continue
		}
		wanted[it.To] = storage.Account{ID: it.To, User: j.To, Currency: j.Amount.Currency, CreatedAt: it.Now}
	}
	if len(wanted) == 0 {
		return nil
	}
	if err := b.lock(ctx, tx, wanted); err != nil {
		return fmt.Errorf("lock accounts: %w", err)
	}
	for id := range b.sheet {
		delete(wanted, id)
	}
	if len(wanted) > 0 {
		b.missing = wanted
		return errNoAccount
	}
	return nil
}

// makeAccounts makes accounts at zero, each in a transaction of its own. Made in that of a posting, or several in
// one, callers that race to make the same ones deadlock again and again.
func (db *DB) makeAccounts(ctx context.Context, accounts map[storage.AccountID]storage.Account) error {
	for _, id := range slices.Sorted(maps.Keys(accounts)) {
		a := accounts[id]
		err := db.write(ctx, "make account", func(ctx context.Context, tx *sql.Tx) error {
			frozen, err := db.lockFreeze(ctx, tx, a.User)
			if err != nil {
				return fmt.Errorf("lock freeze: %w", err)
			}
			return db.makeAccount(ctx, tx, &a, frozen)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// makeAccount makes an account at zero, if it is not there.
func (db *DB) makeAccount(ctx context.Context, tx *sql.Tx, a *storage.Account, frozen *time.Time) error {
	_, err := tx.ExecContext(ctx, db.d.InsertIgnore+insertAccount, string(a.ID), string(a.User), string(a.Currency),
		micros(a.CreatedAt), microsOrNil(frozen))
	return err
}

// lockFreeze returns since when a user's wallet is frozen. The user's row is locked until the commit, so that
// no freeze begins between this and the account that is made from it.
func (db *DB) lockFreeze(ctx context.Context, tx *sql.Tx, user storage.UserID) (*time.Time, error) {
	at, _, err := scanFreeze(tx.QueryRowContext(ctx, readFreeze+db.d.ForShare, string(user)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // an account of the system, or of nobody: nothing is frozen.
	}
	return at, err
}

func (b *batch) lock(ctx context.Context, tx *sql.Tx, accounts map[storage.AccountID]storage.Account) error {
	found, err := collect(ctx, tx, scanAccount, spread(lockAccounts, len(accounts))+b.d.ForUpdate, sortedArgs(accounts)...)
	for _, a := range found {
		b.sheet[a.ID] = &line{Account: a, locked: a.Version}
	}
	return err
}

// sortedArgs is the keys of a map as arguments of a statement, in order; one empty string for none, since
// SQL has no empty list, and nothing has an empty name.
func sortedArgs[K ~string, V any](m map[K]V) []any {
	if len(m) == 0 {
		return []any{""}
	}
	args := make([]any, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		args = append(args, string(k))
	}
	return args
}
