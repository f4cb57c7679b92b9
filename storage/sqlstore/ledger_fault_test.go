package sqlstore_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// scissors cut connections at a step: every statement, begin and commit is one.
type scissors struct {
	open func() (driver.Conn, error)
	left atomic.Int64 // steps until the cut; below zero: none
	// late lets a commit happen before its connection is cut, so that only its answer is lost.
	late atomic.Bool
	// instead, if there is one, is called in place of a cut, and its error is the step's.
	instead atomic.Pointer[func() error]
	// deadlock is the error with which the engine gives a transaction up.
	deadlock error
}

// Strike implements storagetest.Smith.
func (s *scissors) Strike(b storagetest.Blow, n int, call func()) {
	s.late.Store(b == storagetest.CutAfter)
	s.instead.Store(nil)
	switch b {
	case storagetest.Deadlock:
		s.instead.Store(new(func() error { return s.deadlock }))
	case storagetest.Call:
		s.instead.Store(new(func() error { call(); return nil }))
	}
	s.left.Store(int64(n))
}

// Mend implements storagetest.Smith.
func (s *scissors) Mend() { s.left.Store(-1) }

// Connect implements driver.Connector.
func (s *scissors) Connect(context.Context) (driver.Conn, error) {
	conn, err := s.open()
	if err != nil {
		return nil, err
	}
	return &cutConn{conn, s}, nil
}

// Driver implements driver.Connector.
func (s *scissors) Driver() driver.Driver { return nil }

// cut says whether a step is to fail, and with what; cut is what ends a connection.
func (s *scissors) cut(cut error) error {
	if s.left.Add(-1) != 0 {
		return nil
	}
	if f := s.instead.Load(); f != nil {
		return (*f)()
	}
	return cut
}

type cutConn struct {
	driver.Conn
	s *scissors
}

func (c *cutConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if err := c.s.cut(context.DeadlineExceeded); err != nil { // ErrBadConn would only make the pool dial again
		return nil, err
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	return &cutTx{tx, c.s}, err
}

func (c *cutConn) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.s.cut(driver.ErrBadConn); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, q, args)
}

func (c *cutConn) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.s.cut(driver.ErrBadConn); err != nil {
		return nil, err
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, q, args)
}

type cutTx struct {
	driver.Tx
	s *scissors
}

func (t *cutTx) Commit() error {
	err := t.s.cut(driver.ErrBadConn)
	switch {
	case err == nil:
		return t.Tx.Commit()
	case t.s.late.Load():
		return errors.Join(t.Tx.Commit(), err)
	}
	return errors.Join(t.Rollback(), err)
}

// cutStore opens an engine through scissors.
func cutStore(t *testing.T, e engine.Engine) (*sqlstore.DB, *scissors) { return cutPool(t, e, 1) }

// cutPool is cutStore with so many connections that write.
func cutPool(t *testing.T, e engine.Engine, connections int) (*sqlstore.DB, *scissors) {
	t.Helper()
	deadlock := driver.ErrBadConn // SQLite's own cannot be made from outside; a transaction there waits for no other
	name := "file:" + filepath.ToSlash(e.Path) + "?_busy_timeout=5000&_txlock=immediate"
	if e.Name == "mysql" {
		deadlock = &mysqldriver.MySQLError{Number: 1213, Message: "Deadlock found"}
		c, err := mysqldriver.ParseDSN(e.DSN.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		c.InterpolateParams, c.ClientFoundRows = true, true
		name = c.FormatDSN()
	}
	d := e.Raw(t).Driver()
	s := &scissors{open: func() (driver.Conn, error) { return d.Open(name) }, deadlock: deadlock}
	w := sql.OpenDB(s)
	w.SetMaxOpenConns(connections)
	t.Cleanup(func() { _ = w.Close() }) // what was cut may complain
	return e.Open(t).Rewired(w), s
}

// till is an app that deposits to one user.
type till struct {
	bearer storage.Bearer
	user   storage.UserID
	now    time.Time
}

func newTill(t testing.TB, db *sqlstore.DB) till {
	t.Helper()
	c := till{now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), user: storage.NewUserID()}
	c.bearer = storage.Bearer{Client: "billing", IssuedAt: c.now}
	client := storage.Client{ID: "billing", Name: "Billing", Kind: storage.Confidential, Version: 1, CreatedAt: c.now, UpdatedAt: c.now}
	if err := db.CreateClient(t.Context(), client, nil); err != nil {
		t.Fatal(err)
	}
	user := storage.User{ID: c.user, Username: string(c.user), CreatedAt: c.now, UpdatedAt: c.now}
	if err := db.CreateUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c till) deposit(key string, amount int64) storage.Posting {
	return storage.Posting{
		Key: storage.IdempotencyKey{Client: c.bearer.Client, Key: key}, RequestHash: sha256.Sum256([]byte(key)), Bearer: c.bearer,
		Journal: storage.Journal{
			ID: storage.JournalID(storage.NewID(c.now)), Kind: storage.KindDeposit, To: c.user, Client: c.bearer.Client,
			Amount: money.Amount{Minor: amount, Currency: "CNY"},
		},
		From: storage.WorldAccount("CNY"), To: storage.WalletAccount(c.user, "CNY"), MustExist: c.user, Now: c.now,
		Success: func(j storage.Journal) storage.Answer { return storage.Answer{Body: json.RawMessage(`"` + j.ID + `"`)} },
		Refuse:  func(error) storage.Answer { return storage.Answer{Code: "refused", Body: json.RawMessage(`"refused"`)} },
	}
}

