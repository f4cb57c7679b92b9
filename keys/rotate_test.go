package keys_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/keys"
)

func TestFirstKeySignsAtOnce(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r := open(t, config(s, c))
	id := signing(t, r, c)
	if got, want := states(t, r), (map[string]keys.State{id: keys.Signing}); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	if other := open(t, config(s, c)); signing(t, other, c) != id {
		t.Error("a second process made a key of its own")
	}
	// A caller who cuts its time to the second, or whose clock is behind, still gets the key.
	if k, err := r.Signer(c.Now().Truncate(time.Second)); err != nil || k.ID != id {
		t.Errorf("before the first key's time: %v, %v", k, err)
	}
}

func TestRacingProcessesMakeOneFirstKey(t *testing.T) {
	t.Parallel()
	const processes = 16
	c, s := newClock(), &table{}
	// All read the empty table before any may add to it.
	var arrived sync.WaitGroup
	arrived.Add(processes)
	var first [processes]sync.Once
	rings := make([]*keys.Ring, processes)
	errs := make([]error, processes)
	var done sync.WaitGroup
	for i := range processes {
		gate := &gated{table: s, listed: func() {
			first[i].Do(func() { arrived.Done(); arrived.Wait() })
		}}
		done.Go(func() { rings[i], errs[i] = keys.Open(t.Context(), config(gate, c)) })
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if len(s.rows) != 1 {
		t.Fatalf("%d keys were made", len(s.rows))
	}
	for i, r := range rings {
		if id := signing(t, r, c); id != s.rows[0].ID {
			t.Errorf("process %d signs with %s", i, id)
		}
	}
}

// gated is one process's view of a table.
type gated struct {
	*table
	listed func()
}

func (g *gated) ListKeys(ctx context.Context) ([]keys.Record, error) {
	defer g.listed()
	return g.table.ListKeys(ctx)
}

func TestRotationOverlaps(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r := open(t, config(s, c))
	other := open(t, config(s, c))
	old := signing(t, r, c)

	info, err := r.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State != keys.Next || !info.ActiveAt.Equal(c.Now().Truncate(time.Microsecond).Add(keys.DefaultPublish)) {
		t.Errorf("a rotated key is %s from %v", info.State, info.ActiveAt)
	}
	if _, err := r.Rotate(t.Context()); !errors.Is(err, keys.ErrPending) {
		t.Errorf("rotating while a key is next: %v", err)
	}
	if _, err := other.Verifier(info.ID); err != nil {
		t.Errorf("another process does not know the next key: %v", err)
	}
	steps := []struct {
		turn   time.Duration
		signs  string
		states map[string]keys.State
	}{
		{0, old, map[string]keys.State{old: keys.Signing, info.ID: keys.Next}},
		{keys.DefaultPublish - time.Microsecond, old, map[string]keys.State{old: keys.Signing, info.ID: keys.Next}},
		{time.Microsecond, info.ID, map[string]keys.State{old: keys.Verifying, info.ID: keys.Signing}},
		{keep + keys.DefaultRefresh - time.Microsecond, info.ID, map[string]keys.State{old: keys.Verifying, info.ID: keys.Signing}},
	}
	for _, step := range steps {
		c.Turn(step.turn)
		for name, ring := range map[string]*keys.Ring{"the process that rotated": r, "the other process": other} {
			if got := signing(t, ring, c); got != step.signs {
				t.Errorf("at +%v %s signs with %s, want %s", step.turn, name, got, step.signs)
			}
			if got := states(t, ring); !cmp.Equal(got, step.states) {
				t.Errorf("at +%v %s: %s", step.turn, name, cmp.Diff(step.states, got))
			}
			if _, err := ring.SignerByID(old); err != nil {
				t.Errorf("at +%v %s cannot sign again with the old key: %v", step.turn, name, err)
			}
		}
		if err := r.Retire(t.Context(), old, false); !errors.Is(err, keys.ErrInUse) {
			t.Errorf("at +%v retiring the old key: %v", step.turn, err)
		}
	}
	c.Turn(time.Microsecond)
	if err := r.Retire(t.Context(), old, false); err != nil {
		t.Errorf("retiring when the last token has expired: %v", err)
	}
	if _, err := r.Verifier(old); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("verifying with a retired key: %v", err)
	}
	if _, err := r.SignerByID(old); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("signing with a retired key: %v", err)
	}
	if err := r.Retire(t.Context(), old, false); err != nil {
		t.Errorf("retiring twice: %v", err)
	}
}

func TestRacingRotationsAddOneKey(t *testing.T) {
	t.Parallel()
	const callers = 16
	c, s := newClock(), &table{}
	rings := make([]*keys.Ring, callers)
	for i := range rings {
		rings[i] = open(t, config(s, c))
	}
	errs := make([]error, callers)
	var done sync.WaitGroup
	for i, r := range rings {
		done.Go(func() { _, errs[i] = r.Rotate(t.Context()) })
	}
	done.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, keys.ErrStale) && !errors.Is(err, keys.ErrPending):
			t.Errorf("a loser got %v", err)
		}
	}
	if won != 1 || len(s.rows) != 2 {
		t.Errorf("%d rotations won and %d keys are there", won, len(s.rows))
	}
}

