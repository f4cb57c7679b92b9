package serve_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/cmd/internal/serve"
)

const soon = 10 * time.Second // a test that waits longer has failed

func serverConfig() serve.Config {
	return serve.Config{
		Addr: "127.0.0.1:0", ReadTimeout: soon, WriteTimeout: soon, IdleTimeout: soon, ShutdownTimeout: soon, Log: slog.New(slog.DiscardHandler),
	}
}

func start(t *testing.T, c serve.Config, main, admin http.Handler) *serve.Server {
	t.Helper()
	s, err := serve.NewServer(c, main, admin)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

// fetch gets a URL on a connection of its own.
func fetch(ctx context.Context, url string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	r.Close = true
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	return a.StatusCode, string(b), err
}

func TestTwoListeners(t *testing.T) {
	t.Parallel()
	tell := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, s) })
	}
	c := serverConfig()
	c.AdminAddr = "127.0.0.1:0"
	s := start(t, c, tell("main"), tell("admin"))
	for addr, want := range map[string]string{s.Addr(): "main", s.AdminAddr(): "admin"} {
		if _, got, err := fetch(t.Context(), "http://"+addr); got != want || err != nil {
			t.Errorf("%s: %q, %v", addr, got, err)
		}
	}
}

func TestStopWaitsForWhatIsInFlight(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	e, _ := engine(t, nil)
	e.GET("/x", func(c *gin.Context) {
		close(entered)
		<-release
		c.String(http.StatusOK, "whole")
	})
	s := start(t, serverConfig(), e, nil)
	var got string
	var err error
	var asking sync.WaitGroup
	asking.Go(func() { _, got, err = fetch(t.Context(), "http://"+s.Addr()+"/x") })
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(t.Context()) }()
	refused(t, s.Addr())
	select {
	case <-stopped:
		t.Fatal("stopped before the answer")
	default:
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	asking.Wait()
	if got != "whole" || err != nil {
		t.Errorf("the answer in flight is %q, %v", got, err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

// refused waits until nobody listens at addr.
func refused(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(soon); ; {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("the listener stays open")
		}
	}
}

func TestStopCutsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	e, _ := engine(t, nil)
	e.GET("/x", func(c *gin.Context) { close(entered); <-c.Request.Context().Done() })
	c := serverConfig()
	c.ShutdownTimeout = 50 * time.Millisecond
	s := start(t, c, e, nil)
	var err error
	var asking sync.WaitGroup
	asking.Go(func() { _, _, err = fetch(t.Context(), "http://"+s.Addr()+"/x") })
	<-entered
	if err := s.Stop(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the stop says %v", err)
	}
	asking.Wait()
	if err == nil {
		t.Error("the request was answered")
	}
}

func TestStopEndsStreams(t *testing.T) {
	t.Parallel()
	e, j := engine(t, func(o *serve.Options) { o.Streams = []serve.Stream{{Method: "GET", Route: "/events"}} })
	e.GET("/events", func(c *gin.Context) {
		c.String(http.StatusOK, "begin\n")
		c.Writer.Flush()
		<-c.Request.Context().Done()
		c.String(http.StatusOK, "end\n")
	})
	c := serverConfig()
	c.WriteTimeout = time.Second
	s := start(t, c, e, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body := bufio.NewReader(a.Body)
	if line, err := body.ReadString('\n'); line != "begin\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(body); string(rest) != "end\n" || err != nil {
		t.Errorf("the stream ends with %q, %v", rest, err)
	}
	if len(j.records(t, "request")) != 1 {
		t.Errorf("log: %s", j)
	}
}

func TestStreamsOutliveTheWriteTimeout(t *testing.T) {
	t.Parallel()
	e, _ := engine(t, func(o *serve.Options) { o.Streams = []serve.Stream{{Method: "GET", Route: "/events"}} })
	c := serverConfig()
	c.WriteTimeout = 50 * time.Millisecond
	e.GET("/events", func(g *gin.Context) {
		g.String(http.StatusOK, "begin\n")
		g.Writer.Flush()
		over := time.NewTimer(3 * c.WriteTimeout)
		defer over.Stop()
		<-over.C // the event waited for is the timeout of the connection, which nothing announces
		g.String(http.StatusOK, "end\n")
	})
	s := start(t, c, e, nil)
	if _, got, err := fetch(t.Context(), "http://"+s.Addr()+"/events"); got != "begin\nend\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestStartAndStopOftenLeavesNothing(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			s, err := serve.NewServer(serverConfig(), http.NotFoundHandler(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Start(t.Context()); err != nil {
				t.Error(err)
			}
			if err := errors.Join(s.Stop(t.Context()), s.Stop(t.Context())); err != nil {
				t.Error(err)
			}
			if c, err := net.Dial("tcp", s.Addr()); err == nil {
				c.Close()
				t.Error("the listener is open")
			}
		})
	}
	all.Wait()
}

func TestStartTellsThatAnAddressIsTaken(t *testing.T) {
	t.Parallel()
	first := start(t, serverConfig(), http.NotFoundHandler(), nil)
	c := serverConfig()
	c.AdminAddr = first.Addr()
	s, err := serve.NewServer(c, http.NotFoundHandler(), http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
	if conn, err := net.Dial("tcp", s.Addr()); err == nil {
		conn.Close()
		t.Error("the other listener stays open")
	}
}

func TestRunLeavesBeforeItStops(t *testing.T) {
	t.Parallel()
	s, err := serve.NewServer(serverConfig(), http.NotFoundHandler(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	left := false
	if err := s.Run(ctx, func() { left = true }); err != nil || !left {
		t.Errorf("%v, left %t", err, left)
	}
}

func TestNewServerRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*serve.Config){
		"no log":                    func(c *serve.Config) { c.Log = nil },
		"no read timeout":           func(c *serve.Config) { c.ReadTimeout = 0 },
		"no write timeout":          func(c *serve.Config) { c.WriteTimeout = 0 },
		"no idle timeout":           func(c *serve.Config) { c.IdleTimeout = 0 },
		"no shutdown timeout":       func(c *serve.Config) { c.ShutdownTimeout = 0 },
		"a certificate and no key":  func(c *serve.Config) { c.TLSCertFile = "x" },
		"an admin without handlers": func(c *serve.Config) { c.AdminAddr = ":0" },
	} {
		c := serverConfig()
		change(&c)
		if _, err := serve.NewServer(c, http.NotFoundHandler(), nil); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := serverConfig()
	c.TLSCertFile, c.TLSKeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	s, err := serve.NewServer(c, http.NotFoundHandler(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "cert.pem") {
		t.Errorf("without the files: %v", err)
	}
	roots := writeCertificate(t, c.TLSCertFile, c.TLSKeyFile)
	s = start(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }), nil)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	a, err := (&http.Client{Transport: transport}).Get("https://" + s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if b, _ := io.ReadAll(a.Body); string(b) != "HTTP/2.0" {
		t.Errorf("spoken: %s", b)
	}
	old := &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	if conn, err := tls.Dial("tcp", s.Addr(), old); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
}

// writeCertificate makes a certificate for 127.0.0.1.
func writeCertificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	return roots
}
