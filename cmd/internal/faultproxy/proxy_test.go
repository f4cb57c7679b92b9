package faultproxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/faultproxy"
)

// short is how long a test looks at silence; long is more than anything here takes.
const (
	short = 50 * time.Millisecond
	long  = 10 * time.Second
)

// bench is a server that answers each line with the same line, and a proxy before it.
type bench struct {
	proxy *faultproxy.Proxy
	heard atomic.Int64 // lines that reached the server
}

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { b.echo(conn) })
		}
	})
	if b.proxy, err = faultproxy.Start(t.Context(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.proxy.Stop()
		l.Close()
		running.Wait()
	})
	return b
}

func (b *bench) echo(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		b.heard.Add(1)
		if _, err := fmt.Fprintln(conn, lines.Text()); err != nil {
			return
		}
	}
}

// client is a connection through the proxy.
type client struct {
	net.Conn

	lines *bufio.Reader
}

func (b *bench) dial(t *testing.T) *client {
	t.Helper()
	conn, err := net.Dial("tcp", b.proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{conn, bufio.NewReader(conn)}
}

func (c *client) say(line string) error {
	_, err := fmt.Fprintln(c, line)
	return err
}

func (c *client) hear(within time.Duration) (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	line, err := c.lines.ReadString('\n')
	if err != nil {
		return line, err
	}
	return line[:len(line)-1], nil
}

func (c *client) exchange(t *testing.T, line string) {
	t.Helper()
	if err := c.say(line); err != nil {
		t.Fatal(err)
	}
	if got, err := c.hear(long); err != nil || got != line {
		t.Fatalf("said %q, heard %q (%v)", line, got, err)
	}
}

// silent says that nothing comes and the connection stands.
func (c *client) silent(t *testing.T) {
	t.Helper()
	line, err := c.hear(short)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("expected silence, heard %q (%v)", line, err)
	}
}

// severed says that the connection is gone.
func (c *client) severed(t *testing.T) {
	t.Helper()
	line, err := c.hear(long)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("expected a cut connection, heard %q (%v)", line, err)
	}
}

// refused says that a new connection comes to nothing, sooner or later.
func refused(t *testing.T, p *faultproxy.Proxy) {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return
	}
	defer conn.Close()
	(&client{conn, bufio.NewReader(conn)}).severed(t)
}

func TestPasses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.dial(t)
	c.exchange(t, "one")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.hear(long); !errors.Is(err, io.EOF) {
		t.Fatalf("expected an orderly end, got %v", err)
	}
}

func TestSlowDelaysEachWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.dial(t)
	b.proxy.Set(faultproxy.Fault{Kind: faultproxy.Slow, Delay: 30 * time.Millisecond})
	began := time.Now()
	c.exchange(t, "one")
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("there and back took %s", took)
	}
}

func TestStallHoldsBackAndLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.dial(t)
	b.proxy.Set(faultproxy.Fault{Kind: faultproxy.Stall})
	if err := c.say("one"); err != nil {
		t.Fatal(err)
	}
	c.silent(t)
	if n := b.heard.Load(); n != 0 {
		t.Fatalf("%d lines arrived", n)
	}
	b.proxy.Set(faultproxy.Fault{})
	if got, err := c.hear(long); err != nil || got != "one" {
		t.Fatalf("heard %q (%v)", got, err)
	}
	c.exchange(t, "two")
}

func TestDropSwallowsAndCutsAfterwards(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, untouched := b.dial(t), b.dial(t)
	c.exchange(t, "before")
	untouched.exchange(t, "before")
	b.proxy.Set(faultproxy.Fault{Kind: faultproxy.Drop})
	if err := c.say("one"); err != nil {
		t.Fatal(err)
	}
	c.silent(t)
	b.proxy.Set(faultproxy.Fault{})
	c.severed(t)
	untouched.exchange(t, "after")
	if n := b.heard.Load(); n != 3 {
		t.Errorf("%d lines arrived, one of them in vain", n)
	}
}

func TestDeafenLetsTheRequestArrive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.dial(t)
	b.proxy.Set(faultproxy.Fault{Kind: faultproxy.Deafen})
	if err := c.say("one"); err != nil {
		t.Fatal(err)
	}
	c.severed(t)
	if n := b.heard.Load(); n != 1 {
		t.Errorf("%d lines arrived", n)
	}
}

func TestRefuseCutsOldAndNew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.dial(t)
	c.exchange(t, "one")
	b.proxy.Set(faultproxy.Fault{Kind: faultproxy.Refuse})
	c.severed(t)
	refused(t, b.proxy)
	b.proxy.Set(faultproxy.Fault{})
	b.dial(t).exchange(t, "two")
}

func TestCut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.dial(t)
	c.exchange(t, "one")
	b.proxy.Cut()
	c.severed(t)
	b.dial(t).exchange(t, "two")
}

func TestAServerThatIsAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p, err := faultproxy.Start(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	refused(t, p)
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, stalled := b.dial(t), b.dial(t)
	c.exchange(t, "one")
	b.proxy.Set(faultproxy.Fault{Kind: faultproxy.Stall})
	if err := stalled.say("held back"); err != nil {
		t.Fatal(err)
	}
	b.proxy.Stop()
	b.proxy.Stop()
	c.severed(t)
	if conn, err := net.Dial("tcp", b.proxy.Addr()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}
