package keys_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
)

func TestOpenRefusesABadConfig(t *testing.T) {
	t.Parallel()
	good := config(&table{}, newClock())
	for name, spoil := range map[string]func(*keys.Config){
		"no store":                     func(c *keys.Config) { c.Store = nil },
		"no keep":                      func(c *keys.Config) { c.Keep = 0 },
		"unknown algorithm":            func(c *keys.Config) { c.Algorithm = "HS256" },
		"publish shorter than refresh": func(c *keys.Config) { c.Publish = time.Second },
		"negative refresh":             func(c *keys.Config) { c.Refresh = -time.Second },
		"no encryption key":            func(c *keys.Config) { c.EncryptionKey = secret.Text{} },
		"short encryption key":         func(c *keys.Config) { c.EncryptionKey = secret.New("c2hvcnQ=") },
		"encryption key with a line break": func(c *keys.Config) {
			c.EncryptionKey = secret.New(c.EncryptionKey.Reveal() + "\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := good
			spoil(&c)
			if _, err := keys.Open(t.Context(), c); err == nil {
				t.Error("opened")
			}
		})
	}
}

func TestUnknownKeyIsLookedForWithinBounds(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r := open(t, config(s, c))
	stranger := strings.Repeat("A", 43)
	before := s.count()
	for range 1000 {
		if _, err := r.Verifier(stranger); !errors.Is(err, keys.ErrUnknownKey) {
			t.Fatal(err)
		}
	}
	if n := s.count() - before; n != 1 {
		t.Errorf("a thousand unknown keys caused %d reads", n)
	}
	c.Turn(200 * time.Millisecond)
	for _, id := range []string{"", "short", strings.Repeat("A", 44)} {
		if _, err := r.Verifier(id); !errors.Is(err, keys.ErrUnknownKey) {
			t.Fatal(err)
		}
	}
	if n := s.count() - before; n != 1 {
		t.Errorf("identifiers that no key can have caused %d reads", n-1)
	}
	if _, err := r.SignerByID(stranger); !errors.Is(err, keys.ErrUnknownKey) {
		t.Fatal(err)
	}
	if n := s.count() - before; n != 2 {
		t.Errorf("after the pause there were %d reads", n-1)
	}
}

func TestUnknownKeyWithTheStoreDownIsNotRefused(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r := open(t, config(s, c))
	other := open(t, config(s, c))
	info, err := other.RotateNow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.fail(errors.New("connection refused"))
	for range 2 { // the second is answered from what the first found out
		if _, err := r.Verifier(info.ID); !errors.Is(err, keys.ErrUnavailable) || errors.Is(err, keys.ErrUnknownKey) {
			t.Errorf("an unknown key while the store is down: %v", err)
		}
	}
	s.fail(nil)
	c.Turn(time.Second)
	if v, err := r.Verifier(info.ID); err != nil || v.ID != info.ID {
		t.Errorf("the key of another process, with the store back: %v, %v", v, err)
	}
}

func TestManyLookForANewKeyAtOnce(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r := open(t, config(s, c))
	info, err := open(t, config(s, c)).RotateNow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := s.count()
	var done sync.WaitGroup
	for range 64 {
		done.Go(func() {
			if _, err := r.Verifier(info.ID); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if n := s.count() - before; n != 1 {
		t.Errorf("they caused %d reads", n)
	}
}

func TestBackgroundRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &table{}
		cfg := keys.Config{Store: s, EncryptionKey: kek(1), Keep: keep, Now: time.Now, Log: slog.New(slog.NewTextHandler(&out, nil))}
		r := open(t, cfg)
		cfg.Log = nil
		other := open(t, cfg)
		r.Start()
		r.Start()
		info, err := other.Rotate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(keys.DefaultRefresh + time.Millisecond)
		synctest.Wait()
		if body, _ := r.JWKS(); !bytes.Contains(body, []byte(info.ID)) {
			t.Error("a key that another process made is not published after a refresh")
		}
		s.fail(errors.New("connection refused"))
		time.Sleep(10 * keys.DefaultRefresh)
		s.fail(nil)
		time.Sleep(2 * keys.DefaultRefresh)
		synctest.Wait()
		if n := strings.Count(out.String(), "cannot be read"); n != 1 {
			t.Errorf("the trouble was logged %d times:\n%s", n, out.String())
		}
		if n := strings.Count(out.String(), "can be read again"); n != 1 {
			t.Errorf("its end was logged %d times:\n%s", n, out.String())
		}
		r.Stop()
		reads := s.count()
		r.Stop()
		r.Start()
		time.Sleep(10 * keys.DefaultRefresh)
		synctest.Wait()
		if s.count() != reads {
			t.Error("the store is read after Stop")
		}
		if _, err := r.Signer(time.Now()); err != nil {
			t.Errorf("a stopped ring does not sign: %v", err)
		}
	})
}

func TestStopCutsAReadShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &hanging{table: &table{}}
		r := open(t, keys.Config{Store: s, EncryptionKey: kek(1), Keep: keep})
		s.hang = true
		r.Start()
		time.Sleep(keys.DefaultRefresh)
		synctest.Wait() // now it hangs
		begin := time.Now()
		r.Stop()
		if d := time.Since(begin); d != 0 {
			t.Errorf("stopping took %v", d)
		}
	})
}

// hanging is a store that answers only when it is given up on.
type hanging struct {
	*table
	hang bool
}

func (h *hanging) ListKeys(ctx context.Context) ([]keys.Record, error) {
	if h.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.table.ListKeys(ctx)
}

func TestReadOfAHangingStoreIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &hanging{table: &table{}}
		r := open(t, keys.Config{Store: s, EncryptionKey: kek(1), Keep: keep})
		s.hang = true
		begin := time.Now()
		if _, err := r.Verifier(strings.Repeat("A", 43)); !errors.Is(err, keys.ErrUnavailable) {
			t.Error(err)
		}
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestStopBeforeStart(t *testing.T) {
	t.Parallel()
	r := open(t, config(&table{}, newClock()))
	r.Stop()
	r.Start()
	r.Stop()
}
