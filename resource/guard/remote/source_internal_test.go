package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

const fakeIssuer = "https://issuer.example"

// fake is an issuer inside a test: a RoundTripper, so that time can stand still around it.
type fake struct {
	mu      sync.Mutex
	tokens  int // given out
	opened  []*fakeStream
	asked   map[string]int
	refuse  func(path string) *http.Response // nil for not
	onOpen  func(s *fakeStream)
	serving sync.WaitGroup
	expires int64
	kids    []string
	origin  time.Time // of the server's clock
}

func newFake() *fake {
	return &fake{asked: map[string]int{}, expires: 3600, kids: []string{strings.Repeat("k", keyIDLength)}, origin: time.Now().Add(-time.Hour)}
}

// moment is the server's clock.
func (f *fake) moment() int64 { return time.Since(f.origin).Milliseconds() }

// fakeStream is a stream as its server holds it.
type fakeStream struct {
	*io.PipeWriter

	header http.Header
	gone   <-chan struct{}
}

func (s *fakeStream) say(id, kind, data string) {
	if id != "" {
		id = "id: " + id + "\n"
	}
	_, _ = fmt.Fprintf(s, "%sevent: %s\ndata: %s\n\n", id, kind, data)
}

func (s *fakeStream) begin(moment int64) {
	s.say("", "begin", fmt.Sprintf(`{"v":1,"mode":"snapshot","because":"no position","s":%d}`, moment))
}

func (s *fakeStream) heard(id string, moment, age int64) {
	s.say(id, "heard", fmt.Sprintf(`{"s":%d,"age":%d}`, moment, age))
}

func answerOf(r *http.Request, status int, kind, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}
}

// RoundTrip implements http.RoundTripper.
func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[r.URL.Path]++
	if f.refuse != nil {
		if a := f.refuse(r.URL.Path); a != nil {
			return a, nil
		}
	}
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server":
		return answerOf(r, 200, "application/json", fmt.Sprintf(
			`{"issuer":%q,"token_endpoint":"%[1]s/t","jwks_uri":"%[1]s/k","introspection_endpoint":"%[1]s/i"}`, fakeIssuer)), nil
	case "/t":
		f.tokens++
		return answerOf(r, 200, "application/json", fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","expires_in":%d}`, f.tokens, f.expires)), nil
	case "/k":
		return answerOf(r, 200, "application/json", keySetOf(f.kids...)), nil
	case eventsPath:
		in, out := io.Pipe()
		s := &fakeStream{PipeWriter: out, header: r.Header, gone: r.Context().Done()}
		context.AfterFunc(r.Context(), func() { _ = in.CloseWithError(context.Cause(r.Context())) })
		f.opened = append(f.opened, s)
		if f.onOpen != nil {
			f.serving.Go(func() { f.onOpen(s) })
		}
		a := answerOf(r, 200, "text/event-stream; charset=utf-8", "")
		a.Body = in
		return a, nil
	}
	return answerOf(r, 404, "application/json", `{}`), nil
}

func (f *fake) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}

// keySetOf is a set of Ed25519 keys with the given identifiers.
func keySetOf(ids ...string) string {
	var list []string
	for i, id := range ids {
		list = append(list, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":%q,"x":"%sA"}`, id, strings.Repeat(string(rune('A'+i)), 42)))
	}
	return `{"keys":[` + strings.Join(list, ",") + `]}`
}

// memory is a sink that remembers.
type memory struct {
	mu     sync.Mutex
	events []storage.Event
	ways   []string
	heard  []time.Time
	lost   []error
}

func (m *memory) Take(way string, events []storage.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, events...)
	m.ways = append(m.ways, way)
}

func (m *memory) Heard(at time.Time, _ guard.Place) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, at)
}

func (m *memory) Lost(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = append(m.lost, err)
}

// losses are why nothing was heard, so far.
func (m *memory) losses() []error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.lost)
}

// newest is how long ago the sink was last told to be complete.
func (m *memory) newest() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.heard) == 0 {
		return time.Hour
	}
	best := m.heard[0]
	for _, at := range m.heard {
		if at.After(best) {
			best = at
		}
	}
	return time.Since(best)
}

