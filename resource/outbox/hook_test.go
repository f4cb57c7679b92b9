package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// soon is a schedule that does not keep a test waiting.
func soon(tries int) []time.Duration { return slices.Repeat([]time.Duration{time.Millisecond}, tries) }

// receiver is somebody's endpoint. It writes down what it took, and what it was asked.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	taken []Event // in the order of their coming, repetitions too
	asked []string
	heads []http.Header
	bodys [][]byte
	// answer says with which status to answer; nil for 204. 0 cuts the connection.
	answer func(e Event) (status int, header http.Header)
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var e Event
	if err != nil || json.Unmarshal(body, &e) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	answer := r.answer
	r.asked = append(r.asked, e.ID)
	r.heads, r.bodys = append(r.heads, req.Header.Clone()), append(r.bodys, body)
	r.mu.Unlock()
	status, header := http.StatusNoContent, http.Header(nil)
	if answer != nil {
		status, header = answer(e)
	}
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	if status/100 == 2 {
		r.mu.Lock()
		r.taken = append(r.taken, e)
		r.mu.Unlock()
	}
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
}

func (r *receiver) events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}

func (r *receiver) tries() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

// distinct are the IDs of what was taken, without repetitions.
func (r *receiver) distinct() map[string]bool {
	ids := map[string]bool{}
	for _, e := range r.events() {
		ids[e.ID] = true
	}
	return ids
}

// loopback may be called by tests.
func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

