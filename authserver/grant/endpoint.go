package grant

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/issue"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/authserver/session"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Clients says who is calling; [client.Registry] does.
type Clients interface {
	Authenticate(ctx context.Context, c client.Credentials) (storage.Client, error)
}

// Passwords proves users by what they know; [password.Checker] does.
type Passwords interface {
	Verify(ctx context.Context, username string, pw secret.Text) (storage.User, error)
}

// Brake holds back guesses; the brake of package brake does. It lets prove look at a password, unless too many were
// wrong, and then it refuses with slow_down.
type Brake interface {
	Try(ctx context.Context, account, address string, prove func(context.Context) (right bool, err error)) error
}

// Config is what an [Endpoint] needs.
type Config struct {
	Clients   Clients
	Passwords Passwords
	Brake     Brake
	Rules     *product.Rules
	Book      *session.Book
	Issuer    *issue.Issuer
	Trail     *audit.Trail
	// Opener opens encrypted passwords, and Nonces keeps that each is good once. Optional, both or none.
	Opener Opener
	Nonces storage.Nonces
	// Federation proves users by other providers. Optional.
	Federation Federation
	// Handoffs says what device codes and login tokens stand for; [handoff.Desk] does. Nil for none.
	Handoffs Handoffs
	// Now tells the time; nil for time.Now.
	Now func() time.Time
	// Metrics counts requests; nil for not.
	Metrics prometheus.Registerer
}

// Endpoint is the token endpoint.
type Endpoint struct {
	cfg     Config
	flows   map[string]flow
	metrics *metrics
}

// flow is what happens for one grant type once its client is known and may use it.
type flow func(ctx context.Context, r *Request) (issue.Pair, error)

// New makes the endpoint with its grants.
func New(cfg Config) (*Endpoint, error) {
	if cfg.Clients == nil || cfg.Passwords == nil || cfg.Brake == nil || cfg.Rules == nil || cfg.Book == nil || cfg.Issuer == nil || cfg.Trail == nil {
		return nil, errors.New("grant: clients, passwords, brake, rules, book, issuer and trail are needed")
	}
	if (cfg.Opener == nil) != (cfg.Nonces == nil) {
		return nil, errors.New("grant: an opener of passwords needs nonces, and nonces an opener")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &Endpoint{cfg: cfg}
	e.flows = map[string]flow{
		oauth.GrantClientCredentials: e.clientCredentials,
		oauth.GrantRefreshToken:      e.refreshToken,
		oauth.GrantPassword:          e.signIn(&passwordGrant{users: cfg.Passwords, brake: cfg.Brake, opener: cfg.Opener, nonces: cfg.Nonces}),
	}
	if cfg.Federation != nil {
		for _, grantType := range cfg.Federation.Grants() {
			e.flows[grantType] = e.signIn(&federatedGrant{cfg.Federation})
		}
	}
	if cfg.Handoffs != nil {
		e.flows[oauth.GrantDeviceCode] = e.collect(e.deviceCode)
		e.flows[oauth.GrantLoginToken] = e.collect(e.loginToken)
	}
	var err error
	e.metrics, err = newMetrics(cfg.Metrics, e.Grants())
	return e, err
}

// Grants lists the grant types that the endpoint serves.
func (e *Endpoint) Grants() []string { return slices.Sorted(maps.Keys(e.flows)) }

// Token is the handler of the token endpoint.
func (e *Endpoint) Token(c *gin.Context) error {
	form, err := web.ParseForm(c.Request)
	if err != nil {
		return err
	}
	headers := c.Request.Header["Authorization"]
	if len(headers) > 1 {
		return invalid("more than one Authorization header")
	}
	r := &Request{Form: form, Address: c.ClientIP(), UserAgent: c.Request.UserAgent()}
	if len(headers) == 1 {
		r.Basic = headers[0]
	}
	answer, err := e.Redeem(c.Request.Context(), r)
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, answer.wire())
}

// Redeem answers a token request: it authenticates the client, lets the grant prove what it proves, and
// mints. Refusals are of the type [oauth.Error].
func (e *Endpoint) Redeem(ctx context.Context, r *Request) (Answer, error) {
	r.now = e.cfg.Now().UTC()
	r.grant = r.Form.Get("grant_type")
	pair, err := e.redeem(ctx, r)
	err = refusal(err)
	e.metrics.count(r.grant, err)
	if err != nil {
		e.record(ctx, r, err)
		return Answer{}, err
	}
	return Answer{Pair: pair, LoginData: r.loginData, At: r.now}, nil
}

func (e *Endpoint) redeem(ctx context.Context, r *Request) (issue.Pair, error) {
	credentials, err := r.credentials()
	if err != nil {
		return issue.Pair{}, err
	}
	if r.client, err = e.cfg.Clients.Authenticate(ctx, credentials); err != nil {
		return issue.Pair{}, err
	}
	if r.grant == "" {
		return issue.Pair{}, invalid("the parameter grant_type is missing")
	}
	proceed, ok := e.flows[r.grant]
	if !ok {
		return issue.Pair{}, oauth.New(oauth.UnsupportedGrantType, "this server does not know that grant_type")
	}
	if err := client.MayGrant(r.client, r.grant); err != nil {
		return issue.Pair{}, err
	}
	return proceed(ctx, r)
}

// record leaves an audit record of a refused sign-in. Refusals that cost a stranger nothing
// leave none, or strangers would fill the store: they are counted.
func (e *Endpoint) record(ctx context.Context, r *Request, err error) {
	refused, ok := errors.AsType[*oauth.Error](err)
	free := []string{oauth.GrantRefreshToken, oauth.GrantDeviceCode, oauth.GrantLoginToken}
	if !ok || refused.Code != oauth.InvalidGrant || slices.Contains(free, r.grant) {
		return
	}
	record := audit.Origin{Actor: "client:" + string(r.client.ID), Client: r.client.ID, Address: r.Address}.Record(audit.SignInRefused, r.now)
	record.Result = string(refused.Code)
	record.Detail = audit.Detail("grant", r.grant, "reason", refused.Reason, "username", r.Form.Get("username"),
		"product", r.Form.Get("product"), "terminal", r.Form.Get("terminal"))
	e.cfg.Trail.Append(ctx, record)
}
