package live

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// Live serves the connections of a process. It has no goroutine of its own.
type Live struct {
	cfg     Config
	limits  Limits
	types   []string // that are answered here, for people
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics
	seats   *seats

	open      atomic.Int64
	mu        sync.Mutex
	addresses map[netip.Prefix]int
}

var _ guard.Relay = (*Live)(nil)

// New makes the room. It refuses a configuration in which something is missing or wrong.
func New(c Config) (*Live, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	l := &Live{
		cfg: c, limits: c.Limits.withDefaults(), now: c.Now, log: c.Log, metrics: newMetrics(), seats: newSeats(),
		addresses: map[netip.Prefix]int{},
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.types = []string{typeAuth, typePing}
	if c.SignIn != nil {
		l.types = append(l.types, typeLogin)
	}
	if c.SignOut != nil {
		l.types = append(l.types, typeLeave)
	}
	for name := range c.Commands {
		l.types = append(l.types, name)
	}
	slices.Sort(l.types)
	return l, l.metrics.register(c.Metrics, l)
}

// Take implements [guard.Relay]: it tells connections of the ends of their sessions. It waits for none.
func (l *Live) Take(_ string, events []storage.Event) {
	if l.seats.size() == 0 {
		return // whoever is about to sit down looks into the guard's set after that
	}
	for i := range events {
		for _, s := range l.seats.concerned(&events[i]) {
			s.conn.tell(s, events[i].End)
		}
	}
}

// Heard implements [guard.Relay]. Connections need not know.
func (l *Live) Heard(time.Time, guard.Place) {}

// Serve serves one connection until it ends: until its peer leaves, its session ends, a limit is reached, or
// the context of the request ends, which says that the server stops. address is where the request comes
// from, as far as proxies that are trusted tell.
func (l *Live) Serve(w http.ResponseWriter, r *http.Request, address string) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		l.decline(w, "handshake", http.StatusUpgradeRequired, "this is a WebSocket endpoint (RFC 6455)", 0)
		return
	}
	if !l.welcome(r) {
		l.decline(w, "origin", http.StatusForbidden, "pages of this origin may not connect; live.origins lists those that may", 0)
		return
	}
	from := network(address)
	if why := l.enter(from); why != "" {
		status, text := http.StatusServiceUnavailable, "this server has as many connections as it takes; try again"
		if why == "address" {
			status, text = http.StatusTooManyRequests, "this address has as many connections open as it may; close some"
		}
		l.decline(w, why, status, text, fullAfter)
		return
	}
	defer l.leave(from)
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // the origin has been checked
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil { // it has been answered
		l.metrics.refused.WithLabelValues("handshake").Inc()
		return
	}
	ws.SetReadLimit(int64(l.limits.MaxFrame))
	newConn(l, ws, r, address).run(r.Context())
}

// fullAfter is when those should come again who find no place.
const fullAfter = 5 * time.Second

// decline answers a request that does not become a connection.
func (l *Live) decline(w http.ResponseWriter, why string, status int, text string, after time.Duration) {
	l.metrics.refused.WithLabelValues(why).Inc()
	code := guard.InvalidRequest
	switch status {
	case http.StatusTooManyRequests:
		code = codeSlowDown
	case http.StatusServiceUnavailable:
		code = guard.TemporarilyUnavailable
	}
	body, err := json.Marshal(&guard.Refusal{Status: status, Code: code, Description: text})
	if err != nil { // two texts: there is nothing that can fail
		body = []byte(`{}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	if after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(after/time.Second)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // nobody is left to tell
}

// welcome says whether a request may connect as far as its origin goes: no page sent it, or one of this
// host, or one of the origins that were named.
func (l *Live) welcome(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) != 1 {
		return len(origins) == 0
	}
	if slices.Contains(l.cfg.Origins, origins[0]) {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && strings.EqualFold(u.Host, r.Host)
}

// enter takes a place for a connection, or says why there is none.
func (l *Live) enter(from netip.Prefix) (why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case int(l.open.Load()) >= l.limits.MaxConnections:
		return "full"
	case l.addresses[from] >= l.limits.MaxPerAddress:
		return "address"
	}
	l.addresses[from]++
	l.open.Add(1)
	return ""
}

func (l *Live) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addresses[from]--; l.addresses[from] == 0 {
		delete(l.addresses, from)
	}
	l.open.Add(-1)
}

// ipv6Network is what one customer of a provider has at least.
const ipv6Network = 64

// network is what counts as one address.
func network(address string) netip.Prefix {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{} // all that cannot be told apart counts as one
	}
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = ipv6Network
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// principal says whose a token is: an access token, or the one of this very connection.
func (l *Live) principal(ctx context.Context, raw, connection string) (guard.Principal, error) {
	bound, err := l.cfg.Tokens.Connection(raw, l.now())
	if bound.ID == "" { // not one at all, or there is no telling, which the guard says better
		return l.cfg.Guard.Check(ctx, raw)
	}
	if bound.ID != connection {
		return guard.Principal{}, guard.RefuseSource()
	}
	_ = err // expired at most, and that is for the guard to say: the session may have ended before
	return guard.PrincipalOf(&bound.Access), nil
}

// label bounds the types in metrics.
func (l *Live) label(typ string) string {
	if slices.Contains(l.types, typ) {
		return typ
	}
	return "other"
}

// unknown says what a frame of a type is answered that is not answered here.
func (l *Live) unknown(typ string) error {
	if slices.Contains(l.cfg.Elsewhere, typ) || typ == typeLogin || typ == typeLeave {
		return &guard.Refusal{
			Status: http.StatusNotFound, Code: codeNotServed,
			Description: fmt.Sprintf("frames of the type %s are not answered by this process; here there are: %s", typ, strings.Join(l.types, ", ")),
		}
	}
	return invalid("type: %q is unknown; there are: %s", shown(typ), strings.Join(l.types, ", "))
}
