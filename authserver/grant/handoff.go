package grant

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/handoff"
	"github.com/tallystick/tallystick/authserver/issue"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Handoffs says what device codes and login tokens stand for; [handoff.Desk] does. Both refuse in the words of
// the protocol, and use nothing up.
type Handoffs interface {
	CollectDevice(ctx context.Context, c storage.Client, code secret.Text, now time.Time) (handoff.Terms, error)
	CollectLogin(ctx context.Context, c storage.Client, token secret.Text, now time.Time) (handoff.Terms, error)
	// Redeemed tells who waits that a hand-off has become a session.
	Redeemed(t *handoff.Terms)
}

// deviceCode reads the request of a device that was approved (RFC 8628 §3.4).
func (e *Endpoint) deviceCode(ctx context.Context, r *Request) (handoff.Terms, error) {
	code, err := r.Needed("device_code", maxToken)
	if err != nil {
		return handoff.Terms{}, err
	}
	return e.cfg.Handoffs.CollectDevice(ctx, r.client, secret.New(code), r.now)
}

// loginToken reads a login token.
func (e *Endpoint) loginToken(ctx context.Context, r *Request) (handoff.Terms, error) {
	token, err := r.Needed("login_token", maxToken)
	if err != nil {
		return handoff.Terms{}, err
	}
	return e.cfg.Handoffs.CollectLogin(ctx, r.client, secret.New(token), r.now)
}

// handOff proves a user by a hand-off: whoever approved it has said who. That it is redeemed once, in time,
// and that who approved still stands, is decided with the opening of the session.
type handOff struct{ terms *handoff.Terms }

// Prove implements [Prover].
func (h handOff) Prove(context.Context, *Request) (Identity, error) {
	return Identity{User: h.terms.User, Claim: &h.terms.Claim}, nil
}

// collect makes the flow of a grant that redeems a hand-off. Unlike in other sign-ins, the proof is looked at
// first, since it says what is asked for; it is used up last.
func (e *Endpoint) collect(read func(context.Context, *Request) (handoff.Terms, error)) flow {
	return func(ctx context.Context, r *Request) (issue.Pair, error) {
		terms, err := read(ctx, r)
		if err != nil {
			return issue.Pair{}, err
		}
		r.terms = &terms
		o, err := e.order(r)
		if err != nil {
			return issue.Pair{}, err
		}
		pair, err := e.prove(ctx, r, handOff{&terms}, o)
		if err != nil {
			return issue.Pair{}, handoff.Unredeemed(&terms, err)
		}
		r.loginData = terms.Data
		e.cfg.Handoffs.Redeemed(&terms)
		return pair, nil
	}
}

func (r *Request) boundProduct() string {
	if r.terms == nil {
		return ""
	}
	return r.terms.Product
}

func (r *Request) boundTerminal() string {
	if r.terms == nil {
		return ""
	}
	return string(r.terms.Terminal)
}

// bound is what a hand-off is bound to, or what was asked for if to nothing. Whoever asks for something else
// holds a hand-off that is not theirs.
func (r *Request) bound(asked, to string) (string, error) {
	switch {
	case to == "":
		return asked, nil
	case asked != "" && asked != to:
		return "", oauth.New(oauth.InvalidGrant, "this was handed over for another product or terminal")
	}
	return to, nil
}

// narrowed is the scope of a hand-off: what was asked for when it began, or now, and the approver had.
func (r *Request) narrowed(asked string) (string, error) {
	if r.terms.Scope != nil {
		if *r.terms.Scope == "" {
			return "", nil
		}
		asked = *r.terms.Scope
	}
	granted, err := client.Scope(r.client, asked)
	return r.terms.Narrow(granted), err
}
