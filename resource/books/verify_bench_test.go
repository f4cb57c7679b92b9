package books_test

import (
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/books"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// BenchmarkVerify proves a ledger of TALLYSTICK_BENCH_ENTRIES entries (20,000 if it is not set), and beside it runs its floor:
// each row that is read, once, in the order of its primary key, into memory that is not looked at. Entries are read twice by a
// proof, by account and by journal, and so they are by the floor. It says entries a second for both.
func BenchmarkVerify(b *testing.B) {
	entries, err := strconv.Atoi(os.Getenv("TALLYSTICK_BENCH_ENTRIES"))
	if err != nil {
		entries = 20_000
	}
	engines := map[string]func(testing.TB) engine.Engine{"sqlite": engine.SQLite}
	if os.Getenv(engine.EnvMySQL) != "" {
		engines["mysql"] = engine.MySQL
	}
	for name, open := range engines {
		b.Run(name, func(b *testing.B) {
			e := open(b)
			db, raw := e.Open(b), e.Raw(b)
			fill(b, raw, entries/2)
			began := time.Now()
			sealAll(b, db)
			b.Logf("%d journals sealed in %v", entries/2, time.Since(began))
			rate := func(b *testing.B) {
				b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			}
			b.Run("proof", func(b *testing.B) {
				for b.Loop() {
					report, err := books.Verify(b.Context(), db, books.Options{})
					must(b, err)
					if !report.OK() || report.Entries != int64(entries) || report.Sealed != int64(entries/2) {
						b.Fatalf("%+v", report)
					}
				}
				rate(b)
			})
			b.Run("floor", func(b *testing.B) {
				for b.Loop() {
					floor(b, raw)
				}
				rate(b)
			})
		})
	}
}

// fill writes deposits to some wallets, as postings would have.
func fill(b *testing.B, raw *sql.DB, journals int) {
	b.Helper()
	const wallets, chunk = 500, 500
	now := time.Now().Add(-time.Hour)
	users := make([]storage.UserID, wallets)
	for i := range users {
		users[i] = storage.NewUserID()
	}
	world := storage.WorldAccount("CNY")
	rows := map[string][]string{}
	columns := map[string]string{
		"journals": "journals (journal_id, kind, from_user, to_user, amount, currency, memo, reference, client_id, actor, session_id, created_at, original_id)",
		"entries":  "entries (account_id, sequence, journal_id, kind, amount, currency, balance_after, counterparty, memo, created_at)",
		"answers":  "answers (client_id, user_id, idem_key, request_hash, journal_id, code, body, created_at)",
		"accounts": "accounts (account_id, user_id, currency, balance, held, version, fence, created_at)",
	}
	flush := func() {
		for _, table := range []string{"journals", "entries", "answers", "accounts"} {
			if len(rows[table]) > 0 {
				_, err := raw.ExecContext(b.Context(), "INSERT INTO "+columns[table]+" VALUES "+strings.Join(rows[table], ", "))
				must(b, err)
			}
			rows[table] = nil
		}
	}
	put := func(table, format string, args ...any) {
		rows[table] = append(rows[table], fmt.Sprintf("("+format+")", args...))
	}
	for i := range journals {
		id, user, at, n := storage.NewID(now.Add(time.Duration(i)*time.Millisecond)), users[i%wallets], now.UnixMicro(), i/wallets+1
		put("journals", "'%s', 'deposit', '', '%s', 1, 'CNY', '', 'order %d', 'billing', '', '', %d, ''", id, user, i, at)
		put("entries", "'%s', %d, '%s', 'deposit', 1, 'CNY', %d, '', '', %d", storage.WalletAccount(user, "CNY"), n, id, n, at)
		put("entries", "'%s', %d, '%s', 'deposit', -1, 'CNY', %d, '%s', '', %d", world, i+1, id, -i-1, user, at)
		put("answers", "'billing', '', '%s', x'%064d', '%s', '', '{\"id\":\"%s\",\"amount\":1,\"currency\":\"CNY\"}', %d", id, i, id, id, at)
		if (i+1)%chunk == 0 {
			flush()
		}
	}
	put("accounts", "'%s', '', 'CNY', %d, 0, %d, 0, 1", world, -journals, journals)
	for i, user := range users {
		n := journals / wallets
		if i < journals%wallets {
			n++
		}
		if n > 0 {
			put("accounts", "'%s', '%s', 'CNY', %d, 0, %d, 0, 1", storage.WalletAccount(user, "CNY"), user, n, n)
		}
	}
	flush()
}

func sealAll(b *testing.B, db *sqlstore.DB) {
	b.Helper()
	for {
		looked, err := db.Enrol(b.Context(), time.Now(), storage.MaxSeal)
		must(b, err)
		sealed, err := db.Seal(b.Context(), storage.MaxSeal, time.Now())
		must(b, err)
		if looked == 0 && sealed == 0 {
			return
		}
	}
}

// floor reads what a proof reads.
func floor(b *testing.B, raw *sql.DB) {
	b.Helper()
	for _, query := range []string{
		"SELECT account_id, sequence, journal_id, kind, amount, currency, balance_after, counterparty, memo, created_at FROM entries ORDER BY account_id, sequence",
		"SELECT account_id, sequence, journal_id, kind, amount, currency, balance_after, counterparty, memo, created_at FROM entries ORDER BY account_id, sequence",
		"SELECT journal_id, kind, from_user, to_user, amount, currency, memo, reference, client_id, actor, session_id, created_at, original_id FROM journals ORDER BY journal_id",
		"SELECT client_id, user_id, idem_key, journal_id, code, body FROM answers ORDER BY user_id, client_id, idem_key",
		"SELECT number, block, journal_id, leaf, after_sequence, after_fence FROM seals ORDER BY number",
		"SELECT number, block, journal_id, leaf, after_sequence, after_fence FROM seals ORDER BY number",
	} {
		scan(b, raw, query)
	}
}

func scan(b *testing.B, raw *sql.DB, query string) {
	b.Helper()
	rows, err := raw.QueryContext(b.Context(), query)
	must(b, err)
	defer rows.Close()
	names, err := rows.Columns()
	must(b, err)
	dest := make([]any, len(names))
	for i := range dest {
		dest[i] = new(sql.RawBytes)
	}
	for rows.Next() {
		must(b, rows.Scan(dest...))
	}
	must(b, rows.Err())
}
