package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const (
	envBenchEntries = "TALLYSTICK_BENCH_ENTRIES"

	pastWallets = 64
	pastChunk   = 250_000 // rows of one statement that fills
	pastAge     = 365 * 24 * time.Hour
)

// past is a ledger with so many entries behind it.
type past struct {
	*floor

	name   string
	wallet *wallet.Wallet
	first  time.Time
	took   map[string][]time.Duration
}

// pastCalls are what is measured, in the order of the report.
var pastCalls = []string{"transfer", "balance", "first page", "page of half a year ago", "page of a kind that never was", "balance of half a year ago"}

// BenchmarkPast measures, one client and in turns, what users wait for on an empty ledger and on one with a past. Every
// wallet has its part of it, and the account of the world outside has half. The last three have work to do on the full
// ledger alone: finding a time takes one read for twice as many entries, and a page of a kind that nobody has looks at as
// many as a page may. What is to be seen of them is that they stop there.
//
//	TALLYSTICK_BENCH_ENTRIES=10000000 go test ./storage/sqlstore -run '^$' -bench Past -benchtime 2048x -timeout 60m
func BenchmarkPast(b *testing.B) {
	entries := 10_000
	if text := os.Getenv(envBenchEntries); text != "" {
		var err error
		if entries, err = strconv.Atoi(text); err != nil {
			b.Fatalf("%s: %v", envBenchEntries, err)
		}
	}
	empty, full := newPast(b, "empty", 0), newPast(b, "full", entries)
	b.Run("behind", func(b *testing.B) { comparePast(b, empty, full) })
}

