package grant

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/issue"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/authserver/session"
	"github.com/tallystick/tallystick/storage"
)

// Identity is what a grant has proved.
type Identity struct {
	User storage.UserID
	// Credential is the number of the password that the proof was checked against; nil for a proof that
	// does not hang on one. If it has changed before the session is opened, the grant must prove again.
	Credential *int64
	// Claim is the hand-off that is the proof; nil for other proofs. It is redeemed with the opening of the
	// session.
	Claim *storage.HandoffClaim
}

// Prover is a grant that signs a user in. It proves who the user is, and that is all it can do: what
// may be asked for, the session and the tokens are the pipeline's.
type Prover interface {
	// Prove says who the user of a request is. Its client is authenticated and may use the grant.
	Prove(ctx context.Context, r *Request) (Identity, error)
}

// order is what a sign-in asks for, checked.
type order struct {
	rule   product.Rule
	scope  string
	device storage.Device
	data   json.RawMessage
}

// signIn makes the flow of a grant that signs a user in.
//
// What is asked for is checked before the proof: it costs nothing, and a request that is refused for
// its scope must not have used up a single-use code or 28 ms of hashing.
func (e *Endpoint) signIn(p Prover) flow {
	return func(ctx context.Context, r *Request) (issue.Pair, error) {
		o, err := e.order(r)
		if err != nil {
			return issue.Pair{}, err
		}
		pair, err := e.prove(ctx, r, p, o)
		if errors.Is(err, storage.ErrStale) {
			// The password was changed between the proof and the session; once more decides.
			pair, err = e.prove(ctx, r, p, o)
		}
		return pair, err
	}
}

func (e *Endpoint) order(r *Request) (order, error) {
	var o order
	var err error
	if o.rule, err = e.rule(r); err != nil {
		return o, err
	}
	if o.scope, err = scope(r); err != nil {
		return o, err
	}
	if o.device, err = r.device(); err != nil {
		return o, err
	}
	o.data, err = r.sessionData()
	return o, err
}

func (e *Endpoint) rule(r *Request) (product.Rule, error) {
	asked, err := r.Text("product", maxProduct)
	if err != nil {
		return product.Rule{}, err
	}
	if asked, err = r.bound(asked, r.boundProduct()); err != nil {
		return product.Rule{}, err
	}
	name, err := client.Product(r.client, asked)
	if err != nil {
		return product.Rule{}, err
	}
	if asked, err = r.Text("terminal", maxTerminal); err != nil {
		return product.Rule{}, err
	}
	if asked, err = r.bound(asked, r.boundTerminal()); err != nil {
		return product.Rule{}, err
	}
	terminal, err := client.Terminal(r.client, asked)
	if err != nil {
		return product.Rule{}, err
	}
	return e.cfg.Rules.Rule(name, terminal)
}

func scope(r *Request) (string, error) {
	asked, err := r.Text("scope", maxScope)
	if err != nil {
		return "", oauth.Wrap(oauth.InvalidScope, "the scope is too long or has control characters", err)
	}
	if r.terms == nil {
		return client.Scope(r.client, asked)
	}
	return r.narrowed(asked)
}

// prove lets the grant prove, opens the session and mints.
func (e *Endpoint) prove(ctx context.Context, r *Request, p Prover, o order) (issue.Pair, error) {
	who, err := p.Prove(ctx, r)
	if err != nil {
		return issue.Pair{}, err
	}
	renewable := r.Connection == "" && slices.Contains(r.client.Grants, oauth.GrantRefreshToken)
	draft, err := e.cfg.Issuer.Draft(r.client.ID, o.scope, o.rule, renewable, r.now)
	if err != nil {
		return issue.Pair{}, err
	}
	opened, err := e.cfg.Book.Open(ctx, session.SignIn{
		Grant: r.grant, User: who.User, Credential: who.Credential, Claim: who.Claim, Client: r.client.ID, Scope: o.scope, Rule: o.rule,
		Device: o.device, Data: o.data, Access: draft.Access, Refresh: draft.Refresh, Now: r.now,
	})
	if err != nil {
		return issue.Pair{}, err
	}
	if r.Connection != "" {
		return e.cfg.Issuer.Bound(opened, r.client.ID, o.scope, r.Connection, r.now)
	}
	return e.cfg.Issuer.Pair(opened, draft, r.client.ID, o.scope, r.now)
}