func newBox(t testing.TB) *keys.Box {
	t.Helper()
	box, err := keys.NewBox(secret.New("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), "webhooks of tests")
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func newTestSender(t testing.TB) *Sender {
	t.Helper()
	s, err := NewSender(SenderConfig{Box: newBox(t), AllowHTTP: true, Allowed: loopback(), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stand) desk() *Desk {
	s.Helper()
	d, err := NewDesk(DeskConfig{Store: s.db, Box: newBox(s), Sender: newTestSender(s)})
	s.ok(err)
	return d
}

// hook makes a webhook that begins at the beginning.
func (s *stand) hook(url string, events ...string) (storage.Destination, secret.Text) {
	s.Helper()
	w, text, err := s.desk().Create(s.Context(), Origin{Actor: "operator:test"}, Draft{URL: url, Events: events, After: new(int64)})
	s.ok(err)
	return w.ID, text
}

func (s *stand) deliver(c Config) *Runner {
	s.Helper()
	c.Hooks = newTestSender(s)
	if c.Lease == 0 {
		c.Lease = time.Second
	}
	return s.run(c)
}

// ordered checks that no event came for the first time before an earlier one of its users.
func ordered(t testing.TB, events []Event) {
	t.Helper()
	last := map[storage.UserID]int64{}
	seen := map[string]bool{}
	for _, e := range events {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		for _, user := range []storage.UserID{e.Data.From, e.Data.To} {
			if user == "" {
				continue
			}
			if e.Number < last[user] {
				t.Errorf("event %d came after %d of the same user", e.Number, last[user])
			}
			last[user] = max(last[user], e.Number)
		}
	}
}

func TestWebhookTakesEverythingInOrder(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStand(t, e, 3)
		to := newReceiver(t)
		for i := range 30 {
			s.deposit(s.users[i%3])
		}
		s.seal()
		id, _ := s.hook(to.URL + "/hooks")
		r := s.deliver(Config{})
		s.eventually("all came", func() bool { return len(to.events()) == 30 })
		r.Stop()
		ordered(t, to.events())
		standing, err := s.desk().Show(t.Context(), id)
		s.ok(err)
		if standing.State.Number != 30 || standing.State.Waiting != 0 || standing.State.FailingAt != nil {
			t.Errorf("it stands at %+v", standing.State)
		}
		// What was taken is not sent again.
		s.deposit(s.users[0])
		s.seal()
		r = s.deliver(Config{})
		s.eventually("one more came", func() bool { return len(to.events()) == 31 })
		r.Stop()
		if n := to.tries(); n != 31 {
			t.Errorf("%d tries for 31 events", n)
		}
	})
}

// One user's event is refused: that user waits and the others go on. After all tries it is dead, what waited goes, and
// a replay brings it.
func TestWebhookRefusesOneEvent(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), 2)
	to := newReceiver(t)
	poison := idPrefix + string(s.deposit(s.users[0]))
	var mu sync.Mutex
	refusing, waiting := true, make(chan struct{})
	for i := range 10 {
		s.deposit(s.users[(i+1)%2])
	}
	s.seal()
	id, _ := s.hook(to.URL)
	to.answer = func(e Event) (int, http.Header) {
		mu.Lock()
		refuse := e.ID == poison && refusing
		mu.Unlock()
		if !refuse {
			return http.StatusOK, nil
		}
		if to.triesOf(poison) > 1 {
			<-waiting
		}
		return http.StatusInternalServerError, nil
	}
	r := s.deliver(Config{schedule: soon(2)})
	s.eventually("the other user's came", func() bool { return len(to.events()) == 5 })
	for _, e := range to.events() {
		if e.Data.To != s.users[1] {
			t.Errorf("event %d of the user who waits came", e.Number)
		}
	}
	close(waiting)
	s.eventually("those that waited came", func() bool { return len(to.events()) == 10 })
	var dead []storage.Delivery
	s.eventually("it is dead", func() bool {
		var err error
		dead, err = s.desk().Dead(t.Context(), id, 0, 10)
		return err == nil && len(dead) == 1
	})
	if dead[0].Number != 1 || dead[0].Attempts != 3 || dead[0].Fault != "status 500" {
		t.Errorf("dead: %+v", dead[0])
	}
	mu.Lock()
	refusing = false
	mu.Unlock()
	n, err := s.desk().Replay(t.Context(), Origin{Actor: "operator:test"}, id, 0)
	s.ok(err)
	if n != 1 {
		t.Errorf("replayed %d", n)
	}
	s.eventually("it came after all", func() bool { return to.distinct()[poison] })
	r.Stop()
	ordered(t, to.events()[:10])
	state, err := s.desk().Show(t.Context(), id)
	s.ok(err)
	if state.State.Number != 11 || state.State.Waiting+state.State.Dead != 0 {
		t.Errorf("it stands at %+v", state.State)
	}
}

func (r *receiver) triesOf(id string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.asked {
		if one == id {
			n++
		}
	}
	return n
}

// Whatever a receiver does, every event comes, and in order for each user; two processes take turns, and one of them dies
// again and again without a chance to write what it has done.
func TestWebhookUnderRandomFailures(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		chance, moods := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
		s := newStand(t, e, 4)
		const total = 40
		var mu sync.Mutex
		to := newReceiver(t)
		to.answer = func(Event) (int, http.Header) {
			mu.Lock()
			defer mu.Unlock()
			return []int{204, 200, 204, 500, 0, 429, 302, 400}[moods.IntN(8)], nil
		}
		id, _ := s.hook(to.URL)
		cfg := Config{schedule: soon(1000), Lease: 150 * time.Millisecond, Parallel: 3}
		r := s.deliver(cfg)
		posted := 0
		for posted < total || len(to.distinct()) < total {
			for range 10 {
				if posted < total {
					s.deposit(s.users[chance.IntN(4)])
					posted++
				}
			}
			s.seal()
			want := min(len(to.distinct())+5, posted)
			s.eventually(fmt.Sprintf("%d of %d came", want, posted), func() bool { return len(to.distinct()) >= want })
			r.crash()
			r = s.deliver(cfg)
		}
		s.eventually("all is written", func() bool {
			states, err := s.db.OutboxStates(t.Context())
			return err == nil && len(states) == 1 && states[0].Number == total && states[0].Waiting == 0
		})
		r.Stop()
		ordered(t, to.events())
		if dead, err := s.desk().Dead(t.Context(), id, 0, 10); err != nil || len(dead) != 0 {
			t.Errorf("dead: %v, %v", dead, err)
		}
	})
}

// crash ends a runner as kill -9 does for the store: from now on it can write nothing.
func (r *Runner) crash() {
	r.cfg.Store.(*mortal).die()
	r.Stop()
}

// mortal is a store that can go away.
type mortal struct {
	Store
	mu   sync.Mutex
	dead bool
}

func (m *mortal) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
}

func (m *mortal) gone() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return storage.ErrUnavailable
	}
	return nil
}

func (m *mortal) Advance(ctx context.Context, c storage.Claim, a storage.Advance) error {
	if err := m.gone(); err != nil {
		return err
	}
	return m.Store.Advance(ctx, c, a)
}

func (m *mortal) Release(ctx context.Context, c storage.Claim, now time.Time) error {
	if err := m.gone(); err != nil {
		return err
	}
	return m.Store.Release(ctx, c, now)
}

// Two processes at once: each event comes, in order, and about once.
func TestWebhookHasOneDeliverer(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStand(t, e, 4)
		to := newReceiver(t)
		s.hook(to.URL)
		first, second := s.deliver(Config{Lease: 10 * time.Second}), s.deliver(Config{Lease: 10 * time.Second})
		for i := range 20 {
			s.deposit(s.users[i%4])
			s.seal()
		}
		s.eventually("all came", func() bool { return len(to.distinct()) == 20 })
		if n := to.tries(); n != 20 {
			t.Errorf("%d tries for 20 events", n)
		}
		first.Stop()
		second.Stop()
		ordered(t, to.events())
	})
}

