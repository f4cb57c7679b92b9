package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/storage"
)

const (
	// readBearers finds all that speaks for or against bearers, by primary keys, at one instant: the rows of sessions, of clients
	// and of tokens that were revoked, told apart by their first column.
	readBearers = `SELECT 1, session_id, expires_at, idle_at, ended_at, end_reason, end_actor, end_terminal, end_device` +
		` FROM sessions WHERE session_id IN ({?|, })` +
		` UNION ALL SELECT 2, client_id, disabled_at, tokens_from, NULL, '', '', '', '' FROM clients WHERE client_id IN ({?|, })` +
		` UNION ALL SELECT 3, token_id, revoked_at, 0, NULL, '', actor, '', '' FROM revoked_tokens WHERE token_id IN ({?|, })`

	// readFootings finds answers by their keys and accounts by their names, at one instant; the last column says which
	// row is which.
	readFootings = `SELECT client_id, user_id, idem_key, journal_id, code, body, request_hash, 0, 1 FROM answers` +
		` WHERE {(user_id = ? AND client_id = ? AND idem_key = ?)| OR }` +
		` UNION ALL SELECT account_id, '', '', '', '', '', '', fence, 2 FROM accounts WHERE account_id IN ({?|, })`
)

// Rows of readBearers.
const (
	rowSession = 1
	rowClient  = 2
	rowRevoked = 3
)

// bearerFacts is what the database knows of some bearers.
type bearerFacts struct {
	sessions map[storage.SessionID]storage.Session // their times and ends
	clients  map[storage.ClientID]clientState
	revoked  map[string]storage.End
}

// askBearers reads what is known of bearers. All share what was found.
func (db *DB) askBearers(ctx context.Context, bearers []storage.Bearer) ([]*bearerFacts, error) {
	sessions, clients, tokens := map[storage.SessionID]bool{}, map[storage.ClientID]bool{}, map[string]bool{}
	for _, b := range bearers {
		if b.Session != "" {
			sessions[b.Session] = true
		}
		if b.Client != "" {
			clients[b.Client] = true
		}
		if b.Session == "" && b.JTI != "" {
			tokens[b.JTI] = true
		}
	}
	facts := &bearerFacts{
		sessions: make(map[storage.SessionID]storage.Session, len(sessions)),
		clients:  make(map[storage.ClientID]clientState, len(clients)), revoked: map[string]storage.End{},
	}
	s, c, t := sortedArgs(sessions), sortedArgs(clients), sortedArgs(tokens)
	err := db.read(ctx, "check bearer", func(ctx context.Context, q querier) error {
		rows, err := q.QueryContext(ctx, spread(readBearers, len(s), len(c), len(t)), slices.Concat(s, c, t)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := facts.take(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	all := make([]*bearerFacts, len(bearers))
	for i := range all {
		all[i] = facts
	}
	return all, nil
}

// take takes a row of readBearers.
func (f *bearerFacts) take(row scanner) error {
	var (
		kind int
		id   string
		a, b sql.NullInt64
		end  endState
	)
	if err := row.Scan(&kind, &id, &a, &b, &end.at, &end.reason, &end.actor, &end.terminal, &end.device); err != nil {
		return err
	}
	switch kind {
	case rowSession:
		f.sessions[storage.SessionID(id)] = storage.Session{ExpiresAt: instant(a.Int64), IdleAt: instant(b.Int64), End: end.end()}
	case rowClient:
		f.clients[storage.ClientID(id)] = clientState{disabledAt: a, tokensFrom: b}
	case rowRevoked:
		f.revoked[id] = revokedAt(a.Int64, end.actor.String)
	default:
		return fmt.Errorf("a row of kind %d", kind)
	}
	return nil
}

// footingQuestion asks for a key, an account, or both; an empty Key or account is not asked for.
type footingQuestion struct {
	key     storage.IdempotencyKey
	account storage.AccountID
}

// footing is the answer: no row of either is none.
type footing struct {
	answer *answeredRow
	fence  int64
}

// askFootings answers many with one statement.
func (db *DB) askFootings(ctx context.Context, questions []footingQuestion) ([]footing, error) {
	keys, accounts := map[storage.IdempotencyKey]bool{}, map[storage.AccountID]bool{}
	var args []any
	for _, q := range questions {
		if q.account != "" {
			accounts[q.account] = true
		}
		if q.key.Key != "" && !keys[q.key] {
			keys[q.key] = true
			args = append(args, string(q.key.User), string(q.key.Client), q.key.Key)
		}
	}
	if len(args) == 0 {
		args = []any{"", "", ""} // SQL has no empty list, and no answer has an empty key
	}
	names := sortedArgs(accounts)
	answers, fences := make(map[storage.IdempotencyKey]*answeredRow, len(keys)), make(map[storage.AccountID]int64, len(accounts))
	err := db.read(ctx, "look up key and fence", func(ctx context.Context, q querier) error {
		rows, err := q.QueryContext(ctx, spread(readFootings, len(args)/3, len(names)), slices.Concat(args, names)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := takeFooting(rows, answers, fences); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	out := make([]footing, len(questions))
	for i, q := range questions {
		out[i] = footing{answers[q.key], fences[q.account]}
	}
	return out, nil
}

// takeFooting takes a row of readFootings.
func takeFooting(row scanner, answers map[storage.IdempotencyKey]*answeredRow, fences map[storage.AccountID]int64) error {
	var (
		first, user, key string
		hash, body       []byte
		fence            int64
		kind             int
		a                answeredRow
	)
	if err := row.Scan(&first, &user, &key, &a.Journal, &a.Code, &body, &hash, &fence, &kind); err != nil {
		return err
	}
	if kind == 2 {
		fences[storage.AccountID(first)] = fence
		return nil
	}
	a.Body = body
	copy(a.hash[:], hash)
	answers[storage.IdempotencyKey{Client: storage.ClientID(first), User: storage.UserID(user), Key: key}] = &a
	return nil
}
