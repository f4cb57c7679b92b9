package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// maxLinks bounds the connections through one proxy; one more is refused.
	maxLinks = 512
	// chunk is how much moves at a time.
	chunk = 16 << 10
	// dialTimeout bounds the way to the target.
	dialTimeout = 2 * time.Second
)

// Kind is what happens to the bytes.
type Kind int

// The kinds.
const (
	// Pass lets everything through.
	Pass Kind = iota
	// Slow lets each piece through after the delay of the fault.
	Slow
	// Stall holds everything back; nothing is lost, and it moves on when the fault ends.
	Stall
	// Drop swallows everything in silence. Connections that lost something are cut when the fault ends.
	Drop
	// Deafen lets requests through and cuts the connection in place of an answer.
	Deafen
	// Refuse cuts all connections and resets new ones.
	Refuse
)

// String names a kind.
func (k Kind) String() string {
	return [...]string{"pass", "slow", "stall", "drop", "deafen", "refuse"}[k]
}

// Fault is what a proxy does.
type Fault struct {
	Kind  Kind
	Delay time.Duration // of Slow
}

// Proxy stands between clients and a server.
type Proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	fault   Fault
	changed chan struct{} // closed when the fault changes
	links   map[*link]struct{}
	stopped bool
}

// Start makes a proxy to target on a loopback port of its own. It lets everything through.
func Start(ctx context.Context, target string) (*Proxy, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start proxy: %w", err)
	}
	p := &Proxy{target: target, listener: l, changed: make(chan struct{}), links: map[*link]struct{}{}}
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set begins a fault, or with the zero Fault ends it.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
	for l := range p.links {
		if f.Kind == Refuse || l.lossy && f.Kind != Drop {
			l.cut()
		}
	}
}

// Cut resets all connections; new ones are as good as the fault allows.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

// Stop cuts everything and returns when nothing runs any more. Stopping twice does nothing.
func (p *Proxy) Stop() {
	p.mu.Lock()
	p.stopped = true
	for l := range p.links {
		l.cut()
	}
	p.mu.Unlock()
	_ = p.listener.Close()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // out of descriptors for a moment; closing ends it
		}
		p.running.Go(func() { p.serve(conn) })
	}
}

// serve joins a client to the target.
func (p *Proxy) serve(client net.Conn) {
	server, err := (&net.Dialer{Timeout: dialTimeout}).Dial("tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	l := &link{client: client, server: server, gone: make(chan struct{})}
	if !p.admit(l) {
		l.cut()
		return
	}
	defer p.leave(l)
	var both sync.WaitGroup
	both.Go(func() { p.pump(l, server, client, false) })
	both.Go(func() { p.pump(l, client, server, true) })
	both.Wait()
}

func (p *Proxy) admit(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.fault.Kind == Refuse || len(p.links) >= maxLinks {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) leave(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
	l.cut()
}

// pump moves what from says to to, until one of them ends. answers tells the direction.
func (p *Proxy) pump(l *link, to, from net.Conn, answers bool) {
	buffer := make([]byte, chunk)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !p.move(l, to, buffer[:n], answers) {
			l.cut()
			return
		}
		if err != nil {
			l.end(to)
			return
		}
	}
}

// move does with one piece what the fault says, which may change while the piece is held back. False
// ends the connection.
func (p *Proxy) move(l *link, to net.Conn, piece []byte, answers bool) bool {
	for {
		fault, changed, lost := p.judge(l)
		switch {
		case lost:
			return true
		case fault.Kind == Refuse, fault.Kind == Deafen && answers:
			return false
		case fault.Kind == Stall:
			select {
			case <-changed:
				continue
			case <-l.gone:
				return false
			}
		case fault.Kind == Slow && !l.wait(fault.Delay):
			return false
		}
		_, err := to.Write(piece)
		return err == nil
	}
}

// judge reads the fault; lost says that the piece is swallowed, and the link marked for it.
func (p *Proxy) judge(l *link) (f Fault, changed <-chan struct{}, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault.Kind == Drop {
		l.lossy = true
	}
	return p.fault, p.changed, p.fault.Kind == Drop
}

// link is a client joined to the target.
type link struct {
	client, server net.Conn
	gone           chan struct{}
	once           sync.Once
	lossy          bool // under the proxy's lock
}

// cut resets both sides.
func (l *link) cut() {
	l.once.Do(func() {
		close(l.gone)
		reset(l.client)
		reset(l.server)
	})
}

// end passes on that one side has nothing more to say.
func (l *link) end(to net.Conn) {
	if t, ok := to.(*net.TCPConn); ok && t.CloseWrite() == nil {
		return
	}
	l.cut()
}

// wait waits for a while; false if the link is cut before.
func (l *link) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.gone:
		return false
	}
}

// reset closes with RST, so that the other side does not take it for an orderly end.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
