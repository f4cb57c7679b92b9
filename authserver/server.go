package authserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/brake"
	"github.com/tallystick/tallystick/authserver/grant"
	"github.com/tallystick/tallystick/authserver/issue"
	"github.com/tallystick/tallystick/authserver/metadata"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/authserver/session"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Config is what a [Server] needs. What is not marked as optional must be there.
type Config struct {
	// Issuer is the iss of tokens: the address of the server as its clients know it.
	Issuer string
	// Audience is the aud of access tokens.
	Audience []string
	Products product.Config

	// The stores.
	Sessions  storage.Sessions
	Refreshes storage.Refreshes
	Audit     storage.Audit

	// Announcer hurries the ends of sessions to other processes. Optional.
	Announcer storage.Announcer
	// Ended acts on the ends of sessions in this process, before the answer is written: the guard's
	// Apply. Optional.
	Ended func([]storage.Event)

	// Clients is the *client.Registry, Passwords the *password.Checker, Minter the *token.Minter,
	// Parser the *token.Parser, Keys the *keys.Ring.
	Clients   grant.Clients
	Passwords grant.Passwords
	// Brake holds back whoever guesses passwords.
	Brake  *brake.Brake
	Minter issue.Minter
	Parser issue.Parser
	Keys   metadata.Keys

	// ChainKey makes each refresh token's identifier out of the one before: 32 bytes that only the
	// processes of this server know.
	ChainKey secret.Text
	// MachineTTL is the life of client credentials' tokens; 0 for an hour.
	MachineTTL time.Duration
	// ReplayWindow is how long a used refresh token still gets its answer; 0 for ten seconds, below
	// zero for not at all.
	ReplayWindow time.Duration

	// RequestID tells the id of a request's context. Optional.
	RequestID func(context.Context) string
	// Now tells the time. Optional: time.Now.
	Now func() time.Time
	// Log takes what operators should know. Optional.
	Log *slog.Logger
	// Metrics takes the server's metrics. Optional.
	Metrics prometheus.Registerer
}

// The paths of the endpoints, below the issuer.
const (
	pathToken  = "/oauth2/token" //nolint:gosec // G101: a path, not a credential.
	pathKeys   = "/.well-known/jwks.json"
	pathServer = "/.well-known/oauth-authorization-server"
	pathOpenID = "/.well-known/openid-configuration"
)

// authMethods are the ways in which clients authenticate (RFC 7591 §2).
var authMethods = []string{"client_secret_basic", "client_secret_post", "none"} //nolint:gochecknoglobals // a constant in spirit.

// Server is the authorization server.
type Server struct {
	base      string
	edge      *web.Edge
	book      *session.Book
	token     *grant.Endpoint
	documents *metadata.Documents
}

// New assembles the server. It refuses a configuration in which something is missing or wrong.
func New(cfg Config) (*Server, error) {
	base, err := metadata.Path(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("authserver: %w", err)
	}
	s := &Server{base: base, edge: web.New(web.Config{Log: cfg.Log, RequestID: cfg.RequestID})}
	if err := s.assemble(cfg); err != nil {
		return nil, fmt.Errorf("authserver: %w", err)
	}
	return s, nil
}

// Register mounts the routes: all of them, on one screen.
func (s *Server) Register(r gin.IRouter) {
	below := r.Group(s.base)
	below.POST(pathToken, s.edge.Handle(s.token.Token))

	s.document(below, pathKeys, s.documents.KeySet)
	s.document(below, pathServer, s.documents.Server)
	s.document(below, pathOpenID, s.documents.OpenID)
	if s.base != "" {
		s.document(r, pathServer+s.base, s.documents.Server)
		s.document(r, pathOpenID+s.base, s.documents.OpenID)
	}
}

// Fallback makes an engine answer unknown routes and methods in the form of the protocol.
func (s *Server) Fallback(engine *gin.Engine) {
	engine.HandleMethodNotAllowed = true
	engine.NoRoute(s.edge.NotFound())
	engine.NoMethod(s.edge.NotAllowed())
}

// Book keeps the sessions: for those who end them by other roads, such as administration.
func (s *Server) Book() *session.Book { return s.book }

func (s *Server) assemble(cfg Config) error {
	if cfg.Audit == nil {
		return errors.New("the audit store is needed")
	}
	if cfg.Brake == nil {
		return errors.New("the brake on guessing is needed")
	}
	rules, err := product.New(cfg.Products)
	if err != nil {
		return err
	}
	trail, err := audit.New(audit.Config{Store: cfg.Audit, Log: cfg.Log})
	if err != nil {
		return err
	}
	s.book, err = session.New(session.Config{
		Sessions: cfg.Sessions, Refreshes: cfg.Refreshes, Announcer: cfg.Announcer, Ended: cfg.Ended, Trail: trail, Now: cfg.Now,
	})
	if err != nil {
		return err
	}
	issuer, err := issue.New(issue.Config{
		Minter: cfg.Minter, Parser: cfg.Parser, Sessions: s.book, Refreshes: cfg.Refreshes, Rules: rules, Audience: cfg.Audience,
		ChainKey: cfg.ChainKey, MachineTTL: cfg.MachineTTL, Window: cfg.ReplayWindow,
	})
	if err != nil {
		return err
	}
	s.token, err = grant.New(grant.Config{
		Clients: cfg.Clients, Passwords: cfg.Passwords, Brake: cfg.Brake, Rules: rules, Book: s.book, Issuer: issuer, Trail: trail,
		Now: cfg.Now, Metrics: cfg.Metrics,
	})
	if err != nil {
		return err
	}
	s.documents, err = metadata.New(metadata.Config{
		Issuer: cfg.Issuer, Endpoints: metadata.Endpoints{Token: pathToken, Keys: pathKeys},
		Grants: s.token.Grants(), AuthMethods: authMethods, Keys: cfg.Keys,
	})
	return err
}

func (s *Server) document(r gin.IRouter, path string, h func(*gin.Context) error) {
	r.GET(path, s.edge.Handle(h))
	r.HEAD(path, s.edge.Handle(h))
}
