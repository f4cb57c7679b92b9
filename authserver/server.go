package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/account"
	"github.com/tallystick/tallystick/authserver/admin"
	"github.com/tallystick/tallystick/authserver/adminapi"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/brake"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/events"
	"github.com/tallystick/tallystick/authserver/federation"
	"github.com/tallystick/tallystick/authserver/grant"
	"github.com/tallystick/tallystick/authserver/handoff"
	"github.com/tallystick/tallystick/authserver/issue"
	"github.com/tallystick/tallystick/authserver/metadata"
	"github.com/tallystick/tallystick/authserver/pages"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/authserver/sdk/script"
	"github.com/tallystick/tallystick/authserver/session"
	"github.com/tallystick/tallystick/authserver/tokeninfo"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
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
	Users     storage.Users
	Audit     storage.Audit
	// Wallets keeps what administration sets on wallets, in the Currencies that are dealt in.
	Wallets    storage.Wallets
	Currencies []money.Currency
	// Handoffs keeps the requests of devices, login tokens, and what they have started.
	Handoffs Handoffs
	// Pacer paces waiting devices over all processes. Optional: each for itself.
	Pacer handoff.Pacer

	// Announcer hurries the ends of sessions to other processes. Optional.
	Announcer storage.Announcer
	// Ended acts on the ends of sessions in this process, before the answer is written: the guard's
	// Apply. Optional.
	Ended func([]storage.Event)

	// Clients is the *client.Registry, Passwords the *password.Checker, Minter the *token.Minter,
	// Parser the *token.Parser, Keys the *keys.Ring.
	Clients   Clients
	Passwords grant.Passwords
	// Brake holds back whoever guesses passwords.
	Brake  *brake.Brake
	Minter issue.Minter
	Parser Parser
	Keys   metadata.Keys
	// Checker judges and makes the passwords that users and administrators choose.
	Checker *password.Checker
	// Manager makes and changes clients for administration.
	Manager *client.Manager
	// Guard lets requests with an access token in.
	Guard *guard.Guard

	// Opener opens encrypted passwords: the *keys.Encryption. Nonces keeps that each is good once. Optional, both
	// or none.
	Opener grant.Opener
	Nonces storage.Nonces

	// Federation lets users in by other providers. Optional.
	Federation *federation.Desk

	// Events serves the ends of sessions to guards in other processes. Optional.
	Events *events.Endpoint
	// Live says that the process serves live connections at [Server.LivePath]; then the metadata names them.
	Live bool

	// Pages are what people see in a browser. Optional.
	Pages *Pages

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

// Pages says how people are served in a browser.
type Pages struct {
	// Client is who signs in there; see [pages.Config].
	Client storage.ClientID
	// Sealer seals the cookies.
	Sealer pages.Sealer
	// Observe is told who a page was shown to. Optional.
	Observe func(ctx context.Context, p *guard.Principal, refusal *guard.Refusal)
}

// Handoffs is the stores of hand-offs.
type Handoffs interface {
	handoff.Store
	storage.Starts
}

// Clients says who is calling, and reads clients that tokens name.
type Clients interface {
	grant.Clients
	account.Clients
}

// Parser verifies both kinds of token.
type Parser interface {
	issue.Parser
	tokeninfo.Tokens
}

// The paths of the endpoints, below the issuer.
const (
	pathToken  = "/oauth2/token"
	pathKeys   = "/.well-known/jwks.json"
	pathServer = "/.well-known/oauth-authorization-server"
	pathOpenID = "/.well-known/openid-configuration"
	pathEvents = "/v1/session-events"
	pathLive   = "/v1/live"

	pathRevoke     = "/oauth2/revoke"
	pathIntrospect = "/oauth2/introspect"
	pathUserInfo   = "/oauth2/userinfo"
	pathSessions   = "/v1/sessions"
	pathPassword   = "/v1/password"
	pathIdentities = "/v1/identities"
	pathAdmin      = "/admin/v1"
	pathModule     = "/sdk/tallystick.js"

	pathDeviceAuthorization = "/oauth2/device_authorization"
	pathDevice              = "/v1/device"
	pathDeviceEvents        = pathDevice + "/events"
	pathLogins              = "/v1/login-tokens"
)

// authMethods are the ways in which clients authenticate (RFC 7591 §2).
var authMethods = []string{"client_secret_basic", "client_secret_post", "none"} //nolint:gochecknoglobals // a constant in spirit.

