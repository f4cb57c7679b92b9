package authserver_test

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/argon2"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// A benchmark here measures the endpoint and a floor in turns, so that both see the same machine,
// and reports the median of their ratios.

const (
	callers = 8
	rounds  = 9
)

// caller sends one request.
type caller func() error

// throughput is how many requests a second so many callers make in n requests.
func throughput(b *testing.B, n, callers int, call caller) float64 {
	b.Helper()
	begin := time.Now()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range n / callers {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return float64(n/callers*callers) / time.Since(begin).Seconds()
}

// compare reports how the throughput of one compares with that of the floor.
func compare(b *testing.B, n, callers int, one, floor caller) {
	b.Helper()
	throughput(b, n/4+callers, callers, one)
	throughput(b, n/4+callers, callers, floor)
	b.ResetTimer()
	for b.Loop() {
		var ones, floors, ratios []float64
		for range rounds {
			o, f := throughput(b, n, callers, one), throughput(b, n, callers, floor)
			ones, floors, ratios = append(ones, o), append(floors, f), append(ratios, o/f)
		}
		b.ReportMetric(median(ones), "req/s")
		b.ReportMetric(median(floors), "floor-req/s")
		b.ReportMetric(median(ratios), "ratio")
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// post makes a caller that posts a form over kept connections.
func post(b *testing.B, h http.Handler, path, body, basicID, basicSecret string) caller {
	b.Helper()
	server := httptest.NewServer(h)
	b.Cleanup(server.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: callers, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	return func() error {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, server.URL+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if basicID != "" {
			r.SetBasicAuth(basicID, basicSecret)
		}
		w, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		defer w.Body.Close()
		answer, err := io.ReadAll(w.Body)
		if w.StatusCode != http.StatusOK {
			return fmt.Errorf("%d %s", w.StatusCode, answer)
		}
		return err
	}
}

// bare is a Gin route that signs one JWT and nothing else.
func bare(b *testing.B) http.Handler {
	b.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	router := gin.New()
	router.POST("/token", func(c *gin.Context) {
		now := time.Now()
		raw, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"iss": issuerURL, "sub": "billing", "aud": issuerURL, "client_id": "billing", "jti": "0123456789abcdef012345",
			"scope": "wallet:deposit wallet:read_any", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		}).SignedString(key)
		if err != nil {
			c.AbortWithStatus(http.StatusInternalServerError)
			return
		}
		c.JSON(http.StatusOK, gin.H{"access_token": raw, "token_type": "Bearer", "expires_in": 3600})
	})
	return router
}

func BenchmarkClientCredentials(b *testing.B) {
	k := newKit(b, engine.SQLite(b))
	one := post(b, k.http, "/oauth2/token", "grant_type=client_credentials", "billing", k.secrets["billing"])
	floor := post(b, bare(b), "/token", "grant_type=client_credentials", "", "")
	compare(b, 4000, callers, one, floor)
}

// BenchmarkClientCredentialsHandler is the same without a network: what the server itself spends.
func BenchmarkClientCredentialsHandler(b *testing.B) {
	k := newKit(b, engine.SQLite(b))
	for name, c := range map[string]struct {
		h    http.Handler
		path string
	}{"tallystick": {k.http, "/oauth2/token"}, "bare": {bare(b), "/token"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader("grant_type=client_credentials"))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.SetBasicAuth("billing", k.secrets["billing"])
				w := httptest.NewRecorder()
				c.h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}

func BenchmarkPasswordSignIn(b *testing.B) {
	k := newKit(b, engine.SQLite(b), with(func(cfg *authserver.Config) {
		checker, err := password.New(password.Config{Users: cfg.Sessions.(storage.Users), Now: cfg.Now})
		if err != nil {
			b.Fatal(err)
		}
		cfg.Passwords = checker
	}))
	body := form(signInForm()...).Encode()
	one := post(b, k.http, "/oauth2/token", body, "", "")
	if err := one(); err != nil { // upgrades the hash of the kit to the real parameters
		b.Fatal(err)
	}
	salt := []byte("0123456789abcdef")
	floor := func() error {
		argon2.IDKey([]byte(tomsSecret), salt, password.DefaultTime, password.DefaultMemory, password.DefaultThreads, 32)
		return nil
	}
	compare(b, 40, runtime.NumCPU(), one, floor)
}
