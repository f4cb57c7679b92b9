package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const (
	coldAccounts = 10_000
	benchPhones  = 256 // sign-ins that pay
)

// contender is one way to move money, with so many clients at once.
type contender struct {
	name    string
	clients int
	hot     bool // all pay one account
	move    func(ctx context.Context, from, to int) error
	took    time.Duration
	moved   int
	waits   []time.Duration
}

func (c *contender) rate() float64 { return float64(c.moved) / c.took.Seconds() }

func (c *contender) p99() time.Duration {
	slices.Sort(c.waits)
	return c.waits[len(c.waits)*99/100]
}

// BenchmarkPost runs all contenders in turns, a slice of each at a time, so that what else the machine
// does falls on all of them alike. The floor is the same statements, written down plainly, each transfer
// in a transaction of its own; its best is that with the clients that suit it best. The ceiling of what commits one by
// one is a single INSERT that commits by itself, at its best as well.
//
//	go test ./storage/sqlstore -run '^$' -bench Post -benchtime 4096x
func BenchmarkPost(b *testing.B) {
	for name, start := range map[string]func(testing.TB) engine.Engine{"sqlite": engine.SQLite, "mysql": engine.MySQL} {
		b.Run(name, func(b *testing.B) {
			f := newFloor(b, start(b))
			group := startGroup(b, f.db)
			defer group.Stop()
			f.compare(b, f.contenders(group))
		})
	}
}

func (f *floor) contenders(group *sqlstore.Group) (all []*contender) {
	for _, clients := range []int{1, 16, 64, 256} {
		all = append(
			all,
			&contender{name: "plain", clients: clients, move: f.plain},
			&contender{name: "insert", clients: clients, move: f.insert},
			&contender{name: "post", clients: clients, move: f.post(f.db)},
			&contender{name: "group", clients: clients, move: f.post(group)},
			&contender{name: "group", clients: clients, hot: true, move: f.post(group)},
		)
	}
	return append(all, &contender{name: "plain", clients: 16, hot: true, move: f.plain})
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
	group := startGroup(b, db)
	defer group.Stop()
	var deposits []storage.Posting
	for i := range coldAccounts {
		p := payer{user: storage.NewUserID()}
		p.account = storage.WalletAccount(p.user, "CNY")
		if i < benchPhones {
			user := storage.User{ID: p.user, Username: string(p.user), CreatedAt: f.now, UpdatedAt: f.now}
			if err := db.CreateUser(b.Context(), user); err != nil {
				b.Fatal(err)
			}
			p.bearer = f.signIn(b, p.user)
		} else {
			p.bearer = f.wallets[i%benchPhones].bearer
		}
		c.user = p.user
		deposit := c.deposit(fmt.Sprint("fund ", i), 1_000_000_000)
		deposit.MustExist = ""
		deposits = append(deposits, deposit)
		f.wallets = append(f.wallets, p)
	}
	for some := range slices.Chunk(f.wallets[benchPhones:], 500) {
		f.makeUsers(b, some)
	}
	for some := range slices.Chunk(deposits, 500) {
		if _, errs := postAll(b.Context(), group, some); errors.Join(errs...) != nil {
			b.Fatal(errors.Join(errs...))
		}
	}
	return f
}

