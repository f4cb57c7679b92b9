package adminapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tallystick/tallystick/authserver/admin"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// Scope is what a client's token must grant.
const Scope = "admin"

// The names of the path parameters.
const (
	UserParam   = "sub"
	ClientParam = "client_id"
)

// The sizes of pages.
const (
	DefaultPage = 100
	MaxPage     = 500
)

const (
	maxSub    = 32  // bytes
	maxCursor = 256 // bytes, encoded
)

// Sessions lists the live sessions of a user; the book of package session does.
type Sessions interface {
	Live(ctx context.Context, user storage.UserID) ([]storage.Session, error)
}

// Records lists the audit record; [storage.Audit] does.
type Records interface {
	ListAudit(ctx context.Context, since time.Time, after string, limit int) ([]storage.AuditRecord, error)
}

// Config is what an [API] needs.
type Config struct {
	Users    *admin.Users
	Clients  *client.Manager
	Sessions Sessions
	Records  Records
	// Products are the products that are configured.
	Products []string
	// Currencies are those in which limits can be set.
	Currencies []money.Currency
}

// API holds the handlers.
type API struct{ cfg Config }

// New makes the handlers. It refuses a configuration in which something is missing.
func New(cfg Config) (*API, error) {
	if cfg.Users == nil || cfg.Clients == nil || cfg.Sessions == nil || cfg.Records == nil || len(cfg.Products) == 0 {
		return nil, errors.New("adminapi: users, clients, sessions, records and products are needed")
	}
	return &API{cfg: cfg}, nil
}

// refusal is the one table from what the services refuse to what the caller is told. What it does not
// know passes: package web hides it.
func refusal(err error, what string) error {
	if err == nil {
		return nil
	}
	if input, ok := errors.AsType[*admin.InputError](err); ok {
		return oauth.Wrap(oauth.InvalidRequest, input.Text, err)
	}
	if policy, ok := errors.AsType[*password.PolicyError](err); ok {
		return oauth.Wrap(oauth.PasswordRefused, policy.Text, err)
	}
	if draft, ok := errors.AsType[*client.InvalidError](err); ok {
		// Descriptions have no double quotes (RFC 6749 §5.2).
		return oauth.Wrap(oauth.InvalidRequest, strings.ReplaceAll(strings.Join(draft.Faults, "; "), `"`, "'"), err)
	}
	if overload, ok := errors.AsType[*password.OverloadError](err); ok {
		busy := oauth.Unavailable(err)
		busy.RetryAfter = overload.RetryAfter
		return busy
	}
	switch {
	case errors.Is(err, password.ErrUsername):
		return oauth.Wrap(oauth.InvalidRequest,
			fmt.Sprintf("username: no spaces or control characters, at most %d bytes", password.MaxUsername), err)
	case errors.Is(err, client.ErrPublic):
		return oauth.Wrap(oauth.InvalidRequest, "a public client has no secret", err)
	case errors.Is(err, storage.ErrNotFound):
		return oauth.Wrap(oauth.NotFound, "there is no such "+what, err)
	case errors.Is(err, storage.ErrExists):
		return oauth.Wrap(oauth.AlreadyExists, "there is a "+what+" of that name already", err)
	case errors.Is(err, storage.ErrStale):
		return oauth.Wrap(oauth.ChangedInBetween, "the "+what+" was changed in between; read it again", err)
	}
	return err
}
