package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// contender is one way to move money.
type contender struct {
	name string
	move func(ctx context.Context, from, to int) error
	took time.Duration
}

// BenchmarkPost runs all contenders in turns, a slice of each at a time, so that what else the machine
// does falls on all of them alike, and reports each as a multiple of the floor: the same statements,
// written down plainly, in a transaction.
//
//	go test ./storage/sqlstore -run '^$' -bench Post -benchtime 2000x
func BenchmarkPost(b *testing.B) {
	for name, start := range map[string]func(testing.TB) engine.Engine{"sqlite": engine.SQLite, "mysql": engine.MySQL} {
		b.Run(name, func(b *testing.B) {
			e := start(b)
			f := newFloor(b, e)
			for _, clients := range []int{1, 16, 64, 256} {
				b.Run(fmt.Sprintf("accounts=256/clients=%d", clients), func(b *testing.B) { f.compare(b, clients, 256) })
			}
			for _, clients := range []int{16, 64, 256} {
				b.Run(fmt.Sprintf("accounts=2/clients=%d", clients), func(b *testing.B) { f.compare(b, clients, 2) })
			}
		})
	}
}

// floor is a database with wallets full of money.
type floor struct {
	db      *sqlstore.DB
	raw     *sql.DB
	mysql   bool
	now     time.Time
	wallets []payer
}

type payer struct {
	user    storage.UserID
	account storage.AccountID
	bearer  storage.Bearer
}

func newFloor(b *testing.B, e engine.Engine) *floor {
	b.Helper()
	db := e.Open(b)
	c := newTill(b, db)
	f := &floor{db: db, raw: db.Writer(), mysql: e.Name == "mysql", now: c.now}
	for i := range 256 {
		p := payer{user: storage.NewUserID()}
		p.account = storage.WalletAccount(p.user, "CNY")
		user := storage.User{ID: p.user, Username: string(p.user), CreatedAt: f.now, UpdatedAt: f.now}
		if err := db.CreateUser(b.Context(), user); err != nil {
			b.Fatal(err)
		}
		p.bearer = f.signIn(b, p.user)
		c.user = p.user
		if _, err := db.Post(b.Context(), c.deposit(fmt.Sprint("fund ", i), 1_000_000_000)); err != nil {
			b.Fatal(err)
		}
		f.wallets = append(f.wallets, p)
	}
	return f
}

func (f *floor) signIn(b *testing.B, user storage.UserID) storage.Bearer {
	b.Helper()
	expires := f.now.Add(time.Hour)
	opened, err := f.db.Open(b.Context(), storage.Opening{MaxSessions: 1, Now: f.now, Session: storage.Session{
		ID: storage.SessionID(storage.NewID(f.now)), User: user, Product: "shop", Terminal: storage.Mobile, Mode: storage.Kickout,
		Client: "billing", CreatedAt: f.now, LastSeenAt: f.now, ExpiresAt: expires, IdleAt: expires, AccessUntil: expires,
		Access: storage.Stamp{JTI: storage.NewID(f.now), KeyID: "key", IssuedAt: f.now.Add(time.Second), ExpiresAt: expires},
	}})
	if err != nil {
		b.Fatal(err)
	}
	return storage.Bearer{Session: opened.Session.ID, Client: "billing", IssuedAt: f.now.Add(time.Second)}
}

func (f *floor) posting(from, to int) storage.Posting {
	p, q := f.wallets[from], f.wallets[to]
	key := storage.NewID(f.now)
	return storage.Posting{
		Key: storage.IdempotencyKey{Client: "billing", User: p.user, Key: key}, Bearer: p.bearer, Now: f.now,
		Journal: storage.Journal{
			ID: storage.JournalID(key), Kind: storage.KindTransfer, From: p.user, To: q.user, Memo: "lunch", Client: "billing",
			Actor: p.user, Session: p.bearer.Session, Amount: money.Amount{Minor: 1, Currency: "CNY"}, CreatedAt: f.now,
		},
		From: p.account, To: q.account, MustExist: q.user,
		Success: func(j storage.Journal) storage.Answer { return storage.Answer{Body: json.RawMessage(`"` + j.ID + `"`)} },
		Refuse:  func(err error) storage.Answer { return storage.Answer{Code: err.Error()} },
	}
}

// post moves money through a ledger.
func (f *floor) post(l storage.Ledger) func(context.Context, int, int) error {
	return func(ctx context.Context, from, to int) error {
		posted, err := l.Post(ctx, f.posting(from, to))
		if err == nil && posted.Answer.Code != "" {
			err = errors.New(posted.Answer.Code)
		}
		return err
	}
}

