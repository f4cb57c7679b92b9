package wechat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tallystick/tallystick/authserver/federation"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Name is the name of the provider.
const Name = "wechat-mini-program"

// DefaultBaseURL is where WeChat answers.
const DefaultBaseURL = "https://api.weixin.qq.com"

// Alert is the message of log entries that somebody should look at now.
const Alert = "wechat refuses this server: sign-ins by mini program fail until it is mended"

const (
	path           = "/sns/jscode2session"
	defaultTimeout = 5 * time.Second
	// maxTimeout keeps two questions and the pause between them within what a provider may take.
	maxTimeout = 5 * time.Second
	// maxAnswer is the longest answer that is read, in bytes; real ones have some 200.
	maxAnswer = 16 << 10
	// retryPause is before the one retry.
	retryPause = 200 * time.Millisecond
	userPause  = time.Minute
	quotaPause = 10 * time.Minute
)

// App is a mini program.
type App struct {
	// ID and Secret are what WeChat gave it.
	ID     string
	Secret secret.Text
	// Platform names the open platform account that it belongs to: unionids are the same within one. Any text
	// of at most 64 bytes.
	Platform string
	// Clients are the OAuth clients that are this mini program.
	Clients []storage.ClientID
}

// Config is what a [Provider] needs.
type Config struct {
	// BaseURL is where to ask; empty for [DefaultBaseURL].
	BaseURL string
	Apps    []App
	// Timeout bounds one question; 0 for five seconds, which is also the most.
	Timeout time.Duration
	// Transport carries the questions; nil for [http.DefaultTransport].
	Transport http.RoundTripper
	// Pause waits between two tries; nil for a timer.
	Pause func(ctx context.Context, d time.Duration) error
	Log   *slog.Logger // nil: discards
}

// Provider is WeChat.
type Provider struct {
	endpoint string
	apps     map[string]App // by ID
	byClient map[storage.ClientID]string
	http     *http.Client
	pause    func(ctx context.Context, d time.Duration) error
	log      *slog.Logger
}

var _ federation.Provider = (*Provider)(nil)

// New makes the provider. It refuses apps without identifier or secret, and a client that is two apps.
func New(cfg Config) (*Provider, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	base, err := url.Parse(cfg.BaseURL)
	if err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" || (base.Scheme != "https" && base.Scheme != "http") {
		return nil, errors.New("wechat: the base URL is not one such as " + DefaultBaseURL)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Timeout < 0 || cfg.Timeout > maxTimeout {
		return nil, fmt.Errorf("wechat: the timeout must be between 0 and %s", maxTimeout)
	}
	p := &Provider{
		endpoint: strings.TrimSuffix(base.String(), "/") + path, apps: map[string]App{}, byClient: map[storage.ClientID]string{},
		pause: cfg.Pause, log: cfg.Log,
		http: &http.Client{
			Timeout: cfg.Timeout, Transport: cfg.Transport,
			// A redirect would take the secret elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if p.pause == nil {
		p.pause = pause
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	for _, app := range cfg.Apps {
		if err := p.add(app); err != nil {
			return nil, fmt.Errorf("wechat: %w", err)
		}
	}
	if len(p.apps) == 0 {
		return nil, errors.New("wechat: there is no app")
	}
	return p, nil
}

// maxName is the longest identifier of an app, and name of a platform, in bytes.
const maxName = 64

func (p *Provider) add(app App) error {
	switch _, twice := p.apps[app.ID]; {
	case app.ID == "" || len(app.ID) > maxName || len(app.Platform) > maxName || app.Secret.Empty():
		return fmt.Errorf("app %.64q needs an identifier and a secret; names have at most %d bytes", app.ID, maxName)
	case twice:
		return fmt.Errorf("app %s is there twice", app.ID)
	}
	p.apps[app.ID] = app
	for _, client := range app.Clients {
		if other, taken := p.byClient[client]; taken {
			return fmt.Errorf("client %s is two apps, %s and %s", client, other, app.ID)
		}
		p.byClient[client] = app.ID
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Name implements [federation.Provider].
func (*Provider) Name() string { return Name }

// Grant implements [federation.Provider].
func (*Provider) Grant() string { return oauth.GrantWeChat }

// App implements [federation.Provider].
func (p *Provider) App(client storage.ClientID) (federation.App, bool) {
	id, ok := p.byClient[client]
	return federation.App{ID: id, Realm: p.apps[id].Platform}, ok
}

// Exchange implements [federation.Provider].
func (p *Provider) Exchange(ctx context.Context, app federation.App, code string) (federation.Voucher, error) {
	a, err := p.ask(ctx, app.ID, code)
	if err == nil && a.Code == codeBusy {
		if err = p.pause(ctx, retryPause); err == nil {
			a, err = p.ask(ctx, app.ID, code)
		}
	}
	if err != nil {
		return federation.Voucher{}, oauth.Unavailable(err)
	}
	if a.Code != codeOK {
		return federation.Voucher{}, p.refusal(ctx, app.ID, a)
	}
	if a.OpenID == "" {
		return federation.Voucher{}, oauth.Unavailable(errors.New("ask wechat: the answer names nobody"))
	}
	return federation.Voucher{Subject: a.OpenID, Union: a.UnionID, Secret: a.SessionKey}, nil
}

// ask asks once. Its errors hold neither the address that was asked, which has the secret and the code in it,
// nor anything that was answered.
func (p *Provider) ask(ctx context.Context, app, code string) (answer, error) {
	values := url.Values{
		"appid": {app}, "secret": {p.apps[app].Secret.Reveal()}, "js_code": {code}, "grant_type": {"authorization_code"},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.endpoint+"?"+values.Encode(), http.NoBody)
	if err != nil {
		return answer{}, errors.New("ask wechat: the address is not one") // cannot be: New has parsed it
	}
	r.Header.Set("Accept", "application/json")
	response, err := p.http.Do(r)
	if err != nil {
		return answer{}, fmt.Errorf("ask wechat: %w", bare(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("ask wechat: status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("ask wechat: read answer: %w", bare(err))
	case len(body) > maxAnswer:
		return answer{}, fmt.Errorf("ask wechat: the answer is longer than %d bytes", maxAnswer)
	}
	return parse(body)
}

// bare takes the address off an error of net/http.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
