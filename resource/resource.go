package resource

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/resource/apidoc"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/outbox"
	"github.com/tallystick/tallystick/resource/problem"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/resource/walletapi"
	"github.com/tallystick/tallystick/storage"
)

// The scopes of the wallet.
const (
	ScopeRead     = "wallet:read"
	ScopeTransfer = "wallet:transfer"
	ScopeDeposit  = "wallet:deposit"
	ScopeWithdraw = "wallet:withdraw"
	ScopeHold     = "wallet:hold"
	ScopeReverse  = "wallet:reverse"
	ScopeReadAny  = "wallet:read_any"
	ScopeBooks    = "ledger:read"
	ScopeAdmin    = "admin"
)

// Config is what a [Server] is made of.
type Config struct {
	// Wallet configures the wallet. Its Refusal is set by [New]; its Log also gets the causes of answers
	// with status 500 and above.
	Wallet wallet.Config
	// Books are what the trial balance is drawn from.
	Books storage.Bookkeeper
	// Outbox reads the ledger's events. It is started and stopped by its owner.
	Outbox *outbox.Runner
	// Webhooks manages webhooks; nil for none.
	Webhooks *outbox.Desk
	// Guard is started and stopped by its owner.
	Guard *guard.Guard
	// RequestID reads the request's identifier from its context; nil means that there is none.
	RequestID func(context.Context) string
}

// Server is the wallet service, ready to be mounted.
type Server struct {
	guard    *guard.Guard
	wallet   *wallet.Wallet
	api      *walletapi.API
	events   *walletapi.Events
	webhooks *walletapi.Webhooks
	books    storage.Bookkeeper
	problems *problem.Renderer
	document *apidoc.Document
}

// New assembles the wallet service.
func New(cfg Config) (*Server, error) {
	if cfg.Guard == nil {
		return nil, errors.New("resource: no guard")
	}
	if cfg.Outbox == nil {
		return nil, errors.New("resource: no outbox")
	}
	if cfg.Books == nil {
		return nil, errors.New("resource: no books")
	}
	cfg.Wallet.Refusal = problem.Recorded
	w, err := wallet.New(cfg.Wallet)
	if err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	api, err := walletapi.New(w)
	if err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	document, err := apidoc.New()
	if err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	s := &Server{
		guard: cfg.Guard, wallet: w, api: api, books: cfg.Books, events: walletapi.NewEvents(cfg.Outbox), document: document,
		problems: problem.NewRenderer(problem.Config{RequestID: cfg.RequestID, Log: cfg.Wallet.Log}),
	}
	if cfg.Webhooks != nil {
		s.webhooks = walletapi.NewWebhooks(cfg.Webhooks)
	}
	return s, nil
}

// RegisterAdmin mounts the routes for administrators: those of webhooks, if there is a desk for them.
func (s *Server) RegisterAdmin(r gin.IRouter) {
	if s.webhooks == nil {
		return
	}
	admin := s.guard.Admit(guard.Need{Scopes: []string{ScopeAdmin}, Holder: guard.ClientToken, Strict: true})
	h := s.problems.Handle
	r.GET("/admin/v1/webhooks", admin, h(s.webhooks.List))
	r.POST("/admin/v1/webhooks", admin, h(s.webhooks.Create))
	r.GET("/admin/v1/webhooks/:id", admin, h(s.webhooks.Show))
	r.PATCH("/admin/v1/webhooks/:id", admin, h(s.webhooks.Update))
	r.DELETE("/admin/v1/webhooks/:id", admin, h(s.webhooks.Delete))
	r.POST("/admin/v1/webhooks/:id/secret", admin, h(s.webhooks.Rotate))
	r.POST("/admin/v1/webhooks/:id/test", admin, h(s.webhooks.Test))
	r.GET("/admin/v1/webhooks/:id/dead", admin, h(s.webhooks.Dead))
	r.POST("/admin/v1/webhooks/:id/replay", admin, h(s.webhooks.Replay))
}

// Wallet is the wallet behind the routes, for what does not come over HTTP.
func (s *Server) Wallet() *wallet.Wallet { return s.wallet }

// Downloads are the GET routes that answer with a stream of any length to requests that accept
// [walletapi.MediaCSV]: they must have no deadline then.
func (s *Server) Downloads() []string {
	return []string{"/v1/wallet/entries", "/v1/wallets/:" + walletapi.SubParam + "/entries"}
}

// Register mounts the routes of the wallet, and its document, which needs no token.
func (s *Server) Register(r gin.IRouter) {
	user := func(scope string) gin.HandlerFunc {
		return s.guard.Admit(guard.Need{Scopes: []string{scope}, Holder: guard.UserToken})
	}
	strictUser := func(scope string) gin.HandlerFunc {
		return s.guard.Admit(guard.Need{Scopes: []string{scope}, Holder: guard.UserToken, Strict: true})
	}
	anyone := func(scope string) gin.HandlerFunc {
		return s.guard.Admit(guard.Need{Scopes: []string{scope}, Holder: guard.AnyToken})
	}
	strictAnyone := func(scope string) gin.HandlerFunc {
		return s.guard.Admit(guard.Need{Scopes: []string{scope}, Holder: guard.AnyToken, Strict: true})
	}
	strictClient := func(scope string) gin.HandlerFunc {
		return s.guard.Admit(guard.Need{Scopes: []string{scope}, Holder: guard.ClientToken, Strict: true})
	}
	client := func(scope string) gin.HandlerFunc {
		return s.guard.Admit(guard.Need{Scopes: []string{scope}, Holder: guard.ClientToken})
	}
	reader := s.guard.Admit(guard.Need{
		Scopes: []string{ScopeRead}, ClientScopes: []string{ScopeReadAny}, Holder: guard.AnyToken,
	})
	h := s.problems.Handle

	r.GET("/v1/wallet", user(ScopeRead), h(s.api.Balances))
	r.GET("/v1/wallet/entries", user(ScopeRead), h(s.api.Entries))
	r.GET("/v1/wallet/currencies", reader, h(s.api.Currencies))
	r.GET("/v1/wallets/:sub", client(ScopeReadAny), h(s.api.BalancesOf))
	r.GET("/v1/wallets/:sub/entries", client(ScopeReadAny), h(s.api.EntriesOf))
	r.GET("/v1/ledger/trial-balance", client(ScopeBooks), h(s.trialBalance))
	r.GET("/v1/ledger/events", client(ScopeBooks), h(s.events.After))
	r.POST("/v1/transfers", strictUser(ScopeTransfer), h(s.api.Transfer))
	r.GET("/v1/transfers/:id", reader, h(s.api.TransferByID))
	r.POST("/v1/transfers/:id/reversals", strictAnyone(ScopeReverse), h(s.api.Reverse))
	r.POST("/v1/withdrawals", strictClient(ScopeWithdraw), h(s.api.Withdraw))
	r.POST("/v1/holds", strictAnyone(ScopeHold), h(s.api.Hold))
	r.GET("/v1/holds/:id", anyone(ScopeHold), h(s.api.HoldByID))
	r.POST("/v1/holds/:id/capture", strictAnyone(ScopeHold), h(s.api.Capture))
	r.POST("/v1/holds/:id/void", strictAnyone(ScopeHold), h(s.api.Void))
	r.POST("/v1/deposits", strictClient(ScopeDeposit), h(s.api.Deposit))

	for path, serve := range map[string]http.HandlerFunc{apidoc.Path: s.document.ServeJSON, apidoc.PagePath: s.document.ServePage} {
		r.GET(path, gin.WrapF(serve))
		r.HEAD(path, gin.WrapF(serve))
	}
}