// entries counts what was posted to the user.
func (c till) entries(t *testing.T, db *sqlstore.DB) int {
	t.Helper()
	entries, err := db.Entries(t.Context(), storage.WalletAccount(c.user, "CNY"), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// steps of a posting whose accounts are there: begin, bearer, accounts, answer, journal, note to
// be sealed, entries, balances, commit. A further round trip is a change that somebody has to want.
const postSteps = 9

// steps of a posting between two accounts that are not there: begin, bearer and accounts, which find
// that out; begin, freeze, account and commit for each of them; the posting. An account is made once in its
// life, by itself: made in the posting's own transaction it cost a step instead of four, and callers
// who raced to make the same ones deadlocked until they gave up.
const firstPostSteps = 3 + 2*4 + postSteps

func TestPostTakesNineRoundTripsOnceItsAccountsAreThere(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		db, s := cutStore(t, e)
		c := newTill(t, db)
		for i, want := range []int64{firstPostSteps, postSteps} {
			s.left.Store(-1)
			if _, err := db.Post(t.Context(), c.deposit("key"+string(rune('a'+i)), 1)); err != nil {
				t.Fatal(err)
			}
			if took := -1 - s.left.Load(); took != want {
				t.Errorf("posting %d took %d round trips, want %d", i+1, took, want)
			}
		}
	})
}

// A connection that is lost at any step leaves all of a posting or nothing, and posting again with
// the key brings it to its end, once.
func TestPostSurvivesCutAtEveryStep(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		db, s := cutStore(t, e)
		c := newTill(t, db)
		if _, err := db.Post(t.Context(), c.deposit("first", 1)); err != nil {
			t.Fatal(err)
		}
		for step := 1; step <= postSteps; step++ {
			p := c.deposit("cut at "+string(rune('0'+step)), 1)
			s.left.Store(int64(step))
			if _, err := db.Post(t.Context(), p); !errors.Is(err, storage.ErrUnavailable) {
				t.Fatalf("cut at step %d: %v, want ErrUnavailable", step, err)
			}
			if got := c.entries(t, db); got != step {
				t.Fatalf("cut at step %d: %d entries, want %d", step, got, step)
			}
			if _, err := db.Answered(t.Context(), p.Key, p.RequestHash); !errors.Is(err, storage.ErrNotFound) {
				t.Fatalf("cut at step %d: answered: %v", step, err)
			}
			if posted, err := db.Post(t.Context(), p); err != nil || posted.Replayed {
				t.Fatalf("again after a cut at step %d: %+v, %v", step, posted, err)
			}
		}
		if got := c.entries(t, db); got != postSteps+1 {
			t.Errorf("%d entries, want %d", got, postSteps+1)
		}
	})
}