func TestWebhookWantsSomeTypes(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), 1)
	to := newReceiver(t)
	id, _ := s.hook(to.URL, TypePlaced)
	for range 2 * window {
		s.deposit(s.users[0])
	}
	s.seal()
	r := s.deliver(Config{})
	s.eventually("it has gone by", func() bool {
		state, err := s.desk().Show(t.Context(), id)
		return err == nil && state.State.Number == 2*window
	})
	r.Stop()
	if n := to.tries(); n != 0 {
		t.Errorf("%d events that nobody asked for came", n)
	}
}

func TestWebhookGoneIsDisabled(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), 1)
	to := newReceiver(t)
	to.answer = func(Event) (int, http.Header) { return http.StatusGone, nil }
	s.deposit(s.users[0])
	s.seal()
	id, _ := s.hook(to.URL)
	r := s.deliver(Config{schedule: soon(3)})
	disabled := func() bool {
		w, err := s.db.Webhook(t.Context(), id)
		return err == nil && w.DisabledAt != nil && w.DisabledWhy == storage.DisabledGone
	}
	s.eventually("it is disabled", disabled)
	if n := to.tries(); n != 1 {
		t.Errorf("%d tries at what is gone", n)
	}
	to.mu.Lock()
	to.answer = nil
	to.mu.Unlock()
	s.ok(s.desk().Update(t.Context(), Origin{}, id, Change{Disabled: new(bool)}))
	s.eventually("enabled, it goes on", func() bool { return len(to.events()) == 1 })
	r.Stop()
}

func TestWebhookThatFailsForLongIsDisabled(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), 1)
	to := newReceiver(t)
	to.answer = func(Event) (int, http.Header) { return http.StatusBadGateway, nil }
	s.deposit(s.users[0])
	s.seal()
	id, _ := s.hook(to.URL)
	r := s.deliver(Config{schedule: soon(100_000), DisableAfter: 50 * time.Millisecond})
	s.eventually("it is disabled", func() bool {
		w, err := s.db.Webhook(t.Context(), id)
		return err == nil && w.DisabledAt != nil && w.DisabledWhy == storage.DisabledFailing
	})
	r.Stop()
}

// A change reaches who delivers: another URL, and the end.
func TestWebhookIsMoved(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), 1)
	before, after := newReceiver(t), newReceiver(t)
	id, _ := s.hook(before.URL)
	r := s.deliver(Config{})
	s.deposit(s.users[0])
	s.seal()
	s.eventually("the first came", func() bool { return len(before.events()) == 1 })
	s.ok(s.desk().Update(t.Context(), Origin{}, id, Change{URL: &after.URL}))
	s.eventually("events come where it points now", func() bool {
		s.deposit(s.users[0])
		s.seal()
		return len(after.events()) > 0
	})
	s.ok(s.desk().Delete(t.Context(), Origin{}, id))
	r.Stop()
}

// While as many wait as may, no more is taken in; nothing is lost by that.
func TestWebhookThatIsAwayTakesInSoMuch(t *testing.T) {
	t.Parallel()
	l := line{}
	now := time.Now()
	for n := range int64(storage.MaxWaiting) {
		l.items = append(l.items, &item{Delivery: storage.Delivery{Number: n + 1, To: "tom", Attempts: 1, NextAt: now.Add(time.Hour)}, stored: true})
	}
	l.cursor, l.seen = storage.MaxWaiting, storage.MaxWaiting
	lane := &lane{line: l}
	if more, err := lane.takeIn(t.Context(), storage.MaxWaiting+10); more || err != nil { // it would need a runner to read
		t.Errorf("took in more: %v, %v", more, err)
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), 1)
	log := &logBuffer{}
	s.deposit(s.users[0])
	s.seal()
	to := newReceiver(t)
	to.answer = func(Event) (int, http.Header) { return http.StatusBadRequest, nil }
	id, text := s.hook(to.URL + "/token/hush-hush")
	r := s.deliver(Config{Log: logTo(log), schedule: soon(1)})
	s.eventually("it is dead", func() bool {
		dead, err := s.desk().Dead(t.Context(), id, 0, 1)
		return err == nil && len(dead) == 1
	})
	r.Stop()
	if out := log.String(); !strings.Contains(out, "did not take an event") || strings.Contains(out, "hush") || strings.Contains(out, text.Reveal()[6:]) {
		t.Errorf("the log: %s", out)
	}
}