// compare runs b.N transfers of each contender.
func (f *floor) compare(b *testing.B, clients, accounts int) {
	group := startGroup(b, f.db)
	defer group.Stop()
	contenders := []*contender{
		{name: "plain", move: f.plain},
		{name: "post", move: f.post(f.db)},
		{name: "group", move: f.post(group)},
		{name: "insert", move: f.insert},
	}
	slice := clients * 16 // long enough for groups to form
	for done := 0; done < b.N; done += slice {
		for _, c := range contenders {
			begin := time.Now()
			if err := together(b.Context(), clients, min(slice, b.N-done), accounts, c.move); err != nil {
				b.Fatalf("%s: %v", c.name, err)
			}
			c.took += time.Since(begin)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, c := range contenders {
		b.ReportMetric(float64(b.N)/c.took.Seconds(), c.name+"/s")
		if c.name != "plain" {
			b.ReportMetric(contenders[0].took.Seconds()/c.took.Seconds(), c.name+"/plain")
		}
	}
}

// together makes n transfers between random accounts on so many clients at once.
func together(ctx context.Context, clients, n, accounts int, move func(context.Context, int, int) error) error {
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		errs = make([]error, clients)
	)
	for i := range clients {
		wg.Go(func() {
			for errs[i] == nil && next.Add(1) <= int64(n) {
				from := rand.IntN(accounts) //nolint:gosec // G404: which account pays is no secret.
				to := (from + 1 + rand.IntN(accounts-1)) % accounts
				errs[i] = move(ctx, from, to)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// plain is the floor: what a posting does, statement by statement, with nothing checked.
func (f *floor) plain(ctx context.Context, from, to int) error {
	for {
		err := f.plainly(ctx, f.posting(from, to))
		if err == nil || !f.db.Retry(err) {
			return err
		}
	}
}

func (f *floor) plainly(ctx context.Context, p storage.Posting) error {
	share, update := "", ""
	if f.mysql {
		share, update = " LOCK IN SHARE MODE", " FOR UPDATE"
	}
	tx, err := f.raw.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // committed, or in vain.
	var count, expires, idle int64
	var ended sql.NullInt64
	err = tx.QueryRowContext(ctx, "SELECT (SELECT COUNT(*) FROM users WHERE user_id = ?), expires_at, idle_at, ended_at FROM sessions WHERE session_id = ?"+share,
		string(p.MustExist), string(p.Bearer.Session)).Scan(&count, &expires, &idle, &ended)
	if err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, "SELECT account_id, balance, version FROM accounts WHERE account_id IN (?, ?) ORDER BY account_id"+update, string(p.From), string(p.To))
	if err != nil {
		return err
	}
	balance, version := map[string]int64{}, map[string]int64{}
	for rows.Next() {
		var id string
		var b, v int64
		if err := rows.Scan(&id, &b, &v); err != nil {
			return errors.Join(err, rows.Close())
		}
		balance[id], version[id] = b, v
	}
	if err := rows.Close(); err != nil {
		return err
	}
	if err := plainWrites(ctx, tx, &p, balance, version); err != nil {
		return err
	}
	return tx.Commit()
}

func plainWrites(ctx context.Context, tx *sql.Tx, p *storage.Posting, balance, version map[string]int64) error {
	a, z, j := string(p.From), string(p.To), string(p.Journal.ID)
	for _, s := range []struct {
		statement string
		args      []any
	}{
		{
			"INSERT INTO answers (client_id, user_id, idem_key, request_hash, journal_id, code, body, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			[]any{string(p.Key.Client), string(p.Key.User), p.Key.Key, p.RequestHash[:], j, "", "{}", 1},
		},
		{
			"INSERT INTO journals (journal_id, kind, from_user, to_user, amount, currency, memo, reference, client_id, actor, session_id, created_at)" +
				" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			[]any{j, "transfer", string(p.Journal.From), string(p.Journal.To), 1, "CNY", "lunch", "", "billing", string(p.Journal.Actor), string(p.Journal.Session), 1},
		},
		{
			"INSERT INTO entries (account_id, sequence, journal_id, kind, amount, currency, balance_after, counterparty, memo, created_at)" +
				" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			[]any{
				a, version[a] + 1, j, "transfer", -1, "CNY", balance[a] - 1, string(p.Journal.To), "lunch", 1,
				z, version[z] + 1, j, "transfer", 1, "CNY", balance[z] + 1, string(p.Journal.From), "lunch", 1,
			},
		},
		{
			"UPDATE accounts SET balance = CASE account_id WHEN ? THEN balance - 1 ELSE balance + 1 END, version = version + 1 WHERE account_id IN (?, ?)",
			[]any{a, a, z},
		},
	} {
		if _, err := tx.ExecContext(ctx, s.statement, s.args...); err != nil {
			return err
		}
	}
	return nil
}

// insert is the ceiling of what commits one by one: a single row that commits by itself.
func (f *floor) insert(ctx context.Context, _, _ int) error {
	_, err := f.raw.ExecContext(ctx, "INSERT INTO answers (client_id, user_id, idem_key, request_hash, journal_id, code, body, created_at)"+
		" VALUES ('bench', '', ?, ?, '', 'none', '', 1)", storage.NewID(f.now), make([]byte, 32))
	return err
}
