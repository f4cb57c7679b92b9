package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const (
	envBenchRows = "TALLYSTICK_BENCH_ROWS"

	graveUsers   = 256     // who sign in
	graveClients = 4       // at once
	graveChunk   = 250_000 // rows of one statement that fills
	graveAge     = 10 * 24 * time.Hour
)

// graveyard is a database with so many sessions that are dead.
type graveyard struct {
	name   string
	rows   int
	db     *sqlstore.DB
	raw    *sql.DB
	tokens []storage.RefreshHash // the newest of each user
	signs  []time.Duration
	rotate []time.Duration
	bare   []time.Duration
}

// BenchmarkDead measures signing in and refreshing on an empty database and on one with dead sessions, ended
// and expired ones, each with a refresh token, and on the latter while they are trimmed; all in turns, in
// one run. Beside them are the bare statements of a rotation.
//
//	TALLYSTICK_BENCH_ROWS=10000000 go test ./storage/sqlstore -run '^$' -bench Dead -benchtime 4096x -timeout 60m
func BenchmarkDead(b *testing.B) {
	rows := 1000
	if text := os.Getenv(envBenchRows); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			b.Fatalf("%s: %v", envBenchRows, err)
		}
	}
	empty, full := newGraveyard(b, "empty", 0), newGraveyard(b, "dead", rows)
	b.Run("among", func(b *testing.B) { compareDead(b, empty, full) })
}

func compareDead(b *testing.B, empty, full *graveyard) {
	b.Helper()
	trimmed := &graveyard{name: "trimming", db: full.db, raw: full.raw, tokens: slices.Clone(full.tokens)}
	const turns = 16
	removed, trimming := 0, time.Duration(0)
	for range turns {
		empty.turn(b, b.N/turns+1)
		full.turn(b, b.N/turns+1)
		copy(trimmed.tokens, full.tokens)
		stop := trimmed.trim(b)
		trimmed.turn(b, b.N/turns+1)
		n, took := stop()
		removed, trimming = removed+n, trimming+took
		copy(full.tokens, trimmed.tokens)
	}
	b.ReportMetric(0, "ns/op")
	for _, g := range []*graveyard{empty, full, trimmed} {
		b.Logf("%-8s: sign-in p50 %v p99 %v, refresh p50 %v p99 %v, its bare statements p50 %v p99 %v", g.name,
			quantile(g.signs, 50), quantile(g.signs, 99), quantile(g.rotate, 50), quantile(g.rotate, 99), quantile(g.bare, 50), quantile(g.bare, 99))
	}
	b.Logf("trimmed %d rows in %v", removed, trimming.Round(time.Millisecond))
	ratio := func(name string, a, of []time.Duration, p int) {
		b.ReportMetric(float64(quantile(a, p))/float64(quantile(of, p)), name)
	}
	ratio("sign-in-p99-dead/empty", full.signs, empty.signs, 99)
	ratio("refresh-p99-dead/empty", full.rotate, empty.rotate, 99)
	ratio("sign-in-p99-trimming/dead", trimmed.signs, full.signs, 99)
	ratio("refresh-p99-trimming/dead", trimmed.rotate, full.rotate, 99)
	b.ReportMetric(float64(sum(empty.bare))/float64(sum(empty.rotate)), "rotation/bare")
}

func quantile(all []time.Duration, percent int) time.Duration {
	slices.Sort(all)
	return all[len(all)*percent/100].Round(time.Microsecond)
}

func sum(all []time.Duration) (total time.Duration) {
	for _, d := range all {
		total += d
	}
	return total
}

func newGraveyard(b *testing.B, name string, rows int) *graveyard {
	b.Helper()
	e := engine.MySQL(b)
	g := &graveyard{name: name, rows: rows, db: e.Open(b), tokens: make([]storage.RefreshHash, graveUsers)}
	g.raw = g.db.Writer()
	for i := range graveUsers {
		u := storagetest.NewUser(fmt.Sprint("user-", i), time.Now())
		u.ID = storage.UserID(fmt.Sprint("user-", i))
		if err := g.db.CreateUser(b.Context(), u); err != nil {
			b.Fatal(err)
		}
	}
	if rows > 0 {
		g.fill(b)
	}
	for i := range g.tokens {
		if _, err := g.signIn(b.Context(), i); err != nil {
			b.Fatal(err)
		}
	}
	return g
}