// makeUsers makes users who only receive.
func (f *floor) makeUsers(b *testing.B, some []payer) {
	b.Helper()
	var args []any
	for _, p := range some {
		args = append(args, string(p.user), string(p.user))
	}
	rows := strings.Repeat(", (?, ?, '', 1, 1, 1, '')", len(some))[2:]
	_, err := f.raw.ExecContext(b.Context(), "INSERT INTO users (user_id, username, password_hash, credential, created_at, updated_at, ban_reason) VALUES "+rows, args...)
	if err != nil {
		b.Fatal(err)
	}
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
func (f *floor) compare(b *testing.B, contenders []*contender) {
	const turns = 8
	for range turns {
		for _, c := range contenders {
			n := max(b.N/turns, 1)
			if c.clients == 1 {
				n = max(n/8, 1)
			}
			if err := f.together(b.Context(), c, n); err != nil {
				b.Fatalf("%s with %d clients: %v", c.name, c.clients, err)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	if b.N > 1 {
		report(b, contenders)
	}
}

// report says what the figures in ledger.go say.
func report(b *testing.B, contenders []*contender) {
	b.Helper()
	find := func(name string, clients int, hot bool) *contender {
		i := slices.IndexFunc(contenders, func(c *contender) bool { return c.name == name && c.clients == clients && c.hot == hot })
		return contenders[i]
	}
	best := func(name string) *contender {
		top := find(name, 1, false)
		for _, c := range contenders {
			if c.name == name && !c.hot && c.rate() > top.rate() {
				top = c
			}
		}
		return top
	}
	floor, ceiling, cold := best("plain"), best("insert"), find("group", 64, false)
	for _, c := range contenders {
		b.Logf("%-6s %3d clients, hot %-5v: %6.0f/s, %5.2f of the floor, p99 %v", c.name, c.clients, c.hot, c.rate(), c.rate()/floor.rate(), c.p99().Round(100*time.Microsecond))
	}
	b.ReportMetric(cold.rate()/floor.rate(), "group64/floor")
	b.ReportMetric(find("group", 256, false).rate()/floor.rate(), "group256/floor")
	b.ReportMetric(cold.rate()/ceiling.rate(), "group64/ceiling")
	b.ReportMetric(find("group", 64, true).rate()/cold.rate(), "hot64/cold64")
	b.ReportMetric(find("group", 1, false).rate()/find("plain", 1, false).rate(), "lone/plain")
	b.ReportMetric(float64(cold.p99())/float64(find("plain", 64, false).p99()), "p99/plain")
}

// together makes n transfers from random accounts with a contender's clients at once.
func (f *floor) together(ctx context.Context, c *contender, n int) error {
	var (
		wg    sync.WaitGroup
		next  atomic.Int64
		errs  = make([]error, c.clients)
		waits = make([][]time.Duration, c.clients)
		begin = time.Now()
	)
	for i := range c.clients {
		wg.Go(func() {
			for errs[i] == nil && next.Add(1) <= int64(n) {
				from := 1 + rand.IntN(len(f.wallets)-1)
				to := 0
				if !c.hot {
					to = (from + 1 + rand.IntN(len(f.wallets)-1)) % len(f.wallets)
				}
				called := time.Now()
				errs[i] = c.move(ctx, from, to)
				waits[i] = append(waits[i], time.Since(called))
			}
		})
	}
	wg.Wait()
	c.took += time.Since(begin)
	c.moved += n
	c.waits = append(c.waits, slices.Concat(waits...)...)
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
	defer tx.Rollback()
	var count, expires, idle int64
	var ended sql.NullInt64
	err = tx.QueryRowContext(ctx, "SELECT (SELECT COUNT(*) FROM users WHERE user_id = ?), expires_at, idle_at, ended_at FROM sessions WHERE session_id = ?"+share,
		string(p.MustExist), string(p.Bearer.Session)).Scan(&count, &expires, &idle, &ended)
	if err != nil {
		return err
	}
	balance, version, err := plainReads(ctx, tx, &p, update)
	if err != nil {
		return err
	}
	if err := plainWrites(ctx, tx, &p, balance, version); err != nil {
		return err
	}
	return tx.Commit()
}

func plainReads(ctx context.Context, tx *sql.Tx, p *storage.Posting, lock string) (balance, version map[string]int64, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT account_id, balance, version FROM accounts WHERE account_id IN (?, ?) ORDER BY account_id"+lock, string(p.From), string(p.To))
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	balance, version = map[string]int64{}, map[string]int64{}
	for rows.Next() {
		var id string
		var b, v int64
		if err := rows.Scan(&id, &b, &v); err != nil {
			return nil, nil, err
		}
		balance[id], version[id] = b, v
	}
	return balance, version, rows.Err()
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
