package handoff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Terms are what a hand-off that is ready signs in to.
type Terms struct {
	User    storage.UserID
	Product string
	// Terminal is on what; empty for any that the redeeming client may use.
	Terminal storage.Terminal
	// Scope is what was asked for when the hand-off began; nil if it is asked for now.
	Scope *string
	// ScopeLimit is the scope of who approved; nil for no limit.
	ScopeLimit *string
	// Device is the device that was approved; nil if it is the one that redeems.
	Device *storage.Device
	// Data goes to whoever redeems.
	Data  json.RawMessage
	Claim storage.HandoffClaim
}

// Narrow leaves out of a scope what the approver did not have.
func (t *Terms) Narrow(scope string) string {
	if t.ScopeLimit == nil {
		return scope
	}
	had := strings.Fields(*t.ScopeLimit)
	return strings.Join(slices.DeleteFunc(strings.Fields(scope), func(s string) bool { return !slices.Contains(had, s) }), " ")
}

// CollectDevice says what a device code stands for, if its request was approved, and uses nothing up. While it
// was not, it refuses in the words of RFC 8628 §3.5. An answer that ends the wait is never held back; one that
// does not is paced.
func (d *Desk) CollectDevice(ctx context.Context, c storage.Client, code secret.Text, now time.Time) (Terms, error) {
	hash, ok := hashOf(prefixDevice, code)
	if !ok {
		return Terms{}, invalidDevice(nil)
	}
	r, err := d.cfg.Store.Device(ctx, hash)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return Terms{}, invalidDevice(err)
	case err != nil:
		return Terms{}, fmt.Errorf("collect device: %w", err)
	case r.Client != c.ID:
		return Terms{}, invalidDevice(errors.New("the device code is another client's"))
	}
	switch r.StateAt(now) {
	case storage.HandoffNew, storage.HandoffScanned:
		if !d.pace.allow(ctx, string(r.ID), now) {
			return Terms{}, oauth.New(oauth.SlowDown, "asking too often; wait 5 seconds longer between requests from now on")
		}
		return Terms{}, oauth.New(oauth.AuthorizationPending, "nobody has approved yet")
	case storage.HandoffApproved:
		return Terms{
			User: r.User, Product: r.Product, Terminal: r.Terminal, Scope: &r.Scope, ScopeLimit: &r.ScopeLimit, Device: &r.Device,
			Claim: storage.HandoffClaim{
				Kind: storage.HandoffDevice, ID: r.ID, Hash: r.Hash, By: r.ApprovedBy, ApprovedAt: approvedAt(&r),
			},
		}, nil
	case storage.HandoffDenied, storage.HandoffCancelled:
		return Terms{}, oauth.New(oauth.AccessDenied, "the request was declined")
	case storage.HandoffExpired:
		return Terms{}, oauth.New(oauth.ExpiredToken, "nobody has approved in time; ask anew")
	case storage.HandoffRedeemed:
	}
	return Terms{}, invalidDevice(errors.New("redeemed before"))
}

func approvedAt(r *storage.DeviceRequest) time.Time {
	if r.DecidedAt != nil {
		return *r.DecidedAt
	}
	return r.CreatedAt
}

// CollectLogin says what a login token stands for, and uses nothing up.
func (d *Desk) CollectLogin(ctx context.Context, c storage.Client, token secret.Text, now time.Time) (Terms, error) {
	hash, ok := hashOf(prefixLogin, token)
	if !ok {
		return Terms{}, invalidLogin(nil)
	}
	t, err := d.cfg.Store.Login(ctx, hash)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return Terms{}, invalidLogin(err)
	case err != nil:
		return Terms{}, fmt.Errorf("collect login: %w", err)
	case t.StateAt(now) != storage.HandoffApproved:
		return Terms{}, invalidLogin(fmt.Errorf("it is %s", t.StateAt(now)))
	case !slices.Contains(c.Products, t.Product):
		return Terms{}, invalidLogin(errors.New("it is for another product"))
	case t.Terminal != "" && !slices.Contains(c.Terminals, t.Terminal):
		return Terms{}, invalidLogin(errors.New("it is for another type of terminal"))
	}
	return Terms{
		User: t.User, Product: t.Product, Terminal: t.Terminal, ScopeLimit: t.ScopeLimit, Data: t.Data,
		Claim: storage.HandoffClaim{
			Kind: storage.HandoffLogin, ID: t.ID, Hash: t.Hash, By: t.IssuedBy, Client: t.Client, ApprovedAt: t.CreatedAt,
		},
	}, nil
}

// Redeemed tells who waits that a hand-off has become a session.
func (d *Desk) Redeemed(t *Terms) {
	d.metrics.step(t.Claim.Kind, "redeemed")
	d.bell.ring(t.Claim.ID)
}

// Unredeemed is the refusal of a hand-off that was ready and then could not be redeemed: another caller was
// first, or whoever approved has ended. What it does not know passes.
func Unredeemed(t *Terms, err error) error {
	device := t.Claim.Kind == storage.HandoffDevice
	if end, ok := errors.AsType[*storage.EndedError](err); ok {
		if device {
			return &oauth.Error{
				Code: oauth.AccessDenied, Description: "the session that approved has ended; ask anew",
				Reason: string(end.End.Reason), ReasonCode: end.End.Reason.Code(), Cause: err,
			}
		}
		return oauth.Wrap(oauth.InvalidGrant, "whoever issued the login token has signed out or was ended", err)
	}
	switch {
	case errors.Is(err, storage.ErrConsumed), errors.Is(err, storage.ErrNotFound):
		if device {
			return invalidDevice(err)
		}
		return invalidLogin(err)
	case errors.Is(err, storage.ErrDisabled) && device:
		return oauth.Wrap(oauth.AccessDenied, "the user may not sign in", err)
	}
	return err
}
