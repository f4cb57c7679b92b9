package remote_test

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy stands between a service and the issuer. It can hold back what the issuer says, let go of what
// is old, cut, and refuse.
type proxy struct {
	target   string
	addr     string
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	refuse bool
	links  map[*link]struct{}
}

// link is a connection through the proxy.
type link struct {
	client, server net.Conn
	held           bool
	waiting        []piece
}

type piece struct {
	bytes []byte
	at    time.Time
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{target: target, addr: l.Addr().String(), listener: l, links: map[*link]struct{}{}}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.running.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.running.Go(func() { p.serve(c) })
		}
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	l := &link{client: client, server: server}
	p.mu.Lock()
	refused := p.refuse
	if !refused {
		p.links[l] = struct{}{}
	}
	p.mu.Unlock()
	if refused {
		return
	}
	var up sync.WaitGroup
	up.Go(func() { // what the service says passes
		defer server.Close()
		buffer := make([]byte, 32<<10)
		for {
			n, err := client.Read(buffer)
			if _, werr := server.Write(buffer[:n]); err != nil || werr != nil {
				return
			}
		}
	})
	buffer := make([]byte, 32<<10)
	for {
		n, err := server.Read(buffer)
		if !p.pass(l, buffer[:n]) || err != nil {
			break
		}
	}
	_ = client.Close()
	up.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// pass hands on what the issuer says, or keeps it.
func (p *proxy) pass(l *link, b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.held {
		l.waiting = append(l.waiting, piece{append([]byte(nil), b...), time.Now()})
		return true
	}
	_, err := l.client.Write(b)
	return err == nil
}

// hold keeps back what the issuer says on the connections there are, from now on.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.held = true
	}
}

// burst delivers what was kept before a time, all at once, and goes on keeping the rest. It returns how
// many bytes that were.
func (p *proxy) burst(before time.Time) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		for len(l.waiting) > 0 && l.waiting[0].at.Before(before) {
			_, _ = l.client.Write(l.waiting[0].bytes)
			n += len(l.waiting[0].bytes)
			l.waiting = l.waiting[1:]
		}
	}
	return n
}

// forbid cuts off whoever comes from now on, or lets them in again.
func (p *proxy) forbid(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = yes
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		_ = l.client.Close()
		_ = l.server.Close()
	}
}
