package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config says who the application is. Issuer and ClientID must be there.
type Config struct {
	// Issuer is the address of the authorization server, such as https://auth.example.com.
	Issuer   string
	ClientID string
	// ClientSecret is that of a confidential client; empty for a public one.
	ClientSecret Secret
	// Machine makes a client of a service: it signs in as itself (client credentials) when a token is
	// first needed, and again instead of refreshing. It needs ClientSecret.
	Machine bool
	// Scopes are asked for at a sign-in; none for all that the client may have.
	Scopes []string
	// Product, Terminal (mobile, browser or api), DeviceID and DeviceName describe a user's sign-in.
	// Empty ones are the client's defaults.
	Product    string
	Terminal   string
	DeviceID   string
	DeviceName string

	// APIs are the origins beside the issuer to which access tokens may be sent, such as
	// https://wallet.example.com.
	APIs []string
	// Store keeps the sign-in over restarts; nil for not at all.
	Store Store
	// OnEnded is told when the session has ended without this application's doing; once for each
	// session. It runs on a goroutine of its own. Optional.
	OnEnded func(*EndedError)
	// Base sends the requests; nil means http.DefaultTransport.
	Base http.RoundTripper
	// Log takes what goes wrong in the background: refreshes that fail, a store that cannot be written.
	// Optional.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Client keeps one sign-in good. Its methods may be called from any goroutine.
type Client struct {
	cfg     Config
	issuer  string
	origins map[string]bool
	http    *http.Client    // without tokens
	life    context.Context //nolint:containedctx // ends with Close; refreshes outlive the requests that cause them
	stop    context.CancelFunc
	running sync.WaitGroup
	saving  sync.Mutex // held while the store is written, so that the last write is the last state

	mu        sync.Mutex
	held      *held       // nil if nobody is signed in
	ended     *EndedError // how the last session ended, until the next sign-in
	epoch     uint64      // counts sign-ins and sign-outs
	flight    *flight     // the refresh that runs; nil if none
	failures  int         // refreshes that failed in a row
	notBefore time.Time   // when the next may begin
	lastErr   error
	closed    bool
}

const (
	requestTimeout = 30 * time.Second
	saveTimeout    = 5 * time.Second
)

// Open makes a client and takes up the sign-in that the store holds, if it holds one.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	c := &Client{cfg: cfg, origins: map[string]bool{}}
	if cfg.Log == nil {
		c.cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		c.cfg.Now = time.Now
	}
	if cfg.Base == nil {
		c.cfg.Base = http.DefaultTransport
	}
	if cfg.ClientID == "" {
		return nil, errors.New("sdk: ClientID is missing")
	}
	if cfg.Machine && cfg.ClientSecret == "" {
		return nil, errors.New("sdk: Machine needs ClientSecret")
	}
	for i, address := range append([]string{cfg.Issuer}, cfg.APIs...) {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !private(u) {
			return nil, fmt.Errorf("sdk: %s %q is not an https address (http is for loopback)", [...]string{"Issuer", "API"}[min(i, 1)], address)
		}
		c.origins[origin(u)] = true
	}
	c.issuer = strings.TrimSuffix(cfg.Issuer, "/")
	// A token request that is redirected is a fault of the configuration; its secrets are not sent on.
	c.http = &http.Client{
		Transport: c.cfg.Base, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if err := c.load(ctx); err != nil {
		return nil, err
	}
	c.life, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// Close ends the refresh that runs, and waits for it. The sign-in stays what it is.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.running.Wait()
}

// Session describes the sign-in that a client holds.
type Session struct {
	ID       string
	Product  string
	Terminal string
	// Version counts the sign-ins of this user on this terminal of this product.
	Version int64
	Scope   string
	// LoginData is the JSON text that whoever issued a login token gave along, in the answer to the sign-in by it;
	// it is kept nowhere. It is their word, not the server's.
	LoginData string `json:",omitempty"`
}

// Session returns what is known of the sign-in; false if nobody is signed in.
func (c *Client) Session() (Session, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return Session{}, false
	}
	return c.held.session(), true
}

// SignIn signs in by a grant, and replaces the sign-in before it. It asks the server once: whether to
// try again is for the user to say. A refusal is an [*OAuthError].
func (c *Client) SignIn(ctx context.Context, g Grant) (Session, error) {
	if c.cfg.Machine {
		return Session{}, errors.New("sdk: a Machine signs in by itself")
	}
	got, err := c.exchange(ctx, c.signInForm(g))
	if err != nil {
		return Session{}, err
	}
	return c.begin(ctx, got)
}

// begin makes an answer to a sign-in the sign-in of the client.
func (c *Client) begin(ctx context.Context, a answer) (Session, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return Session{}, ErrClosed
	}
	c.epoch++
	c.hold(newHeld(a, c.epoch, 0, c.cfg.Now()))
	s := c.held.session()
	c.mu.Unlock()
	s.LoginData = string(a.LoginData)
	if err := c.save(ctx); err != nil {
		return s, fmt.Errorf("sdk: signed in, but the sign-in could not be stored: %w", err)
	}
	return s, nil
}

// SignOut forgets the sign-in and tells the server, which ends the session. It is forgotten also if the
// server cannot be told; the error says so. OnEnded is not called. Without a sign-in it does nothing.
func (c *Client) SignOut(ctx context.Context) error {
	c.mu.Lock()
	h := c.held
	c.held, c.ended = nil, nil
	c.epoch++
	c.mu.Unlock()
	if h == nil {
		return nil
	}
	err := c.forget(ctx, h)
	token := h.refresh
	if token == "" {
		token = h.access
	}
	return errors.Join(err, c.revoke(ctx, string(token)))
}

// hold takes a new pair into use. The caller holds mu.
func (c *Client) hold(h *held) {
	c.held, c.ended, c.failures, c.notBefore, c.lastErr = h, nil, 0, time.Time{}, nil
}

// end notes that the session of an epoch has ended, and tells the application if this is news. It returns the
// error for whoever asked.
func (c *Client) end(h *held, e *EndedError) *EndedError {
	e.SessionID = h.id
	c.mu.Lock()
	if c.held == nil || c.held.epoch != h.epoch {
		known := c.ended
		c.mu.Unlock()
		if known != nil && known.SessionID == h.id {
			return known
		}
		return e // of a session that is not this client's any more: news to that request alone
	}
	c.held, c.ended = nil, e
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.life), saveTimeout)
	defer cancel()
	if err := c.forget(ctx, h); err != nil {
		c.cfg.Log.Warn("sdk: the ended sign-in could not be removed from the store", "err", err)
	}
	if c.cfg.OnEnded != nil {
		go c.cfg.OnEnded(e)
	}
	return e
}

// Format implements fmt.Formatter: a client prints as what it is, without its tokens.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "sdk.Client("+c.cfg.ClientID+" at "+c.issuer+")")
}

// private says whether what is sent to an address cannot be read on the way.
func private(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// origin is scheme, host and port.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
