package keys_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
)

// table is a store in memory that keeps the contract of storage.Keys.
type table struct {
	mu   sync.Mutex
	rows []keys.Record
	// down, if not nil, is what every call fails with; reads counts calls of ListKeys.
	down  error
	reads int
	// listed, if not nil, is called after each ListKeys, without the lock.
	listed func()
}

func (s *table) ListKeys(ctx context.Context) ([]keys.Record, error) {
	if s.listed != nil {
		defer s.listed()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.down != nil {
		return nil, s.down
	}
	return slices.Clone(s.rows), ctx.Err()
}

func (s *table) AddKey(_ context.Context, r keys.Record, after string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	newest := ""
	if len(s.rows) > 0 {
		newest = slices.MaxFunc(s.rows, func(a, b keys.Record) int { return a.CreatedAt.Compare(b.CreatedAt) }).ID
	}
	if newest != after {
		return fmt.Errorf("newest is %q: %w", newest, keys.ErrStale)
	}
	s.rows = append(s.rows, r)
	slices.SortFunc(s.rows, func(a, b keys.Record) int { return cmp.Compare(a.ActiveAt.UnixMicro(), b.ActiveAt.UnixMicro()) })
	return nil
}

func (s *table) RetireKey(_ context.Context, id string, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	for i := range s.rows {
		if s.rows[i].ID == id {
			s.rows[i].RetiredAt = &at
			return nil
		}
	}
	return errors.New("no such row")
}

// fail makes every call fail from now on; nil lets them succeed again.
func (s *table) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *table) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// clock is turned by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 20, 8, 0, 0, 123456789, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// kek is an encryption key of one repeated byte.
func kek(fill byte) secret.Text {
	return secret.New(base64.StdEncoding.EncodeToString(slices.Repeat([]byte{fill}, 32)))
}

const keep = time.Hour

func config(s keys.Store, c *clock) keys.Config {
	return keys.Config{Store: s, EncryptionKey: kek(1), Keep: keep, Now: c.Now}
}

func open(t *testing.T, c keys.Config) *keys.Ring {
	t.Helper()
	r, err := keys.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// signing returns the identifier of the key that signs now.
func signing(t *testing.T, r *keys.Ring, c *clock) string {
	t.Helper()
	s, err := r.Signer(c.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

// states lists the keys of a ring as "state" by identifier.
func states(t *testing.T, r *keys.Ring) map[string]keys.State {
	t.Helper()
	infos, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]keys.State{}
	for _, i := range infos {
		all[i.ID] = i.State
	}
	return all
}
