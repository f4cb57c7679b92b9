package e2e_test

import (
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
	decoy   string // a public code that waiting devices get first, and that is to be replaced at once
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
	if resp.Request.URL.Path == "/oauth2/device_authorization" && resp.StatusCode == http.StatusOK {
		return g.mislead(resp)
	}
	if resp.Request.Header.Get("X-Expired") == "" || resp.StatusCode != http.StatusUnauthorized {
		return nil
	}
	_ = resp.Body.Close()
	replace(resp, `{"error":"invalid_token","error_description":"the access token has expired","reason":"expired","code":1}`)
	resp.Header.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	return nil
}

// mislead gives a waiting device a public code that is old already.
func (g *gate) mislead(resp *http.Response) error {
	g.mu.Lock()
	decoy := g.decoy
	g.mu.Unlock()
	if decoy == "" {
		return nil
	}
	var body map[string]any
	err := json.NewDecoder(resp.Body).Decode(&body)
	_ = resp.Body.Close()
	if err != nil {
		return err
	}
	body["user_code"], body["qr_svg"], body["qr_expires_in"] = decoy, "<svg/>", 0
	text, err := json.Marshal(body)
	replace(resp, string(text))
	return err
}

func replace(resp *http.Response, body string) {
	resp.Body = io.NopCloser(strings.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
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
		g.lose, g.away, g.decoy = false, "", ""
	case "mislead":
		g.decoy = string(body)
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
