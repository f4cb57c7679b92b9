package pages

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/account"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/grant"
	"github.com/tallystick/tallystick/authserver/handoff"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// The paths of the pages, below the issuer.
const (
	PathSignIn   = "/signin"
	PathAsk      = PathSignIn + "/ask"
	PathEvents   = PathSignIn + "/events"
	PathCollect  = PathSignIn + "/collect"
	PathSignOut  = "/signout"
	PathDevice   = "/device"
	PathScan     = PathDevice
	PathDecide   = PathDevice + "/decide"
	PathAccount  = "/account"
	PathEnd      = PathAccount + "/end"
	PathOthers   = PathAccount + "/end-others"
	PathStarted  = PathAccount + "/end-started"
	PathPassword = PathAccount + "/password"
	PathLanguage = "/language"
	PathFiles    = "/pages"
)

// Tokens is the token endpoint; [grant.Endpoint] is.
type Tokens interface {
	Redeem(ctx context.Context, r *grant.Request) (grant.Answer, error)
}

// Parser reads refresh tokens; [token.Parser] does.
type Parser interface {
	Refresh(raw string, now time.Time) (token.Refresh, error)
}

// Book reads sessions and signs out of them; the book of package session does.
type Book interface {
	Session(ctx context.Context, id storage.SessionID) (storage.Session, error)
	Sole(ctx context.Context, id storage.SessionID, client storage.ClientID) (bool, error)
	Leave(ctx context.Context, hash storage.RefreshHash, client storage.ClientID, from audit.Origin) ([]storage.Event, error)
}

// Refreshes reads refresh tokens; [storage.Refreshes] does.
type Refreshes interface {
	Refresh(ctx context.Context, hash storage.RefreshHash) (storage.Refresh, error)
}

// Checks says whether what a token stands for stands; [storage.Sessions] does.
type Checks interface {
	Check(ctx context.Context, b storage.Bearer, now time.Time) error
}

// Users reads users; [storage.Users] does.
type Users interface {
	User(ctx context.Context, id storage.UserID) (storage.User, error)
}

// Clients reads clients; the registry of package client does.
type Clients interface {
	Client(ctx context.Context, id storage.ClientID) (storage.Client, error)
}

// Devices hands sign-ins over; [handoff.Desk] does.
type Devices interface {
	Ask(ctx context.Context, a handoff.Ask) (handoff.Waiting, error)
	Watch(c *gin.Context) error
	Scan(ctx context.Context, by handoff.By, typed string) (handoff.Asking, error)
	Approve(ctx context.Context, by handoff.By, which handoff.Which, number string) (handoff.Asking, error)
	Deny(ctx context.Context, by handoff.By, which handoff.Which) (handoff.Asking, error)
}

// Account is the user's own sessions and password; [account.Account] is.
type Account interface {
	Devices(ctx context.Context, p guard.Principal) ([]account.Session, error)
	EndDevice(ctx context.Context, p guard.Principal, id storage.SessionID, from audit.Origin) error
	EndOtherDevices(ctx context.Context, p guard.Principal, from audit.Origin) error
	EndStarted(ctx context.Context, p guard.Principal, origin storage.SessionID, from audit.Origin) error
	ChangePassword(ctx context.Context, p guard.Principal, present, chosen secret.Text, from audit.Origin) error
}

// Sealer seals cookies; [keys.Box] does.
type Sealer interface {
	Seal(plain []byte, label ...string) []byte
	Open(sealed []byte, label ...string) ([]byte, error)
}

// Config is what [Pages] need. What is not marked as optional must be there.
type Config struct {
	// Issuer is the address of the server as browsers know it.
	Issuer string
	// Client is who signs in here: a public client with the grants password and refresh_token, on the terminal
	// browser, and device_code for the QR.
	Client storage.ClientID
	Sealer Sealer

	Tokens    Tokens
	Parser    Parser
	Book      Book
	Refreshes Refreshes
	Checks    Checks
	Users     Users
	Clients   Clients
	Devices   Devices
	Account   Account

	// Observe is told who a page was shown to, once they were let in. Optional.
	Observe func(ctx context.Context, p *guard.Principal, refusal *guard.Refusal)
	// RequestID tells the id of a request's context. Optional.
	RequestID func(context.Context) string
	// Now tells the time. Optional: time.Now.
	Now func() time.Time
	// Log takes the causes of failures. Optional.
	Log *slog.Logger
}

// Pages holds the handlers.
type Pages struct {
	cfg    Config
	host   string // of the issuer
	base   string // the path of the issuer, without a slash at its end
	secure bool   // the issuer is https
	views  *views
	cross  *http.CrossOriginProtection
}

// New makes the pages. It refuses a configuration in which something is missing.
func New(cfg Config) (*Pages, error) {
	switch {
	case cfg.Client == "" || cfg.Sealer == nil:
		return nil, errors.New("pages: client and sealer are needed")
	case cfg.Tokens == nil || cfg.Parser == nil || cfg.Book == nil || cfg.Refreshes == nil || cfg.Checks == nil:
		return nil, errors.New("pages: tokens, parser, book, refreshes and checks are needed")
	case cfg.Users == nil || cfg.Clients == nil || cfg.Devices == nil || cfg.Account == nil:
		return nil, errors.New("pages: users, clients, devices and account are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.RequestID == nil {
		cfg.RequestID = func(context.Context) string { return "" }
	}
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil || issuer.Host == "" {
		return nil, fmt.Errorf("pages: the issuer %q is not an address", cfg.Issuer)
	}
	p := &Pages{cfg: cfg, host: issuer.Host, base: strings.TrimSuffix(issuer.Path, "/"), secure: issuer.Scheme == "https", cross: http.NewCrossOriginProtection()}
	// A proxy may rewrite Host; then the origin is still that of the issuer.
	if err := p.cross.AddTrustedOrigin(issuer.Scheme + "://" + issuer.Host); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	p.views, err = newViews(p.base)
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	return p, nil
}

// Files serves the style, the script and the mark, which are public, at [PathFiles].
func (p *Pages) Files() http.Handler { return p.views.files }

func (p *Pages) now() time.Time { return storage.Instant(p.cfg.Now()) }