func comparePast(b *testing.B, empty, full *past) {
	b.Helper()
	const turns = 16
	for _, p := range []*past{empty, full} {
		p.took = map[string][]time.Duration{}
	}
	for range turns {
		for _, p := range []*past{empty, full} {
			for range b.N/turns + 1 {
				p.one(b)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	if b.N == 1 {
		return // the run before the one that counts
	}
	for _, call := range pastCalls {
		for _, p := range []*past{empty, full} {
			b.Logf("%-5s: %-29s p50 %v p99 %v", p.name, call, quantile(p.took[call], 50), quantile(p.took[call], 99))
		}
		b.ReportMetric(float64(quantile(full.took[call], 50))/float64(quantile(empty.took[call], 50)), strings.ReplaceAll(call, " ", "-")+"-full/empty")
	}
}

// one makes each call once, for random wallets.
func (p *past) one(b *testing.B) {
	b.Helper()
	from := rand.IntN(pastWallets)
	to := (from + 1 + rand.IntN(pastWallets-1)) % pastWallets
	user, half := p.wallets[from].user, p.first.Add(pastAge/2)
	page := func(ctx context.Context, q wallet.Query) error {
		_, err := p.wallet.Entries(ctx, user, q)
		return err
	}
	for i, call := range []func(context.Context) error{
		func(ctx context.Context) error { return p.post(p.db)(ctx, from, to) },
		func(ctx context.Context) error { _, err := p.wallet.Balances(ctx, user); return err },
		func(ctx context.Context) error { return page(ctx, wallet.Query{}) },
		func(ctx context.Context) error { return page(ctx, wallet.Query{Until: half}) },
		func(ctx context.Context) error {
			return page(ctx, wallet.Query{Kinds: []storage.JournalKind{storage.KindReversal}})
		},
		func(ctx context.Context) error { _, err := p.wallet.BalancesAt(ctx, user, half); return err },
	} {
		begin := time.Now()
		if err := call(b.Context()); err != nil {
			b.Fatalf("%s, %s: %v", p.name, pastCalls[i], err)
		}
		p.took[pastCalls[i]] = append(p.took[pastCalls[i]], time.Since(begin))
	}
}

func newPast(b *testing.B, name string, entries int) *past {
	b.Helper()
	db := engine.MySQL(b).Open(b)
	till := newTill(b, db)
	p := &past{floor: &floor{db: db, raw: db.Writer(), mysql: true, now: till.now}, name: name, first: till.now.Add(-pastAge)}
	var err error
	p.wallet, err = wallet.New(wallet.Config{
		Ledger: db, Locker: struct{ storage.Locker }{}, Currencies: []money.Currency{"CNY"}, Now: func() time.Time { return till.now },
	})
	if err != nil {
		b.Fatal(err)
	}
	for i := range pastWallets {
		w := payer{user: storage.UserID(fmt.Sprintf("past-%021d", i))}
		w.account = storage.WalletAccount(w.user, "CNY")
		user := storage.User{ID: w.user, Username: string(w.user), CreatedAt: p.now, UpdatedAt: p.now}
		if err := db.CreateUser(b.Context(), user); err != nil {
			b.Fatal(err)
		}
		w.bearer = p.signIn(b, w.user)
		p.wallets = append(p.wallets, w)
	}
	p.fill(b, entries/2)
	return p
}

// fill makes deposits, each into the next wallet, evenly over the past: their journals, entries and answers, in bulk, and
// the accounts as they stand after them. Each wallet began with money that has no entry.
func (p *past) fill(b *testing.B, deposits int) {
	b.Helper()
	begin := time.Now()
	conn, err := sql.Open("mysql", benchDSN(b, p.db))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	exec := func(statement string, args ...any) {
		b.Helper()
		if _, err := conn.ExecContext(b.Context(), statement, args...); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
	const opening = 1_000_000_000
	account := func(id storage.AccountID, user storage.UserID, entries, balance int) {
		exec(`INSERT INTO accounts (account_id, user_id, currency, balance, held, version, fence, created_at, spent, spent_day)
			VALUES (?, ?, 'CNY', ?, 0, ?, 0, ?, 0, 0)`, string(id), string(user), balance, entries, p.first.UnixMicro())
	}
	exec("CREATE TABLE owners (n INT NOT NULL PRIMARY KEY, account_id VARBINARY(64) NOT NULL, user_id VARBINARY(32) NOT NULL)")
	for i, w := range p.wallets {
		entries := (deposits + pastWallets - 1 - i) / pastWallets
		account(w.account, w.user, entries, opening+entries)
		exec("INSERT INTO owners VALUES (?, ?, ?)", i, string(w.account), string(w.user))
	}
	world := storage.WorldAccount("CNY")
	account(world, "", deposits, -pastWallets*opening-deposits)
	if deposits > 0 {
		exec("CREATE TABLE seq (id INT NOT NULL PRIMARY KEY)")
		exec("INSERT INTO seq (id) VALUES (0)")
		for n := 1; n < deposits; n *= 2 {
			exec("INSERT INTO seq (id) SELECT id + ? FROM seq WHERE id < ?", n, min(n, deposits-n))
		}
	}
	step, first := pastAge.Microseconds()/int64(max(deposits, 1)), p.first.UnixMicro()
	for from := 0; from < deposits; from += pastChunk {
		to := from + pastChunk
		exec(`INSERT INTO journals (journal_id, kind, from_user, to_user, amount, currency, memo, reference, client_id, actor, session_id, created_at, original_id, metadata)
			SELECT CONCAT('00', LPAD(id, 24, '0')), 'deposit', '', user_id, 1, 'CNY', '', 'past', 'billing', '', '', ? + id * ?, '', ''
			FROM seq JOIN owners ON n = id % ? WHERE id >= ? AND id < ? ORDER BY id`, first, step, pastWallets, from, to)
		exec(`INSERT INTO answers (client_id, user_id, idem_key, request_hash, journal_id, code, body, created_at)
			SELECT 'billing', '', CONCAT('00', LPAD(id, 24, '0')), UNHEX(SHA2(id, 256)), CONCAT('00', LPAD(id, 24, '0')), '', '"past"', ? + id * ?
			FROM seq WHERE id >= ? AND id < ? ORDER BY id`, first, step, from, to)
		exec(`INSERT INTO entries (account_id, sequence, journal_id, kind, amount, currency, balance_after, counterparty, memo, created_at)
			SELECT account_id, id DIV ? + 1, CONCAT('00', LPAD(id, 24, '0')), 'deposit', 1, 'CNY', ? + id DIV ? + 1, '', '', ? + id * ?
			FROM seq JOIN owners ON n = id % ? WHERE id >= ? AND id < ? ORDER BY account_id, id`,
			pastWallets, opening, pastWallets, first, step, pastWallets, from, to)
		exec(`INSERT INTO entries (account_id, sequence, journal_id, kind, amount, currency, balance_after, counterparty, memo, created_at)
			SELECT ?, id + 1, CONCAT('00', LPAD(id, 24, '0')), 'deposit', -1, 'CNY', ? - id - 1, user_id, '', ? + id * ?
			FROM seq JOIN owners ON n = id % ? WHERE id >= ? AND id < ? ORDER BY id`,
			string(world), -pastWallets*opening, first, step, pastWallets, from, to)
	}
	exec("DROP TABLE IF EXISTS seq, owners")
	if deposits > 0 {
		exec("ANALYZE TABLE journals, entries, answers")
		b.Logf("filled with %d entries in %v", 2*deposits, time.Since(begin).Round(time.Second))
	}
}

// benchDSN names a database without the time limits of the pool, which are shorter than filling takes.
func benchDSN(b *testing.B, db *sqlstore.DB) string {
	b.Helper()
	var name string
	if err := db.Writer().QueryRowContext(b.Context(), "SELECT DATABASE()").Scan(&name); err != nil {
		b.Fatal(err)
	}
	server, _, _ := strings.Cut(os.Getenv(engine.EnvMySQL), "?")
	return strings.TrimSuffix(server, "/") + "/" + name + "?interpolateParams=true"
}