// followed runs a test in a bubble in which a source follows a fake issuer.
func followed(t *testing.T, f func() *fake, test func(t *testing.T, f *fake, m *memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		issuer, m := f(), &memory{}
		s := sourceOf(issuer)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Follow(ctx, m) }()
		synctest.Wait()
		test(t, issuer, m)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("followed until %v", err)
		}
		issuer.serving.Wait()
	})
}

func sourceOf(f *fake) *source {
	i := newIssuer(&Config{
		Issuer: fakeIssuer, ClientID: "parcels", ClientSecret: secret.New("hush"), Now: time.Now, HTTPClient: &http.Client{Transport: f, Timeout: time.Second},
	})
	return &source{issuer: i, keys: &keySet{issuer: i, now: time.Now, log: discard()}, now: time.Now}
}

// steady is an issuer whose streams beat every 200 ms for as long as they are read.
func steady() *fake {
	f := newFake()
	f.onOpen = func(s *fakeStream) {
		s.begin(f.moment())
		s.beat(f, 1<<30)
	}
	return f
}

func (s *fakeStream) beat(f *fake, n int) {
	for i := range n {
		s.heard(fmt.Sprintf("%d-x", i+1), f.moment(), 0)
		select {
		case <-time.After(200 * time.Millisecond):
		case <-s.gone:
			return
		}
	}
}

func TestSteadyStreamIsTrustedAndRenewed(t *testing.T) {
	t.Parallel()
	followed(t, steady, func(t *testing.T, f *fake, m *memory) {
		for range 600 { // two minutes
			time.Sleep(200 * time.Millisecond)
			if old := m.newest(); old > 300*time.Millisecond || old < 0 {
				t.Fatalf("what is heard is %v old", old)
			}
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.opened) != 2 && len(f.opened) != 3 {
			t.Errorf("opened %d streams in two minutes", len(f.opened))
		}
		if got := f.opened[1].header.Get("Last-Event-ID"); !strings.HasSuffix(got, "-x") {
			t.Errorf("resumed from %q", got)
		}
		if got := f.opened[0].header.Get("Last-Event-ID"); got != "" {
			t.Errorf("the first stream began at %q", got)
		}
		if len(m.losses()) != 0 {
			t.Errorf("lost: %v", m.losses())
		}
	})
}

// TestBurstOfOldMessagesDoesNotUnblind holds messages back and then delivers all of them at once.
func TestBurstOfOldMessagesDoesNotUnblind(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	stalling := func() *fake {
		held = make(chan struct{}) // of this bubble
		f := newFake()
		first := true
		f.onOpen = func(s *fakeStream) {
			if !first {
				return // the network is gone for whoever comes later
			}
			first = false
			s.begin(f.moment())
			s.beat(f, 5)
			var late []int64
			for range 7 { // what the server writes in the next 1.4 s waits at a proxy
				late = append(late, f.moment())
				time.Sleep(200 * time.Millisecond)
			}
			<-held
			for _, moment := range late {
				s.heard("9-x", moment, 0)
			}
		}
		return f
	}
	followed(t, stalling, func(t *testing.T, _ *fake, m *memory) {
		time.Sleep(time.Second)
		if old := m.newest(); old > 300*time.Millisecond {
			t.Fatalf("before the stall: %v", old)
		}
		time.Sleep(2500 * time.Millisecond) // 1.1 s after the last of those that wait was written
		if old := m.newest(); old < 2*time.Second {
			t.Fatalf("in the stall: %v", old)
		}
		close(held)
		synctest.Wait()
		if old := m.newest(); old < time.Second {
			t.Errorf("after the burst what is heard is %v old: a blind guard would believe that it sees", old)
		}
		if len(m.losses()) != 1 || !errors.Is(m.losses()[0], errLate) {
			t.Errorf("lost: %v, want that messages arrive late", m.losses())
		}
	})
}

