package live_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/live"
	"github.com/tallystick/tallystick/storage"
)

const (
	idleConnections = 5000
	kicks           = 500
)

// BenchmarkIdle holds signed-in connections over loopback and kicks some. The peers are in the same process,
// as bare sockets without goroutines, so that what it reports is more than the server's share:
//
//	MB-rss     resident memory of the process with all connections
//	KB/conn    what each added to it
//	p50-ms, p99-ms, max-ms   from the end to the news of it at the peer
func BenchmarkIdle(b *testing.B) {
	w := &warden{ended: map[storage.SessionID]storage.End{}, life: time.Hour}
	l, err := live.New(live.Config{Guard: w, Tokens: w, CommandTime: patience, Limits: live.Limits{MaxPerAddress: idleConnections, SignInTime: time.Minute}})
	if err != nil {
		b.Fatal(err)
	}
	stopping, stop := context.WithCancel(b.Context())
	defer stop()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		l.Serve(rw, r.WithContext(stopping), "127.0.0.1")
	}))
	defer server.Close()
	for b.Loop() {
		before := resident(b)
		peers := make([]net.Conn, idleConnections)
		for i := range peers {
			peers[i] = bare(b, server.Listener.Addr().String(), fmt.Sprintf("s%d", i))
		}
		runtime.GC()
		after := resident(b)
		times := make([]time.Duration, kicks)
		for i := range times {
			session := fmt.Sprintf("s%d", i*(idleConnections/kicks))
			began := time.Now()
			l.Take("bench", []storage.Event{{Subject: storage.SubjectSession, Key: session, End: storage.End{Reason: storage.Superseded, At: began}}})
			until(b, peers[i*(idleConnections/kicks)], "session.ended")
			times[i] = time.Since(began)
		}
		slices.Sort(times)
		ms := func(at int) float64 { return float64(times[at].Microseconds()) / 1000 }
		b.ReportMetric(after, "MB-rss")
		b.ReportMetric((after-before)*1000/idleConnections, "KB/conn")
		b.ReportMetric(ms(kicks/2), "p50-ms")
		b.ReportMetric(ms(kicks*99/100), "p99-ms")
		b.ReportMetric(ms(kicks-1), "max-ms")
		for _, p := range peers {
			_ = p.Close()
		}
	}
}

// bare signs a socket in.
func bare(b *testing.B, addr, session string) net.Conn {
	c, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", addr)
	if errors.Is(err, syscall.EMFILE) {
		b.Skipf("SKIPPED: %d sockets are more files than this process may open", 2*idleConnections)
	}
	if err != nil {
		b.Fatal(err)
	}
	text := `{"type":"auth","access_token":"u` + session + ` ` + session + `"}`
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	if _, err := c.Write(frame); err != nil {
		b.Fatal(err)
	}
	until(b, c, `"type":"auth"`)
	return c
}

// until reads until a text has come.
func until(b *testing.B, c net.Conn, text string) {
	r := bufio.NewReaderSize(c, 512)
	var all []byte
	for !strings.Contains(string(all), text) {
		one, err := r.ReadByte()
		if err != nil {
			b.Fatalf("waiting for %s after %q: %v", text, all, err)
		}
		all = append(all, one)
	}
}

// resident is the resident memory of this process in MB.
func resident(b *testing.B) float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skipf("SKIPPED: resident memory is read from /proc: %v", err)
	}
	for line := range strings.Lines(string(data)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kb); n == 1 {
			return kb / 1000
		}
	}
	b.Fatal("there is no VmRSS")
	return 0
}
