package serve_test

import (
	"context"
	"crypto/ed25519"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/cmd/internal/serve"
)

// The benchmarks compare the engine with a bare Gin engine in the same run, turn by turn, and report
// the throughput of the one relative to the other as "ofbare". The access log goes to a file.

const turn = 200 // requests before the other one's turn

// framed is the engine as serve runs it.
func framed(b *testing.B) *gin.Engine {
	b.Helper()
	file, err := os.Create(b.TempDir() + "/access.log")
	if err != nil {
		b.Fatal(err)
	}
	log, err := serve.OpenLog(file, "info", "json")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = log.Close(); _ = file.Close() })
	e, err := serve.New(serve.Options{
		Log: log.Logger, Metrics: prometheus.NewRegistry(), RequestTimeout: time.Minute,
		Describe: func(_ *gin.Context, r *serve.Record) { r.Client = "billing" },
	})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func bare() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	return gin.New()
}

// compare runs both turn by turn and reports the ratio.
func compare(b *testing.B, bare, framed func()) {
	b.Helper()
	var took [2]time.Duration
	rounds := 0
	for b.Loop() {
		for i, one := range [2]func(){bare, framed} {
			start := time.Now()
			for range turn {
				one()
			}
			took[i] += time.Since(start)
		}
		rounds++
	}
	requests := time.Duration(rounds * turn)
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "ofbare")
	b.ReportMetric(float64((took[1]-took[0])/requests), "ns-more/request")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSigning: the handler signs one token, called in process, so that nothing else hides the
// cost of the frame.
func BenchmarkSigning(b *testing.B) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	sign := func(c *gin.Context) {
		now := time.Now()
		claims := jwt.MapClaims{"iss": "https://auth.example.com", "sub": "billing", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": "x"}
		s, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(key)
		if err != nil {
			b.Error(err)
		}
		c.JSON(http.StatusOK, gin.H{"access_token": s})
	}
	call := func(e *gin.Engine) func() {
		e.POST("/oauth2/token", sign)
		return func() {
			e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/oauth2/token", nil))
		}
	}
	compare(b, call(bare()), call(framed(b)))
}

// BenchmarkGet: a small answer over a kept connection of the loopback interface.
func BenchmarkGet(b *testing.B) {
	call := func(e *gin.Engine) func() {
		e.GET("/v1/wallet", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"balances": []int{}}) })
		s := httptest.NewServer(e)
		b.Cleanup(s.Close)
		client := s.Client()
		client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
		return func() {
			a, err := client.Get(s.URL + "/v1/wallet")
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, a.Body)
			_ = a.Body.Close()
		}
	}
	compare(b, call(bare()), call(framed(b)))
}