// Server is the authorization server.
type Server struct {
	base      string
	edge      *web.Edge
	book      *session.Book
	guard     *guard.Guard
	token     *grant.Endpoint
	info      *tokeninfo.Endpoint
	account   *account.Account
	admin     *adminapi.API
	handoff   *handoff.Desk
	documents *metadata.Documents
	providers *federation.Desk // nil for none
	events    *events.Endpoint // nil for none
	pages     *pages.Pages     // nil for none
	live      bool             // live connections are served beside the routes
}

// New assembles the server. It refuses a configuration in which something is missing or wrong.
func New(cfg Config) (*Server, error) {
	base, err := metadata.Path(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("authserver: %w", err)
	}
	s := &Server{base: base, edge: web.New(web.Config{Log: cfg.Log, RequestID: cfg.RequestID}), events: cfg.Events, providers: cfg.Federation, live: cfg.Live}
	if err := s.assemble(cfg); err != nil {
		return nil, fmt.Errorf("authserver: %w", err)
	}
	return s, nil
}

// Register mounts the routes: all of them, on one screen.
func (s *Server) Register(r gin.IRouter) {
	below := r.Group(s.base)
	below.POST(pathToken, s.edge.Handle(s.token.Token))
	below.POST(pathRevoke, s.edge.Handle(s.info.Revoke))
	below.POST(pathIntrospect, s.edge.Handle(s.info.Introspect))

	user := below.Group("", s.guard.Admit(guard.Need{Holder: guard.UserToken}))
	user.GET(pathUserInfo, s.edge.Handle(s.info.UserInfo))
	user.POST(pathUserInfo, s.edge.Handle(s.info.UserInfo))
	user.GET(pathSessions, s.edge.Handle(s.account.Sessions))
	live := below.Group("", s.guard.Admit(guard.Need{Holder: guard.UserToken, Strict: true}))
	live.DELETE(pathSessions, s.edge.Handle(s.account.EndOthers))
	live.DELETE(pathSessions+"/:"+account.SessionParam, s.edge.Handle(s.account.End))
	live.POST(pathPassword, s.edge.Handle(s.account.Password))
	if s.providers != nil {
		user.GET(pathIdentities, s.edge.Handle(s.providers.List))
		live.POST(pathIdentities, s.edge.Handle(s.providers.Link))
		live.DELETE(pathIdentities+"/:"+federation.IdentityParam, s.edge.Handle(s.providers.Unlink))
	}
	s.handoffs(below, live)
	s.administration(below.Group(pathAdmin, s.guard.Admit(guard.Need{
		Scopes: []string{adminapi.Scope}, Holder: guard.ClientToken, Strict: true,
	})))

	if s.events != nil {
		below.GET(pathEvents, s.events.Admit(), s.edge.Handle(s.events.Watch))
	}

	if s.pages != nil {
		s.browse(below)
	}

	module := gin.WrapH(script.Handler())
	below.GET(pathModule, module)
	below.HEAD(pathModule, module)

	s.document(below, pathKeys, s.documents.KeySet)
	s.document(below, pathServer, s.documents.Server)
	s.document(below, pathOpenID, s.documents.OpenID)
	if s.base != "" {
		s.document(r, pathServer+s.base, s.documents.Server)
		s.document(r, pathOpenID+s.base, s.documents.OpenID)
	}
}

// handoffs mounts what hands sign-ins over: below for whoever waits, live for whoever is signed in.
func (s *Server) handoffs(below, live gin.IRouter) {
	below.POST(pathDeviceAuthorization, s.edge.Handle(s.handoff.Authorize))
	below.GET(pathDeviceEvents, s.edge.Handle(s.handoff.Watch))
	below.POST(pathDevice+"/status", s.edge.Handle(s.handoff.Status))
	below.POST(pathDevice+"/cancel", s.edge.Handle(s.handoff.CancelRequest))
	live.POST(pathDevice+"/scan", s.edge.Handle(s.handoff.ScanCode))
	live.POST(pathDevice+"/approve", s.edge.Handle(s.handoff.ApproveRequest))
	live.POST(pathDevice+"/deny", s.edge.Handle(s.handoff.DenyRequest))
	holder := below.Group("", s.guard.Admit(guard.Need{Holder: guard.AnyToken, Strict: true}))
	holder.POST(pathLogins, s.edge.Handle(s.handoff.IssueLogin))
	holder.GET(pathLogins, s.edge.Handle(s.handoff.ListLogins))
	holder.DELETE(pathLogins+"/:"+handoff.LoginParam, s.edge.Handle(s.handoff.RevokeLogin))
}

