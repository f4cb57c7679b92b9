package outbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// The official library of Standard Webhooks verifies what we sign: with the new secret and, until its time is over, with
// the old one.
func TestOfficialLibraryVerifies(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), 1)
	to := newReceiver(t)
	id, first := s.hook(to.URL)
	desk := s.desk()
	verify := func(text secret.Text) error {
		t.Helper()
		library, err := standard.NewWebhook(text.Reveal())
		s.ok(err)
		trial, err := desk.Test(t.Context(), id)
		s.ok(err)
		if !trial.Taken || trial.Status != http.StatusNoContent {
			t.Fatalf("the test: %+v", trial)
		}
		to.mu.Lock()
		defer to.mu.Unlock()
		n := len(to.heads) - 1
		return library.Verify(to.bodys[n], to.heads[n])
	}
	s.ok(verify(first))
	second, err := desk.Rotate(t.Context(), Origin{Actor: "operator:test"}, id, time.Hour)
	s.ok(err)
	s.ok(verify(first))
	s.ok(verify(second))
	third, err := desk.Rotate(t.Context(), Origin{Actor: "operator:test"}, id, 0)
	s.ok(err)
	s.ok(verify(third))
	for _, old := range []secret.Text{first, second} {
		if verify(old) == nil {
			t.Error("a secret that is good no more verifies")
		}
	}
	if e := to.events()[0]; e.Type != TypeTest || !strings.HasPrefix(e.ID, "evt_test_") {
		t.Errorf("the test event: %+v", e)
	}
	w, err := s.db.Webhook(t.Context(), id)
	s.ok(err)
	if bytes.Contains(w.Secret, []byte(third.Reveal()[6:])) || len(w.Secret) < secretLength {
		t.Error("the secret rests unsealed")
	}
}

// A known signature, so that the way of signing cannot drift with the library's.
func TestSignatureStaysTheSame(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	got := signature([][]byte{key, key[:24]}, "evt_1", time.Unix(1700000000, 0), []byte(`{"a":1}`))
	parts := strings.Fields(got)
	if len(parts) != 2 || !strings.HasPrefix(parts[0], "v1,") || parts[0] == parts[1] || len(parts[0]) != len("v1,")+44 {
		t.Errorf("signature %q", got)
	}
}

func TestAddressesThatMayBeCalled(t *testing.T) {
	t.Parallel()
	r := &reach{special: special()}
	for address, may := range map[string]bool{
		"93.184.216.34": true, "2606:4700::1111": true,
		"127.0.0.1": false, "10.0.0.1": false, "172.16.3.4": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false, "198.18.0.1": false, "240.0.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fc00::1": false, "fd12::1": false, "ff02::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:0:1::": false, "::127.0.0.1": false,
	} {
		if got := r.admits(netip.MustParseAddr(address)); got != may {
			t.Errorf("%s: %v, want %v", address, got, may)
		}
		if err := r.control("tcp", netip.AddrPortFrom(netip.MustParseAddr(address), 443).String(), nil); (err == nil) != may {
			t.Errorf("%s: %v", address, err)
		}
	}
	r.allowed = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	if !r.admits(netip.MustParseAddr("10.1.2.3")) || r.admits(netip.MustParseAddr("10.2.0.1")) {
		t.Error("the networks that are allowed are others")
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	r := &reach{special: special()}
	for _, url := range []string{
		"", "shop.example.com", "http://shop.example.com", "ftp://shop.example.com", "https://", "https://u:p@shop.example.com", "https://shop.example.com/#x",
		"https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest", "https://shop.example.com/ä", "https:shop.example.com",
		"https://shop.example.com/" + strings.Repeat("x", maxURL),
	} {
		if err := r.checkURL(url); err == nil {
			t.Errorf("%.60q is let through", url)
		}
	}
	for _, url := range []string{"https://shop.example.com/hooks?a=b", "https://shop.example.com:8443"} {
		if err := r.checkURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A name that points inside is refused where the connection is made: localhost is such a name everywhere.
func TestNamesAreJudgedWhenTheyAreCalled(t *testing.T) {
	t.Parallel()
	to := newReceiver(t)
	box := newBox(t)
	s, err := NewSender(SenderConfig{Box: box, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	w := storage.Webhook{ID: "wh_1", URL: strings.Replace(to.URL, "127.0.0.1", "localhost", 1)}
	w.Secret = box.Seal(newSecret(), sealLabel(w.ID)...)
	out := s.send(t.Context(), &w, "evt_1", []byte(`{}`), time.Now())
	if out.taken || out.fault != errAddress.Error() || to.tries() != 0 {
		t.Errorf("%+v", out)
	}
}

// What a receiver may not do to us: redirect us, answer without an end, or not answer.
func TestReceiversAreBounded(t *testing.T) {
	t.Parallel()
	box := newBox(t)
	s, err := NewSender(SenderConfig{Box: box, AllowHTTP: true, Allowed: loopback(), Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	other := newReceiver(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", other.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 64<<10))
		}
	})
	mux.HandleFunc("/silent", func(http.ResponseWriter, *http.Request) { <-over })
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) })
	mux.HandleFunc("/later", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	defer close(over)
	try := func(path string) outcome {
		w := storage.Webhook{ID: "wh_1", URL: server.URL + path}
		w.Secret = box.Seal(newSecret(), sealLabel(w.ID)...)
		body, _ := json.Marshal(Event{ID: "evt_1"})
		return s.send(t.Context(), &w, "evt_1", body, time.Now())
	}
	if out := try("/redirect"); out.taken || out.status != http.StatusTemporaryRedirect || other.tries() != 0 {
		t.Errorf("redirect: %+v", out)
	}
	if out := try("/endless"); !out.taken {
		t.Errorf("endless: %+v", out)
	}
	if out := try("/silent"); out.taken || out.fault != "no answer in time" {
		t.Errorf("silent: %+v", out)
	}
	if out := try("/header"); out.taken || out.fault == "" {
		t.Errorf("header: %+v", out)
	}
	if out := try("/later"); out.retryAfter != 2*time.Minute || out.fault != "status 503" {
		t.Errorf("later: %+v", out)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, "-5": 0, "soon": 0, "999999999999": maxRetryAfter, "Fri, 20 Nov 2026 08:01:00 GMT": time.Minute,
		"Fri, 20 Nov 2020 08:01:00 GMT": 0, "Fri, 20 Nov 2099 08:01:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