// fill buries the dead: ten of each user, all users mixed, the newest of most never ended but expired.
// Rows are made in the order of their primary keys and other indexes afterwards, which is many times
// faster; the tokens of sessions are spread over all hashes as those of others would be.
func (g *graveyard) fill(b *testing.B) {
	b.Helper()
	begin, users := time.Now(), max(g.rows/10, graveUsers)
	first := time.Now().Add(-graveAge).UnixMicro()
	exec := func(statement string, args ...any) {
		b.Helper()
		conn, err := sql.Open("mysql", g.dsn(b))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.ExecContext(b.Context(), statement, args...); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
	exec("CREATE TABLE seq (id INT NOT NULL PRIMARY KEY)")
	exec("INSERT INTO seq (id) VALUES (1)")
	for n := 1; n < g.rows; n *= 2 {
		exec("INSERT INTO seq (id) SELECT id + ? FROM seq WHERE id <= ?", n, min(n, g.rows-n))
	}
	exec("ALTER TABLE sessions DROP INDEX sessions_open")
	exec("ALTER TABLE refresh_tokens DROP INDEX refresh_tokens_unused, DROP INDEX refresh_tokens_expiry")
	for from := 0; from < g.rows; from += graveChunk {
		exec(`INSERT INTO sessions SELECT CONCAT('0000', LPAD(id, 22, '0')), CONCAT('user-', (id * 7919) % ?), 'shop', 'mobile', 'kickout', id,
			'shop-app', 'profile wallet:read', 'device-1', 'A phone', '192.0.2.7', 'Shop/1.0', NULL, ? + id, ? + id, ? + id, ? + id,
			CONCAT('0000', LPAD(id, 22, '0')), 'key-1', ? + id, ? + id, ? + id,
			IF(id > ? AND (id * 7919) % ? >= ?, NULL, ? + id), 'superseded', 'user:x', 'mobile', 'Another phone'
			FROM seq WHERE id > ? AND id <= ?`,
			users, first, first, first, first, first, first, first, g.rows-users, users, graveUsers, first, from, from+graveChunk)
		exec(`INSERT INTO refresh_tokens SELECT UNHEX(CONCAT(LPAD(HEX(id * (CAST(0xFFFFFFFFFFFFFFFF AS UNSIGNED) DIV ?)), 16, '0'), LEFT(SHA2(id, 256), 48))),
			CONCAT('0000', LPAD((id * 7919) % ? + 1, 22, '0')), CONCAT('0000', LPAD(id, 22, '0')),
			'shop-app', 'profile wallet:read', 'key-1', ? + (id * 7919) % ?, ? + (id * 7919) % ?, CONCAT('0000', LPAD(id, 22, '0')), 'key-1', ? + id, ? + id,
			IF(id % 2 = 0, NULL, ? + id), NULL FROM seq WHERE id > ? AND id <= ? ORDER BY id`,
			g.rows, g.rows, first, g.rows, first, g.rows, first, first, first, from, from+graveChunk)
	}
	exec("CREATE INDEX sessions_open ON sessions (user_id, ended_at, product, terminal)")
	exec("CREATE INDEX refresh_tokens_unused ON refresh_tokens (session_id, used_at, family_id)")
	exec("CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at)")
	exec("DROP TABLE seq")
	exec("ANALYZE TABLE sessions, refresh_tokens")
	b.Logf("filled with %d dead sessions in %v", g.rows, time.Since(begin).Round(time.Second))
	g.explain(b)
}

// dsn names the database without the time limits of the pool, which are shorter than filling takes.
func (g *graveyard) dsn(b *testing.B) string {
	b.Helper()
	var name string
	if err := g.raw.QueryRowContext(b.Context(), "SELECT DATABASE()").Scan(&name); err != nil {
		b.Fatal(err)
	}
	server, _, _ := strings.Cut(os.Getenv(engine.EnvMySQL), "?")
	return strings.TrimSuffix(server, "/") + "/" + name + "?interpolateParams=true"
}

// signIn signs a user in over the session before, and keeps the refresh token.
func (g *graveyard) signIn(ctx context.Context, i int) (time.Duration, error) {
	o := storagetest.NewOpening(storage.UserID(fmt.Sprint("user-", i)), storage.Kickout, time.Now())
	begin := time.Now()
	out, err := g.db.Open(ctx, o)
	took := time.Since(begin)
	if err == nil {
		g.tokens[i] = out.Refresh.Hash
	}
	return took, err
}

// turn signs in, refreshes, and refreshes by bare statements, n times, by some clients at once.
func (g *graveyard) turn(b *testing.B, n int) {
	b.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	errs := make([]error, graveClients)
	for c := range graveClients {
		wg.Go(func() {
			for k := c; k < n && errs[c] == nil; k += graveClients {
				errs[c] = g.one(b.Context(), &mu, c+graveClients*(k%(graveUsers/graveClients)))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
}

func (g *graveyard) one(ctx context.Context, mu *sync.Mutex, i int) error {
	sign, err := g.signIn(ctx, i)
	if err != nil {
		return err
	}
	r := storagetest.NewRotation(g.tokens[i], time.Now())
	begin := time.Now()
	out, _, err := g.db.Rotate(ctx, r)
	rotate := time.Since(begin)
	if err != nil {
		return err
	}
	begin = time.Now()
	next, err := g.rotateBare(ctx, out.Refresh)
	bare := time.Since(begin)
	if err != nil {
		return err
	}
	g.tokens[i] = next
	mu.Lock()
	defer mu.Unlock()
	g.signs, g.rotate, g.bare = append(g.signs, sign), append(g.rotate, rotate), append(g.bare, bare)
	return nil
}

// rotateBare does what a rotation does to rows, and no more, in a plain transaction.
func (g *graveyard) rotateBare(ctx context.Context, token storage.Refresh) (next storage.RefreshHash, err error) {
	next = storagetest.HashOf(string(token.Hash[:]))
	tx, err := g.raw.BeginTx(ctx, nil)
	if err != nil {
		return next, err
	}
	defer tx.Rollback()
	var session, client string
	var expires int64
	var used sql.NullInt64
	now := time.Now().UnixMicro()
	err = errors.Join(
		tx.QueryRowContext(ctx, "SELECT session_id, client_id FROM refresh_tokens WHERE token_hash = ?", token.Hash[:]).Scan(&session, &client),
		tx.QueryRowContext(ctx, "SELECT ended_at, expires_at FROM sessions WHERE session_id = ? FOR UPDATE", session).Scan(&used, &expires),
		tx.QueryRowContext(ctx, "SELECT used_at, expires_at FROM refresh_tokens WHERE token_hash = ? FOR UPDATE", token.Hash[:]).Scan(&used, &expires),
	)
	if err != nil {
		return next, err
	}
	for _, s := range []struct {
		statement string
		args      []any
	}{
		{"UPDATE refresh_tokens SET used_at = ?, next_hash = ? WHERE token_hash = ?", []any{now, next[:], token.Hash[:]}},
		{"INSERT INTO refresh_tokens (token_hash, session_id, family_id, client_id, scope, kid, issued_at, expires_at, access_jti, access_kid, " +
			"access_iat, access_exp) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", []any{
			next[:], session, string(token.Family), client, token.Scope, token.KeyID, now, expires, token.Access.JTI, token.Access.KeyID, now, expires,
		}},
		{"UPDATE sessions SET last_seen_at = ?, access_jti = ?, access_exp = ? WHERE session_id = ?", []any{now, storage.NewID(time.Now()), expires, session}},
	} {
		if _, err := tx.ExecContext(ctx, s.statement, s.args...); err != nil {
			return next, err
		}
	}
	return next, tx.Commit()
}

// trim removes the dead without a pause until it is stopped.
func (g *graveyard) trim(b *testing.B) (stop func() (int, time.Duration)) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	removed, begin, before := 0, time.Now(), time.Now().Add(-24*time.Hour)
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for _, kind := range []storage.TrimKind{storage.TrimRefreshes, storage.TrimSessions} {
				n, err := g.db.Trim(ctx, kind, before, storage.MaxTrim/2)
				if err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
				removed += n
			}
		}
	}()
	return func() (int, time.Duration) {
		cancel()
		<-done
		return removed, time.Since(begin)
	}
}

// explain tells how the engine runs what sign-ins, refreshes, checks and the feed ask.
func (g *graveyard) explain(b *testing.B) {
	b.Helper()
	for _, s := range explained() {
		rows, err := g.raw.QueryContext(b.Context(), "EXPLAIN "+s)
		if err != nil {
			b.Fatalf("%s: %v", s, err)
		}
		tell(b, s, rows)
	}
}

func tell(b *testing.B, statement string, rows *sql.Rows) {
	b.Helper()
	defer rows.Close()
	for rows.Next() {
		var id, kind, table, access, possible, key, length, ref, count, extra sql.NullString
		if err := rows.Scan(&id, &kind, &table, &access, &possible, &key, &length, &ref, &count, &extra); err != nil {
			b.Fatal(err)
		}
		b.Logf("%s\n\t%s by %s of %s, %s rows, %s", statement, access.String, key.String, table.String, count.String, extra.String)
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
}

func explained() []string {
	const columns = "session_id, user_id, product, terminal, mode, version, expires_at, idle_at, ended_at"
	return []string{
		"SELECT " + columns + " FROM sessions WHERE session_id = '00000000000000000000000007' FOR UPDATE",
		"SELECT session_id FROM sessions WHERE user_id = 'user-7' AND product = 'shop' AND terminal = 'mobile' AND ended_at IS NULL ORDER BY session_id",
		"SELECT session_id FROM sessions WHERE user_id = 'user-7' AND ended_at IS NULL AND ('' = '' OR session_id = '') AND ('' = '' OR product = '') " +
			"AND ('' = '' OR terminal = '') AND session_id <> 'x' ORDER BY session_id",
		"SELECT " + columns + " FROM sessions WHERE user_id = 'user-7' AND ended_at IS NULL AND expires_at > 7 AND idle_at > 7 ORDER BY created_at DESC, session_id DESC LIMIT 1000",
		"SELECT " + columns + " FROM sessions WHERE user_id = 'user-7' AND session_id < '~' ORDER BY session_id DESC LIMIT 50",
		"SELECT token_hash, scope, used_at FROM refresh_tokens WHERE token_hash = UNHEX(SHA2('7', 256)) FOR UPDATE",
		"SELECT token_hash FROM refresh_tokens WHERE session_id = '00000000000000000000000007' AND used_at IS NULL AND family_id = 'x' AND expires_at > 7 LIMIT 1",
		"SELECT family_id FROM refresh_tokens WHERE session_id = '00000000000000000000000007' AND used_at IS NULL AND family_id = 'x' LIMIT 1",
		"SELECT used_at FROM refresh_tokens WHERE session_id = '00000000000000000000000007' AND family_id = 'x' AND used_at IS NOT NULL ORDER BY used_at DESC LIMIT 1",
		"SELECT session_id, expires_at FROM sessions WHERE expires_at >= 7 AND expires_at < 1900000000000000 ORDER BY expires_at LIMIT 500",
		"SELECT token_hash, expires_at FROM refresh_tokens WHERE expires_at >= 7 AND expires_at < 1900000000000000 ORDER BY expires_at LIMIT 500",
		"SELECT token_hash, expires_at FROM refresh_tokens WHERE session_id = '00000000000000000000000007' LIMIT 100",
		"SELECT event_id, number, subject, subject_key, until_at FROM session_events WHERE number > 7 ORDER BY number LIMIT 1000",
		"SELECT event_id, number, subject, subject_key, until_at FROM session_events WHERE number = 0 ORDER BY event_id LIMIT 1000",
	}
}