func TestEmergencyRotation(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r := open(t, config(s, c))
	leaked := signing(t, r, c)
	pending, err := r.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Turn(time.Minute)
	info, err := r.RotateNow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State != keys.Signing || signing(t, r, c) != info.ID {
		t.Errorf("the emergency key is %s", info.State)
	}
	if err := r.Retire(t.Context(), leaked, true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Verifier(leaked); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("the leaked key still verifies: %v", err)
	}
	want := map[string]keys.State{leaked: keys.Retired, info.ID: keys.Signing, pending.ID: keys.Next}
	if got := states(t, r); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	// The key that waited takes over in its time, and there is no obstacle to rotations after that.
	c.Turn(keys.DefaultPublish)
	if got := signing(t, r, c); got != pending.ID {
		t.Errorf("after its time the pending key does not sign but %s", got)
	}
	if _, err := r.Rotate(t.Context()); err != nil {
		t.Errorf("rotating after an emergency: %v", err)
	}
}

func TestForcedRetirementOfTheSigningKeyReplacesIt(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r := open(t, config(s, c))
	old := signing(t, r, c)
	if err := r.Retire(t.Context(), old, false); !errors.Is(err, keys.ErrInUse) {
		t.Fatalf("retiring the key that signs: %v", err)
	}
	if err := r.Retire(t.Context(), old, true); err != nil {
		t.Fatal(err)
	}
	if got := signing(t, r, c); got == old || len(s.rows) != 2 {
		t.Errorf("%s signs, of %d keys", got, len(s.rows))
	}
}

func TestRetiringTheNextKey(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r := open(t, config(s, c))
	old := signing(t, r, c)
	next, err := r.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Turn(keys.DefaultPublish - 2*keys.DefaultRefresh)
	if err := r.Retire(t.Context(), next.ID, false); !errors.Is(err, keys.ErrInUse) {
		t.Errorf("retiring a key that others may be about to sign with: %v", err)
	}
	c.Turn(-time.Microsecond)
	if err := r.Retire(t.Context(), next.ID, false); err != nil {
		t.Errorf("retiring a key long before it signs: %v", err)
	}
	c.Turn(keys.DefaultPublish)
	if got := signing(t, r, c); got != old {
		t.Errorf("%s signs after its successor was withdrawn", got)
	}
	infos, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if infos[0].ID != old || infos[0].StopsAt != nil || infos[0].RetirableAt != nil {
		t.Errorf("a key whose successor never signed stops: %+v", infos[0])
	}
	if err := r.Retire(t.Context(), "nobody", true); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("retiring a key that is not there: %v", err)
	}
}

func TestPublishedKeysAreBounded(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r := open(t, config(s, c))
	var err error
	for range 100 {
		c.Turn(time.Second)
		if _, err = r.RotateNow(t.Context()); err != nil {
			break
		}
	}
	if !errors.Is(err, keys.ErrTooMany) {
		t.Fatalf("a hundred emergency rotations end with %v", err)
	}
	if len(s.rows) != 64 {
		t.Errorf("%d keys are published", len(s.rows))
	}
	if err := r.Retire(t.Context(), s.rows[0].ID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RotateNow(t.Context()); err != nil {
		t.Errorf("rotating after one was retired: %v", err)
	}
}

func TestRotationTellsOfAStoreThatFails(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r := open(t, config(s, c))
	id := signing(t, r, c)
	down := errors.New("connection refused")
	s.fail(down)
	_, err1 := r.Rotate(t.Context())
	_, err2 := r.RotateNow(t.Context())
	_, err3 := r.List(t.Context())
	_, err4 := keys.RetireAll(t.Context(), s, c.Now())
	_, err5 := keys.Open(t.Context(), config(s, c))
	for i, err := range []error{err1, err2, err3, err4, err5, r.Retire(t.Context(), id, true)} {
		if !errors.Is(err, down) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if got := signing(t, r, c); got != id {
		t.Errorf("the ring lost its key: %s", got)
	}
}

// overtaken is a store in which somebody else adds a key just before the first call of AddKey.
type overtaken struct {
	*table
	once  sync.Once
	other func()
}

func (o *overtaken) AddKey(ctx context.Context, r keys.Record, after string) error {
	o.once.Do(o.other)
	return o.table.AddKey(ctx, r, after)
}

func TestForcedRetirementWhileAnotherRotates(t *testing.T) {
	t.Parallel()
	for name, rotate := range map[string]func(*keys.Ring) (keys.Info, error){
		"for later": func(r *keys.Ring) (keys.Info, error) { return r.Rotate(t.Context()) },
		"at once":   func(r *keys.Ring) (keys.Info, error) { return r.RotateNow(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := newClock(), &table{}
			other := open(t, config(s, c))
			first := signing(t, other, c)
			c.Turn(time.Minute)
			second, err := other.RotateNow(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.Turn(time.Minute)
			r := open(t, config(&overtaken{table: s, other: func() {
				if _, err := rotate(other); err != nil {
					t.Error(err)
				}
			}}, c))
			if err := r.Retire(t.Context(), second.ID, true); err != nil {
				t.Fatal(err)
			}
			if got := signing(t, r, c); got == first || got == second.ID {
				t.Errorf("a key signs again that had stopped")
			}
			if got := states(t, r)[second.ID]; got != keys.Retired {
				t.Errorf("the key is %s", got)
			}
		})
	}
}