// A commit that happened although its connection was lost is found by its key.
func TestPostResolvesLostCommit(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		db, s := cutStore(t, e)
		c := newTill(t, db)
		if _, err := db.Post(t.Context(), c.deposit("first", 1)); err != nil {
			t.Fatal(err)
		}
		s.late.Store(true)
		p := c.deposit("lost", 5)
		s.left.Store(postSteps)
		posted, err := db.Post(t.Context(), p)
		want := p.Success(p.Journal)
		want.Journal = p.Journal.ID
		if diff := cmp.Diff(storage.Posted{Answer: want}, posted); err != nil || diff != "" {
			t.Errorf("posted: %v\n%s", err, diff)
		}
		if posted, err = db.Post(t.Context(), p); err != nil || !posted.Replayed {
			t.Errorf("again: %+v, %v", posted, err)
		}
		refused := c.deposit("lost refusal", money.Max)
		s.left.Store(5) // begin, bearer, accounts, answer, commit
		if posted, err = db.Post(t.Context(), refused); err != nil || posted.Answer.Code != "refused" {
			t.Errorf("refused: %+v, %v", posted, err)
		}
		// Lost, and the caller has gone as well: the outcome is still found out.
		ctx, cancel := context.WithCancel(t.Context())
		gone := c.deposit("gone", 1)
		gone.Success = func(j storage.Journal) storage.Answer {
			defer cancel()
			return p.Success(j)
		}
		s.late.Store(false)
		if _, err := db.Post(ctx, gone); !errors.Is(err, context.Canceled) && !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("caller gone: %v", err)
		}
		if got := c.entries(t, db); got != 2 {
			t.Errorf("%d entries, want 2", got)
		}
	})
}

// The rows of the user and of a session's client are read, not locked: a profile that is being
// changed must not hold up payments to its user.
func TestPostWaitsForNoProfile(t *testing.T) {
	t.Parallel()
	e := engine.MySQL(t)
	db := e.Open(t)
	c := newTill(t, db)
	if _, err := db.Post(t.Context(), c.deposit("first", 1)); err != nil {
		t.Fatal(err)
	}
	tx, err := e.Raw(t).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	var id string
	if err := tx.QueryRowContext(t.Context(), "SELECT user_id FROM users WHERE user_id = ? FOR UPDATE", c.user).Scan(&id); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // less than the engine waits for a lock
	defer cancel()
	if _, err := db.Post(ctx, c.deposit("second", 1)); err != nil {
		t.Errorf("deposit to a user whose row is locked: %v", err)
	}
}

// A database that has no more room refuses, keeps what it has, and goes on when it is given some.
func TestPostWithoutRoom(t *testing.T) {
	t.Parallel()
	db, _ := cutStore(t, engine.SQLite(t))
	c := newTill(t, db)
	pragma := func(name string, value int) (now int) {
		t.Helper()
		statement := "PRAGMA " + name
		if value > 0 {
			statement += " = " + strconv.Itoa(value)
		}
		if err := db.Writer().QueryRowContext(t.Context(), statement).Scan(&now); err != nil {
			t.Fatal(err)
		}
		return now
	}
	if _, err := db.Post(t.Context(), c.deposit("first", 1)); err != nil {
		t.Fatal(err)
	}
	pragma("max_page_count", pragma("page_count", 0)+1)
	posted, failed := 1, storage.Posting{}
	for ; failed.Key.Key == "" && posted < 1000; posted++ {
		p := c.deposit("key "+strconv.Itoa(posted), 1)
		if _, err := db.Post(t.Context(), p); errors.Is(err, storage.ErrUnavailable) {
			failed = p
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if failed.Key.Key == "" {
		t.Fatalf("%d postings, and there is still room", posted)
	}
	if got := c.balance(t, db); got != int64(posted) {
		t.Errorf("balance %d after %d deposits of 1", got, posted)
	}
	pragma("max_page_count", 1<<20)
	if again, err := db.Post(t.Context(), failed); err != nil || again.Replayed {
		t.Errorf("again, with room: %+v, %v", again, err)
	}
	if got := c.balance(t, db); got != int64(posted)+1 {
		t.Errorf("balance %d, want %d", got, posted+1)
	}
}

func (c till) balance(t *testing.T, db *sqlstore.DB) int64 {
	t.Helper()
	accounts, err := db.Accounts(t.Context(), c.user)
	if err != nil || len(accounts) != 1 {
		t.Fatalf("accounts %+v, %v", accounts, err)
	}
	return accounts[0].Balance
}
