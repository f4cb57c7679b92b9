package bench_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/cmd/internal/bench"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// envWorker makes the test binary a worker, whose guard asks the address in it.
const envWorker = "TALLYSTICK_TEST_BENCH_WORKER"

func TestMain(m *testing.M) {
	if _, worker := os.LookupEnv(envWorker); worker {
		os.Exit(work())
	}
	os.Setenv(envWorker, "") // of those that this one starts
	os.Exit(m.Run())
}

func work() int {
	in := bufio.NewReader(os.Stdin)
	var s settings
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	if err == nil && s.Broken {
		err = errors.New("broken")
	}
	if err == nil {
		err = bench.Work(context.Background(), httpGuard(s.URL), in, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

type settings struct {
	URL    string
	Broken bool
}

// httpGuard asks a server whether a token stands.
type httpGuard string

func (g httpGuard) Check(ctx context.Context, raw string) (guard.Principal, error) {
	return g.ask(ctx, "/local", raw)
}

func (g httpGuard) CheckStrictly(ctx context.Context, raw string) (guard.Principal, error) {
	return g.ask(ctx, "/strict", raw)
}

func (g httpGuard) ask(ctx context.Context, path, raw string) (guard.Principal, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, string(g)+path+"?t="+raw, nil)
	if err != nil {
		return guard.Principal{}, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return guard.Principal{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		return guard.Principal{}, nil
	}
	refusal := &guard.Refusal{Status: answer.StatusCode}
	if reason := answer.Header.Get("Reason"); reason != "" {
		refusal.End = &storage.End{Reason: storage.Reason(reason)}
	}
	return guard.Principal{}, refusal
}

// site signs users in and forgets them.
type site struct {
	*httptest.Server

	mu      sync.Mutex
	live    map[string]string    // user to token
	ended   map[string]time.Time // token
	issued  int
	lag     time.Duration // of local checks
	lenient bool          // of strict checks
	reason  string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{live: map[string]string{}, ended: map[string]time.Time{}, reason: "superseded"}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/token" {
		user := r.PostFormValue("username")
		if r.PostFormValue("password") != "right" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
			return
		}
		s.issued++
		s.ended[s.live[user]] = time.Now()
		s.live[user] = fmt.Sprint("t", s.issued)
		fmt.Fprintf(w, `{"access_token":%q}`, s.live[user])
		return
	}
	at, dead := s.ended[r.URL.Query().Get("t")]
	if !dead || r.URL.Path == "/strict" && s.lenient || r.URL.Path == "/local" && time.Since(at) < s.lag {
		return
	}
	w.Header().Set("Reason", s.reason)
	w.WriteHeader(http.StatusUnauthorized)
}

func (s *site) plan(errs io.Writer) bench.Plan {
	self, _ := os.Executable()
	start := func(feed string) bench.Start {
		return bench.Start{Feed: feed, Path: self, Settings: settings{URL: s.URL}}
	}
	return bench.Plan{
		Token: s.URL + "/token", Client: "app", Users: []bench.User{{"tom", "right"}, {"amy", "right"}},
		Guards: []bench.Start{start("b"), start("a"), start("a")}, Count: 5, Time: time.Minute, Errors: errs,
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.lag = 50 * time.Millisecond
	var steps atomic.Int64
	p := s.plan(t.Output())
	p.Step = func() { steps.Add(1) }
	r, err := bench.Kickout(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if steps.Load() != 5 || r.KickOuts != 5 || r.Strict != (bench.Strict{Checks: 5}) || !r.Kept() || len(r.Feeds) != 2 || r.Seconds <= 0 {
		t.Fatalf("%+v after %d steps", r, steps.Load())
	}
	for i, want := range []bench.Feed{{Name: "a", Guards: 2, Samples: 10}, {Name: "b", Guards: 1, Samples: 5}} {
		got := r.Feeds[i]
		if got.P50 < 40 || got.P50 > got.P99 || got.P99 > got.Max {
			t.Errorf("%+v, with a lag of 50 ms", got)
		}
		got.P50, got.P99, got.Max = 0, 0, 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestBrokenGuaranteesAreSeen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.lenient = true
	r, err := bench.Kickout(t.Context(), s.plan(t.Output()))
	if err != nil || r.Strict.Accepted != 5 || r.Kept() {
		t.Errorf("lenient strict checks: %+v, %v", r, err)
	}
	s = newSite(t)
	s.lag = bench.Bound + 100*time.Millisecond
	p := s.plan(t.Output())
	p.Count = 1
	r, err = bench.Kickout(t.Context(), p)
	if err != nil || r.Feeds[0].Late != 2 || r.Kept() {
		t.Errorf("late guards: %+v, %v", r, err)
	}
}

func TestFaultsOfARun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []struct {
		says   string
		change func(*bench.Plan)
	}{
		{"guards, a count and a time are needed", func(p *bench.Plan) { p.Guards = nil }},
		{"guards, a count and a time are needed", func(p *bench.Plan) { p.Count = 0 }},
		{"answered 400 invalid_grant", func(p *bench.Plan) { p.Users[1].Password = "wrong" }},
		{"guard by a", func(p *bench.Plan) { p.Guards[1].Settings = settings{Broken: true} }},
		{"no such file", func(p *bench.Plan) { p.Guards[0].Path = "/nowhere" }},
		{"does not let a live session in", func(p *bench.Plan) { p.Guards[0].Settings = settings{URL: refusing(t)} }},
	} {
		p := s.plan(io.Discard)
		c.change(&p)
		if _, err := bench.Kickout(t.Context(), p); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
	s.reason = "kicked"
	if _, err := bench.Kickout(t.Context(), s.plan(t.Output())); err == nil || !strings.Contains(err.Error(), "does anybody else use these users") {
		t.Errorf("kicked by somebody: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p := newSite(t).plan(t.Output())
	p.Pause, p.Step = time.Hour, cancel
	if _, err := bench.Kickout(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// refusing is a site that refuses everybody.
func refusing(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(s.Close)
	return s.URL
}

func TestTimeBoundsARun(t *testing.T) {
	t.Parallel()
	p := newSite(t).plan(t.Output())
	p.Count, p.Time, p.Pause = 1_000_000, 300*time.Millisecond, 10*time.Millisecond
	r, err := bench.Kickout(t.Context(), p)
	if err != nil || r.KickOuts == 0 || r.KickOuts > 100 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestWorkerRefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := bench.Work(t.Context(), httpGuard("http://127.0.0.1:1"), strings.NewReader("x\n"), &out); err == nil || !strings.Contains(out.String(), "ready") {
		t.Errorf("%v, %s", err, &out)
	}
	out.Reset()
	err := bench.Work(t.Context(), httpGuard("http://127.0.0.1:1"), strings.NewReader(`{"n":-1,"token":"x","strict":true}`+"\n"), &out)
	if err != nil || !strings.Contains(out.String(), `"unsure"`) {
		t.Errorf("nobody answers: %v, %s", err, &out)
	}
}