// browse mounts what people see in a browser.
func (s *Server) browse(r gin.IRouter) {
	p := s.pages
	r.GET(pages.PathSignIn, p.Page(p.SignIn))
	r.POST(pages.PathSignIn, p.Page(p.Enter))
	r.POST(pages.PathAsk, s.edge.Handle(p.Data(p.Ask)))
	r.GET(pages.PathEvents, s.edge.Handle(p.Data(p.Events)))
	r.POST(pages.PathCollect, p.Page(p.Collect))
	r.POST(pages.PathSignOut, p.Page(p.SignOut))
	r.GET(pages.PathDevice, p.Page(p.Device))
	r.POST(pages.PathDevice, p.Page(p.Scan))
	r.POST(pages.PathDecide, p.Page(p.Decide))
	r.GET(pages.PathAccount, p.Page(p.AccountPage))
	r.POST(pages.PathEnd, p.Page(p.End))
	r.POST(pages.PathOthers, p.Page(p.EndOthers))
	r.POST(pages.PathStarted, p.Page(p.EndStarted))
	r.POST(pages.PathPassword, p.Page(p.Password))
	r.POST(pages.PathLanguage, p.Page(p.Language))
	files := gin.WrapH(p.Files())
	r.GET(pages.PathFiles+"/*file", files)
	r.HEAD(pages.PathFiles+"/*file", files)
}

func (s *Server) administration(r gin.IRouter) {
	const user, one = "/users/:" + adminapi.UserParam, "/clients/:" + adminapi.ClientParam
	r.GET("/users", s.edge.Handle(s.admin.Users))
	r.POST("/users", s.edge.Handle(s.admin.CreateUser))
	r.GET(user, s.edge.Handle(s.admin.User))
	r.POST(user+"/kick", s.edge.Handle(s.admin.Kick))
	r.POST(user+"/ban", s.edge.Handle(s.admin.Ban))
	r.POST(user+"/unban", s.edge.Handle(s.admin.Unban))
	r.POST(user+"/password", s.edge.Handle(s.admin.SetPassword))
	r.GET(user+"/wallet", s.edge.Handle(s.admin.Wallet))
	r.PATCH(user+"/wallet", s.edge.Handle(s.admin.ChangeWallet))
	r.GET("/clients", s.edge.Handle(s.admin.Clients))
	r.POST("/clients", s.edge.Handle(s.admin.CreateClient))
	r.GET(one, s.edge.Handle(s.admin.Client))
	r.PATCH(one, s.edge.Handle(s.admin.UpdateClient))
	r.DELETE(one, s.edge.Handle(s.admin.DisableClient))
	r.POST(one+"/secret", s.edge.Handle(s.admin.RotateSecret))
	r.GET("/audit", s.edge.Handle(s.admin.Audit))
}

// Fallback makes an engine answer unknown routes and methods in the form of the protocol.
func (s *Server) Fallback(engine *gin.Engine) {
	engine.HandleMethodNotAllowed = true
	engine.NoRoute(s.edge.NotFound())
	engine.NoMethod(s.edge.NotAllowed())
}

// Streams are the routes that answer for as long as their reader stays: whoever listens exempts them
// from deadlines.
func (s *Server) Streams() []string {
	return []string{s.base + pathEvents, s.base + pathDeviceEvents, s.base + pages.PathEvents}
}

// Handoff hands sign-ins over: for pages that show and approve requests.
func (s *Server) Handoff() *handoff.Desk { return s.handoff }

// LivePath is where live connections are to be served beside the routes.
func (s *Server) LivePath() string { return s.base + pathLive }

// SignIn signs a user in on a live connection.
func (s *Server) SignIn(ctx context.Context, body json.RawMessage, from grant.Origin) (grant.Bound, error) {
	return s.token.SignIn(ctx, body, from)
}

// SignOut ends the session of a live connection.
func (s *Server) SignOut(ctx context.Context, p guard.Principal, from grant.Origin) error {
	return s.account.SignOut(ctx, p, audit.Origin{Actor: "user:" + string(p.User), Client: p.Client, Address: from.Address})
}

// Sessions lists the sessions of a user on a live connection, to be rendered as JSON.
func (s *Server) Sessions(ctx context.Context, p guard.Principal) (any, error) {
	return s.account.List(ctx, p)
}

