package handoff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// ScopeIssue lets an internal client issue login tokens for users.
const ScopeIssue = "login_token:issue"

// Issue asks for a login token.
type Issue struct {
	// User is whom it signs in: empty for the user who asks, needed of a client.
	User storage.UserID
	// Product is what it signs in to; empty for that of the issuer. Terminal is on what type of device; empty
	// for any that the redeeming client may use.
	Product  string
	Terminal string
	// Data goes to whoever redeems it: any JSON of at most [MaxData] bytes, or nil.
	Data json.RawMessage
}

// Issued is a login token as its issuer gets it.
type Issued struct {
	Token secret.Text
	ID    storage.HandoffID
	// URL is what the QR leads to: the token is in the fragment, which no browser sends to a server.
	URL       secret.Text
	QR        secret.Text // an SVG
	ExpiresIn time.Duration
}

// Issue makes a login token. Whoever issues it must stand at that instant.
func (d *Desk) Issue(ctx context.Context, by By, i Issue) (Issued, error) {
	now := d.now()
	t, err := d.draft(ctx, by, i, now)
	if err != nil {
		return Issued{}, err
	}
	text, hash := newSecret(prefixLogin)
	t.Hash = hash
	record := by.record(audit.LoginTokenIssued, now)
	record.User = t.User
	record.Detail = audit.Detail("login", t.ID, "product", t.Product, "terminal", t.Terminal)
	if err := d.cfg.Store.IssueLogin(ctx, t, by.Bearer(), MaxLoginTokens, record); err != nil {
		if errors.Is(err, storage.ErrNotFound) {
			return Issued{}, oauth.Wrap(oauth.NotFound, "there is no such user", err)
		}
		if errors.Is(err, storage.ErrDisabled) && by.User == "" {
			return Issued{}, oauth.Wrap(oauth.AccessDenied, "the user may not sign in", err)
		}
		return Issued{}, refusal(fmt.Errorf("issue login token: %w", err))
	}
	d.metrics.step(storage.HandoffLogin, "issued")
	link := d.cfg.Issuer + "/signin#login_token=" + text.Reveal()
	svg, err := QR(link)
	if err != nil {
		return Issued{}, err
	}
	return Issued{Token: text, ID: t.ID, URL: secret.New(link), QR: secret.New(svg), ExpiresIn: LoginTTL}, nil
}

func (d *Desk) draft(ctx context.Context, by By, i Issue, now time.Time) (storage.LoginToken, error) {
	t := storage.LoginToken{
		ID: storage.HandoffID(storage.NewID(now)), State: storage.HandoffApproved, User: by.User, IssuedBy: by.Session, Client: by.Client,
		Terminal: storage.Terminal(i.Terminal), Data: i.Data, CreatedAt: now, ExpiresAt: now.Add(LoginTTL),
	}
	switch {
	case len(i.Data) > MaxData:
		return t, oauth.New(oauth.InvalidRequest, fmt.Sprintf("data is longer than %d bytes", MaxData))
	case by.User != "" && i.User != "" && i.User != by.User:
		return t, oauth.New(oauth.InvalidRequest, "sub is for internal clients; a user hands over their own sign-in only")
	case by.User == "" && i.User == "":
		return t, oauth.New(oauth.InvalidRequest, "a client that acts for itself must say for whom: sub is missing")
	case by.User == "":
		t.User = i.User
	default:
		limit := by.Scope // the token hands over no more than it has
		t.ScopeLimit = &limit
	}
	var err error
	if t.Product, err = d.productOf(ctx, by, i.Product); err != nil {
		return t, err
	}
	if t.Terminal != "" {
		_, err = d.cfg.Rules.Rule(t.Product, t.Terminal)
	}
	return t, err
}

// productOf is the product of a login token: of a user's that of their session if they ask for none, and else
// one that the app signs in to; of an internal client any that there is, and it must say which if there are several.
func (d *Desk) productOf(ctx context.Context, by By, asked string) (string, error) {
	if by.User != "" {
		if asked == "" {
			asked = by.Product
		}
		return asked, d.mayHandOver(ctx, by, asked)
	}
	c, err := d.cfg.Clients.Client(ctx, by.Client)
	if err != nil {
		return "", fmt.Errorf("read client: %w", err)
	}
	if len(c.Products) > 0 {
		return client.Product(c, asked)
	}
	products := d.cfg.Rules.Products()
	if asked == "" && len(products) == 1 {
		return products[0], nil
	}
	if len(d.cfg.Rules.Rules(asked)) == 0 {
		return "", oauth.New(oauth.InvalidRequest, "product is missing, or there is none of that name")
	}
	return asked, nil
}

func (b By) holder() storage.LoginHolder {
	if b.User != "" {
		return storage.LoginHolder{User: b.User}
	}
	return storage.LoginHolder{Client: b.Client}
}

// Logins lists the login tokens that the holder, a user with any of their sessions or an internal client, has
// issued and that may still be redeemed, newest first.
func (d *Desk) Logins(ctx context.Context, by By) ([]storage.LoginToken, error) {
	list, err := d.cfg.Store.Logins(ctx, by.holder(), d.now())
	if err != nil {
		return nil, fmt.Errorf("list login tokens: %w", err)
	}
	return list, nil
}

// Revoke takes a login token back. One that is over already is no error.
func (d *Desk) Revoke(ctx context.Context, by By, id storage.HandoffID) error {
	if len(id) != storage.IDLength {
		return unknownLogin(nil)
	}
	now := d.now()
	record := by.record(audit.LoginTokenRevoked, now)
	record.Detail = audit.Detail("login", id)
	err := d.cfg.Store.RevokeLogin(ctx, id, by.holder(), record, now)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return unknownLogin(err)
	case errors.Is(err, storage.ErrConsumed):
		return nil
	case err != nil:
		return fmt.Errorf("revoke login token: %w", err)
	}
	d.metrics.step(storage.HandoffLogin, "revoked")
	return nil
}