func TestSilenceEndsAStream(t *testing.T) {
	t.Parallel()
	mute := func() *fake {
		f := newFake()
		f.onOpen = func(s *fakeStream) {
			s.begin(f.moment())
			s.heard("", f.moment(), 0)
		}
		return f
	}
	followed(t, mute, func(t *testing.T, f *fake, m *memory) {
		time.Sleep(silence - time.Millisecond)
		if n := f.count(eventsPath); n != 1 {
			t.Errorf("opened %d times before the silence was long enough", n)
		}
		time.Sleep(2*minBackoff + time.Millisecond)
		if n := f.count(eventsPath); n != 2 {
			t.Errorf("opened %d times after a silence", n)
		}
		if len(m.losses()) != 1 || !strings.Contains(m.losses()[0].Error(), "silent") {
			t.Errorf("lost: %v", m.losses())
		}
	})
}

func TestServerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake() // opens streams, and says nothing on them
		s := sourceOf(f)
		began := time.Now()
		err := s.Follow(t.Context(), &memory{})
		if err == nil || time.Since(began) > headerTime+time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// TestClocksThatDriftAreNotBelieved has a server whose clock runs fast, by what clocks are slewed at most.
func TestClocksThatDriftAreNotBelieved(t *testing.T) {
	t.Parallel()
	fast := func() *fake {
		f := newFake()
		f.onOpen = func(s *fakeStream) {
			opened, base := time.Now(), f.moment()
			s.begin(base)
			for {
				span := time.Since(opened)
				s.heard("", base+(span+span/2000).Milliseconds(), 0)
				select {
				case <-time.After(200 * time.Millisecond):
				case <-s.gone:
					return
				}
			}
		}
		return f
	}
	followed(t, fast, func(t *testing.T, _ *fake, m *memory) {
		for range 1000 {
			time.Sleep(100 * time.Millisecond)
			if old := m.newest(); old < 0 || old > 400*time.Millisecond {
				t.Fatalf("what is heard is %v old", old)
			}
		}
		if len(m.losses()) != 0 {
			t.Errorf("lost: %v", m.losses())
		}
	})
}

func TestStreamThatVouchesForTheFutureIsDropped(t *testing.T) {
	t.Parallel()
	asleep := func() *fake {
		f := newFake()
		f.onOpen = func(s *fakeStream) {
			s.begin(f.moment())
			s.heard("", f.moment(), 0)
			time.Sleep(200 * time.Millisecond)
			s.heard("", f.moment()+5000, 0) // the reader's machine slept for five seconds
		}
		return f
	}
	followed(t, asleep, func(t *testing.T, f *fake, m *memory) {
		time.Sleep(300 * time.Millisecond)
		if old := m.newest(); old < 0 {
			t.Errorf("what is heard is %v old", old)
		}
		if len(m.losses()) != 1 || !errors.Is(m.losses()[0], errAhead) || f.count(eventsPath) != 2 {
			t.Errorf("lost: %v; opened %d", m.losses(), f.count(eventsPath))
		}
	})
}

func TestEndsAreTakenInAsTheyCome(t *testing.T) {
	t.Parallel()
	end := func(sid string) string {
		return fmt.Sprintf(`{"id":"e","sid":%q,"reason":"superseded","code":2,"ended_at":"2026-11-20T08:00:00.5Z","until":"2026-11-20T08:15:00Z",`+
			`"superseded_by":{"terminal":"mobile","device_name":"new","at":"2026-11-20T08:00:00.5Z"},"of_tomorrow":1}`, sid)
	}
	ending := func() *fake {
		f := newFake()
		f.onOpen = func(s *fakeStream) {
			s.begin(f.moment())
			s.say("", "ended", end("a"))
			s.heard("", f.moment(), 0)
			s.say("", "of_tomorrow", `{"x":1}`)
			_, _ = io.WriteString(s, ": a comment\n\n")
			s.say("", "ended", end("b"))
		}
		return f
	}
	followed(t, ending, func(t *testing.T, _ *fake, m *memory) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.events) != 2 || m.events[0].Key != "a" || m.events[1].Key != "b" || fmt.Sprint(m.ways) != "[snapshot stream]" {
			t.Fatalf("%v %v", m.events, m.ways)
		}
		at := time.Date(2026, 11, 20, 8, 0, 0, 5e8, time.UTC)
		e := m.events[0]
		if e.Subject != storage.SubjectSession || e.ID != "e" || e.End.Reason != storage.Superseded || !e.End.At.Equal(at) ||
			e.End.By.DeviceName != "new" || !e.Until.Equal(at.Add(15*time.Minute-500*time.Millisecond)) {
			t.Errorf("%+v", e)
		}
	})
}

