package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

// gate stands before a server and does what the scenarios of tallystick.js ask for: it counts, calls a
// token expired, loses an answer, is away. Pages reach its own endpoints, below /gate/, from anywhere.
type gate struct {
	target story.Target
	mint   string
	proxy  *httputil.ReverseProxy

	mu      sync.Mutex
	counts  map[string]int
	expired map[string]bool // Authorization headers
	lose    bool
	away    string // Retry-After; empty for not away
}

// newGate starts a gate before an instance of dev.
func newGate(t *testing.T, dir string, target story.Target) (*gate, string) {
	t.Helper()
	issuer, err := url.Parse(target.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{target: target, counts: map[string]int{}, expired: map[string]bool{}}
	var ready struct {
		WeChat struct {
			Mint string `json:"mint"`
		} `json:"wechat"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "dev.json"))
	if err == nil {
		err = json.Unmarshal(b, &ready)
	}
	if err != nil || ready.WeChat.Mint == "" {
		t.Fatalf("dev.json names no stand-in for WeChat: %v", err)
	}
	g.mint = ready.WeChat.Mint
	g.proxy = httputil.NewSingleHostReverseProxy(issuer)
	g.proxy.ModifyResponse = g.spoil
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return g, server.URL
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if order, is := strings.CutPrefix(r.URL.Path, "/gate/"); is {
		g.order(w, r, order)
		return
	}
	g.mu.Lock()
	if r.Method != http.MethodOptions {
		g.counts[r.URL.Path]++
	}
	away := g.away
	lose := g.lose && r.URL.Path == "/oauth2/token"
	if lose {
		g.lose = false
	}
	g.mu.Unlock()
	switch {
	case lose:
		g.proxy.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler) // the server has answered; the client does not hear of it
	case away != "" && r.URL.Path == "/oauth2/token" && r.Method == http.MethodPost:
		// As a server that sheds load would say it to this page.
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
		w.Header().Set("Retry-After", away)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"error":"temporarily_unavailable"}`)
	default:
		if auth := r.Header.Get("Authorization"); g.isExpired(auth) {
			r.Header.Del("Authorization") // the server refuses it, and spoil says why
			r.Header.Set("X-Expired", "yes")
		}
		g.proxy.ServeHTTP(w, r)
	}
}

func (g *gate) isExpired(authorization string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return authorization != "" && g.expired[authorization]
}

// spoil turns the refusal of a request without a token into that of one whose token has expired.
func (g *gate) spoil(resp *http.Response) error {
	if resp.Request.Header.Get("X-Expired") == "" || resp.StatusCode != http.StatusUnauthorized {
		return nil
	}
	_ = resp.Body.Close()
	body := `{"error":"invalid_token","error_description":"the access token has expired","reason":"expired","code":1}`
	resp.Body = io.NopCloser(bytes.NewReader([]byte(body)))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	resp.Header.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	return nil
}

func (g *gate) order(w http.ResponseWriter, r *http.Request, order string) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch order {
	case "expire":
		g.expired["Bearer "+string(body)] = true
	case "lose":
		g.lose = true
	case "away":
		g.away = string(body)
	case "reset":
		g.lose, g.away = false, ""
	case "count":
		_, _ = io.WriteString(w, strconv.Itoa(g.counts[string(body)]))
	case "wx-login":
		resp, err := http.Get(g.mint + "&openid=" + url.QueryEscape(string(body)) + "&unionid=" + url.QueryEscape("u-"+string(body)))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	default:
		http.NotFound(w, r)
	}
}