// CrossOrigin are the paths below /oauth2 and /.well-known that pages of other origins may be let to
// call: what public clients use. Introspection is not among them.
func (s *Server) CrossOrigin() []string {
	return []string{
		s.base + pathToken, s.base + pathRevoke, s.base + pathDeviceAuthorization, s.base + pathUserInfo, s.base + "/.well-known/",
		s.base + pathDevice + "/", s.base + pathLogins,
	}
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
	if cfg.Handoffs == nil {
		return errors.New("the store of hand-offs is needed")
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
		Sessions: cfg.Sessions, Refreshes: cfg.Refreshes, Starts: cfg.Handoffs, Announcer: cfg.Announcer, Ended: cfg.Ended, Trail: trail, Now: cfg.Now,
		Metrics: cfg.Metrics,
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
	s.handoff, err = handoff.New(handoff.Config{
		Issuer: cfg.Issuer, Store: cfg.Handoffs, Clients: cfg.Clients, Brake: cfg.Brake, Rules: rules, Pacer: cfg.Pacer, Now: cfg.Now,
		Metrics: cfg.Metrics,
	})
	if err != nil {
		return err
	}
	grants := grant.Config{
		Clients: cfg.Clients, Passwords: cfg.Passwords, Brake: cfg.Brake, Rules: rules, Book: s.book, Issuer: issuer, Trail: trail,
		Opener: cfg.Opener, Nonces: cfg.Nonces, Handoffs: s.handoff, Now: cfg.Now, Metrics: cfg.Metrics,
	}
	if cfg.Federation != nil {
		grants.Federation = cfg.Federation
	}
	s.token, err = grant.New(grants)
	if err != nil {
		return err
	}
	if err := s.assembleResources(cfg, rules, trail); err != nil {
		return err
	}
	s.documents, err = metadata.New(metadata.Config{
		Issuer: cfg.Issuer, Endpoints: s.advertised(),
		Grants: s.token.Grants(), AuthMethods: authMethods, Keys: cfg.Keys, EncryptedPasswords: cfg.Opener != nil,
	})
	return err
}

// assembleResources makes the rooms that answer beside the token endpoint.
func (s *Server) assembleResources(cfg Config, rules *product.Rules, trail *audit.Trail) (err error) {
	if cfg.Users == nil || cfg.Checker == nil || cfg.Manager == nil || cfg.Guard == nil {
		return errors.New("the store of users, the checker of passwords, the manager of clients and the guard are needed")
	}
	s.guard = cfg.Guard
	s.info, err = tokeninfo.New(tokeninfo.Config{
		Clients: cfg.Clients, Tokens: cfg.Parser, Book: s.book, Checks: cfg.Sessions, Refreshes: cfg.Refreshes, Users: cfg.Users,
		WatchScope: watchScope(cfg), Now: cfg.Now, Metrics: cfg.Metrics,
	})
	if err != nil {
		return err
	}
	s.account, err = account.New(account.Config{
		Book: s.book, Passwords: cfg.Checker, Brake: cfg.Brake, Users: cfg.Users, Clients: cfg.Clients, Now: cfg.Now,
	})
	if err != nil {
		return err
	}
	if err := s.assemblePages(cfg); err != nil {
		return err
	}
	users, err := admin.New(admin.Config{
		Users: cfg.Users, Sessions: s.book, Passwords: cfg.Checker, Wallets: cfg.Wallets, Trail: trail, Now: cfg.Now, Log: cfg.Log,
	})
	if err != nil {
		return err
	}
	s.admin, err = adminapi.New(adminapi.Config{
		Users: users, Clients: cfg.Manager, Sessions: s.book, Records: cfg.Audit, Products: rules.Products(),
		Currencies: cfg.Currencies,
	})
	return err
}

// assemblePages makes the pages, where they are wanted.
func (s *Server) assemblePages(cfg Config) (err error) {
	if cfg.Pages == nil {
		return nil
	}
	s.pages, err = pages.New(pages.Config{
		Issuer: cfg.Issuer, Client: cfg.Pages.Client, Sealer: cfg.Pages.Sealer, Observe: cfg.Pages.Observe,
		Tokens: s.token, Parser: cfg.Parser, Book: s.book, Refreshes: cfg.Refreshes, Checks: cfg.Sessions, Users: cfg.Users,
		Clients: cfg.Clients, Devices: s.handoff, Account: s.account, RequestID: cfg.RequestID, Now: cfg.Now, Log: cfg.Log,
	})
	return err
}

// watchScope is the scope of the feed, empty where it is not served.
func watchScope(cfg Config) string {
	if cfg.Events == nil {
		return ""
	}
	return events.Scope
}

// advertised are the endpoints that the metadata names: those that are registered.
func (s *Server) advertised() metadata.Endpoints {
	at := metadata.Endpoints{
		Token: pathToken, Keys: pathKeys, Revocation: pathRevoke, Introspection: pathIntrospect, UserInfo: pathUserInfo,
		DeviceAuthorization: pathDeviceAuthorization,
	}
	if s.events != nil {
		at.SessionEvents = pathEvents
	}
	if s.live {
		at.Live = pathLive
	}
	return at
}

func (s *Server) document(r gin.IRouter, path string, h func(*gin.Context) error) {
	r.GET(path, s.edge.Handle(h))
	r.HEAD(path, s.edge.Handle(h))
}