func TestWhatCannotBeReadEndsTheStream(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]func(s *fakeStream, moment int64){
		"an end that is no JSON": func(s *fakeStream, _ int64) { s.say("", "ended", `{`) },
		"an end of nothing":      func(s *fakeStream, _ int64) { s.say("", "ended", `{"reason":"kicked"}`) },
		"a heard without moment": func(s *fakeStream, _ int64) { s.say("", "heard", `{}`) },
		"a heard of before":      func(s *fakeStream, moment int64) { s.heard("", moment-1, 0) },
		"a heard of no age":      func(s *fakeStream, moment int64) { s.heard("", moment, -1) },
		"a line without end":     func(s *fakeStream, _ int64) { _, _ = io.WriteString(s, strings.Repeat("x", 2*maxLine)) },
		"an end of the stream":   func(s *fakeStream, _ int64) { _ = s.Close() },
		"a farewell":             func(s *fakeStream, _ int64) { s.say("", "bye", `{"why":"stopping"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			breaking := func() *fake {
				f := newFake()
				f.onOpen = func(s *fakeStream) {
					moment := f.moment()
					s.begin(moment)
					s.heard("", moment, 0)
					say(s, moment)
				}
				return f
			}
			followed(t, breaking, func(t *testing.T, f *fake, m *memory) {
				if len(m.losses()) != 1 {
					t.Fatalf("lost: %v", m.losses())
				}
				time.Sleep(time.Minute)
				if n := f.count(eventsPath); n < 20 || n > 80 {
					t.Errorf("opened %d times in a minute", n)
				}
			})
		})
	}
}

func TestStartFailsWithoutAnIssuer(t *testing.T) {
	t.Parallel()
	refusing := func(path string, status int, kind, body string) func(string) *http.Response {
		return func(p string) *http.Response {
			if p != path {
				return nil
			}
			return answerOf(nil, status, kind, body)
		}
	}
	const metadata = "/.well-known/oauth-authorization-server"
	json := "application/json"
	for name, refuse := range map[string]func(string) *http.Response{
		"no metadata":             refusing(metadata, 500, json, `{}`),
		"metadata of another":     refusing(metadata, 200, json, `{"issuer":"https://other.example"}`),
		"metadata without keys":   refusing(metadata, 200, json, `{"issuer":"`+fakeIssuer+`","token_endpoint":"https://x/t","introspection_endpoint":"https://x/i"}`),
		"an insecure endpoint":    refusing(metadata, 200, json, `{"issuer":"`+fakeIssuer+`","token_endpoint":"http://x/t","jwks_uri":"https://x/k","introspection_endpoint":"https://x/i"}`),
		"endless metadata":        refusing(metadata, 200, json, `"`+strings.Repeat("x", maxBody)+`"`),
		"metadata elsewhere":      refusing(metadata, 302, json, ``),
		"no keys":                 refusing("/k", 200, json, `{"keys":[]}`),
		"no token":                refusing("/t", 401, json, `{"error":"invalid_client"}`),
		"a token of another kind": refusing("/t", 200, json, `{"access_token":"x","token_type":"mac","expires_in":60}`),
		"a token that is over":    refusing("/t", 200, json, `{"access_token":"x","token_type":"Bearer","expires_in":0}`),
		"no stream":               refusing(eventsPath, 503, json, `{"error":"temporarily_unavailable"}`),
		"a page for a stream":     refusing(eventsPath, 200, "text/html", "<html>"),
		"a stream of tomorrow":    refusing(eventsPath, 200, "text/event-stream", "event: begin\ndata: {\"v\":2,\"s\":1}\n\n"),
		"a stream in the middle":  refusing(eventsPath, 200, "text/event-stream", "event: heard\ndata: {\"s\":1}\n\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.refuse = refuse
			m := &memory{}
			if err := sourceOf(f).Follow(t.Context(), m); err == nil || len(m.heard) != 0 {
				t.Errorf("followed until %v; heard %v", err, m.heard)
			} else if strings.Contains(err.Error(), "hush") {
				t.Errorf("the secret is told: %v", err)
			}
		})
	}
}

func TestTokenIsRenewed(t *testing.T) {
	t.Parallel()
	short := func() *fake {
		f := steady()
		f.expires = 100 // fresh for 75 s; streams live for 60 s
		return f
	}
	followed(t, short, func(t *testing.T, f *fake, m *memory) {
		time.Sleep(10 * time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.tokens < 4 || f.tokens > 10 || len(m.losses()) != 0 {
			t.Errorf("%d tokens in ten minutes; lost %v", f.tokens, m.losses())
		}
	})
	refusedOnce := func() *fake {
		f := steady()
		beats := f.onOpen
		f.onOpen = func(s *fakeStream) {
			if s.header.Get("Authorization") == "Bearer t1" {
				s.begin(f.moment())
				s.heard("", f.moment(), 0)
				s.say("", "bye", `{"why":"token","reason":"signed_out"}`)
				return
			}
			beats(s)
		}
		return f
	}
	followed(t, refusedOnce, func(t *testing.T, f *fake, _ *memory) {
		time.Sleep(time.Second)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.tokens != 2 || len(f.opened) != 2 {
			t.Errorf("%d tokens, %d streams", f.tokens, len(f.opened))
		}
	})
}

func TestBackoffGrowsAndIsForgotten(t *testing.T) {
	t.Parallel()
	followed(t, steady, func(t *testing.T, f *fake, m *memory) {
		time.Sleep(time.Second)
		f.mu.Lock()
		f.refuse = func(path string) *http.Response {
			if path != eventsPath {
				return nil
			}
			return answerOf(nil, 503, "application/json", `{}`)
		}
		_ = f.opened[0].Close()
		f.mu.Unlock()
		time.Sleep(time.Minute)
		if n := f.count(eventsPath); n < 25 || n > 80 {
			t.Errorf("opened %d times in a minute of refusals", n)
		}
		f.mu.Lock()
		f.refuse = nil
		f.mu.Unlock()
		time.Sleep(2 * maxBackoff)
		if old := m.newest(); old > 300*time.Millisecond {
			t.Errorf("what is heard is %v old, after the issuer came back", old)
		}
	})
}

func TestKeysAreFetchedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := sourceOf(f).keys
		old, next, never := f.kids[0], strings.Repeat("n", keyIDLength), strings.Repeat("z", keyIDLength)
		must(t, s.fetch(t.Context()))
		if _, err := s.Verifier(old); err != nil || f.count("/k") != 1 {
			t.Fatalf("%v after %d fetches", err, f.count("/k"))
		}
		f.kids = append(f.kids, next)
		if _, err := s.Verifier(next); err != nil || f.count("/k") != 2 {
			t.Errorf("a new key: %v after %d fetches", err, f.count("/k"))
		}
		for range 1000 {
			if _, err := s.Verifier(never); !isUnknown(err) {
				t.Fatalf("a key that is not there: %v", err)
			}
		}
		if n := f.count("/k"); n != 2 {
			t.Errorf("%d fetches: strangers caused them", n)
		}
		time.Sleep(refetchEvery)
		if _, err := s.Verifier(never); !isUnknown(err) || f.count("/k") != 3 {
			t.Errorf("%v after %d fetches", err, f.count("/k"))
		}
		if _, err := s.Verifier("short"); !isUnknown(err) || f.count("/k") != 3 {
			t.Errorf("an identifier that is none: %v after %d fetches", err, f.count("/k"))
		}
		f.refuse = func(string) *http.Response { return answerOf(nil, 500, "text/plain", "") }
		time.Sleep(refetchEvery)
		if _, err := s.Verifier(never); err == nil || isUnknown(err) {
			t.Errorf("while the issuer is away: %v, want that there is no telling", err)
		}
		if _, err := s.Verifier(old); err != nil {
			t.Errorf("a known key while the issuer is away: %v", err)
		}
	})
}

func TestWithdrawnKeyIsForgotten(t *testing.T) {
	t.Parallel()
	followed(t, steady, func(t *testing.T, f *fake, _ *memory) {
		s := sourceOf(f)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Follow(ctx, &memory{}) }()
		synctest.Wait()
		old := f.kids[0]
		f.mu.Lock()
		f.kids = []string{strings.Repeat("n", keyIDLength)}
		f.mu.Unlock()
		time.Sleep(keysFresh + time.Millisecond)
		if _, err := s.keys.Verifier(old); !isUnknown(err) {
			t.Errorf("a key that was withdrawn: %v", err)
		}
		cancel()
		<-done
	})
}

func TestTheIssuerIsAskedOnceByMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetched int
		k := newKept(time.Now, func(ctx context.Context) (held[int], error) {
			fetched++
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return held[int]{}, ctx.Err()
			}
			return held[int]{fetched, time.Now().Add(time.Minute), time.Now().Add(time.Hour)}, nil
		})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if v, err := k.get(t.Context()); v != 1 || err != nil {
					t.Errorf("%d, %v", v, err)
				}
			})
		}
		synctest.Wait() // until one fetches, and the others wait
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := k.get(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an impatient caller: %v", err)
		}
		all.Wait()
		time.Sleep(2 * time.Minute)
		impatient, cancel = context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if v, err := k.get(impatient); v != 1 || err != nil {
			t.Errorf("what is good yet: %d, %v", v, err)
		}
		k.drop()
		if v, err := k.get(t.Context()); v != 3 || err != nil {
			t.Errorf("after a drop: %d, %v", v, err)
		}
	})
}

func FuzzMessages(f *testing.F) {
	for _, seed := range []string{
		"event: heard\ndata: {}\n\n", "data\n\n", "\xef\xbb\xbfdata: x\r\n\r\n", ":c\nid: 1\n\ndata: a\ndata: b\n\n", "data: x", "\n\n\n", "id: \x00\ndata:\n\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lines := 0
		m := newMessages(strings.NewReader(s), func() { lines++ })
		total := 0
		for {
			msg, err := m.next()
			if err != nil {
				break
			}
			total += len(msg.data)
			if strings.ContainsAny(msg.id+msg.kind, "\n\x00") && strings.Contains(msg.id, "\x00") {
				t.Errorf("id %q", msg.id)
			}
		}
		if total > len(s) || lines > strings.Count(s, "\n") {
			t.Errorf("%d bytes and %d lines out of %q", total, lines, s)
		}
	})
}

func FuzzEnded(f *testing.F) {
	f.Add([]byte(`{"id":"e","sid":"s","reason":"kicked","ended_at":"2026-11-20T08:00:00Z","until":"2026-11-20T08:15:00Z"}`))
	f.Add([]byte(`{"sid":"s","jti":"j"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEnded(b)
		if err != nil {
			return
		}
		if e.Key == "" || e.Subject == "" || e.End.Reason == "" || len(e.Key) > maxKey || e.Until.Sub(e.End.At) > maxSpan {
			t.Errorf("%s is read as %+v", b, e)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte(keySetOf(strings.Repeat("k", keyIDLength))))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","x":"","y":""},null,1]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		known, err := parseKeys(b)
		if err == nil && len(known) == 0 {
			t.Errorf("%s: no keys and no error", b)
		}
		for id, v := range known {
			if id != v.ID || v.Key == nil || v.Method == nil || v.Algorithm == "" {
				t.Errorf("%s: %+v", b, v)
			}
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
