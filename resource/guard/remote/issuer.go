package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tallystick/tallystick/keys/secret"
)

const (
	// maxBody bounds every answer but the stream.
	maxBody = 256 << 10
	// fetchTime bounds a request to the issuer whose caller has more time than that.
	fetchTime = 5 * time.Second
	// documentFresh is how long the metadata is taken as it is, documentGood how long if it cannot be had.
	documentFresh = 10 * time.Minute
	documentGood  = 30 * 24 * time.Hour
	// maxTokenLife bounds what the issuer says of the life of a token.
	maxTokenLife = 24 * time.Hour
	// idleConnections is how many connections are kept for direct questions.
	idleConnections = 64

	watchScope = "sessions:watch"
	eventsPath = "/v1/session-events"
)

// issuer is the authorization server as its clients see it.
type issuer struct {
	url     string
	id      string
	secret  secret.Text
	now     func() time.Time
	asking  *http.Client // for questions
	hearing *http.Client // for the stream
	own     bool         // whether their connections are this guard's own

	metadata *kept[document]
	access   *kept[secret.Text]
}

// document is the part of the metadata (RFC 8414 §2) that is needed.
type document struct {
	Issuer        string `json:"issuer"`
	Token         string `json:"token_endpoint"`
	Keys          string `json:"jwks_uri"`
	Introspection string `json:"introspection_endpoint"`
}

func newIssuer(c *Config) *issuer {
	i := &issuer{
		url: c.Issuer, id: c.ClientID, secret: c.ClientSecret, now: c.Now,
		asking: httpClient(c.HTTPClient), hearing: httpClient(c.HTTPClient), own: c.HTTPClient == nil,
	}
	i.metadata = newKept(c.Now, i.fetchDocument)
	i.access = newKept(c.Now, i.fetchToken)
	return i
}

// httpClient is a client that follows nowhere, keeps no cookies, and leaves time to contexts: a stream
// has no end.
func httpClient(given *http.Client) *http.Client {
	own := http.Client{}
	if given != nil {
		own.Transport = given.Transport
	} else {
		var http1 http.Protocols
		http1.SetHTTP1(true)
		own.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, Protocols: &http1, TLSHandshakeTimeout: fetchTime,
			MaxIdleConns: idleConnections, MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: time.Minute,
		}
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// rest lets go of connections that nobody uses.
func (i *issuer) rest() {
	if i.own {
		i.asking.CloseIdleConnections()
		i.hearing.CloseIdleConnections()
	}
}

// fetchDocument fetches the metadata from where RFC 8414 §3.1 puts it: between host and path.
func (i *issuer) fetchDocument(ctx context.Context) (held[document], error) {
	u, err := url.Parse(i.url)
	if err != nil {
		return held[document]{}, err
	}
	u.Path = "/.well-known/oauth-authorization-server" + u.Path
	var d document
	if err := i.get(ctx, u.String(), &d); err != nil {
		return held[document]{}, fmt.Errorf("fetch metadata: %w", err)
	}
	if d.Issuer != i.url { // RFC 8414 §3.3
		return held[document]{}, fmt.Errorf("metadata of %s are those of another issuer, %.200q", i.url, d.Issuer)
	}
	for _, endpoint := range []string{d.Token, d.Keys, d.Introspection} {
		if err := i.secure(endpoint); err != nil {
			return held[document]{}, err
		}
	}
	now := i.now()
	return held[document]{d, now.Add(documentFresh), now.Add(documentGood)}, nil
}

// secure refuses an endpoint that is less secure than the issuer, or none.
func (i *issuer) secure(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("metadata of %s: an endpoint is missing, or is no address: %.200q", i.url, endpoint)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !strings.HasPrefix(i.url, "http://")) {
		return fmt.Errorf("metadata of %s: endpoint %.200q is not https", i.url, endpoint)
	}
	return nil
}

// fetchToken gets a token of the client's own (RFC 6749 §4.4). It is renewed when three quarters of its
// life are over.
func (i *issuer) fetchToken(ctx context.Context) (held[secret.Text], error) {
	d, err := i.metadata.get(ctx)
	if err != nil {
		return held[secret.Text]{}, err
	}
	asked := i.now()
	var answer struct {
		Access    secret.Text `json:"access_token"`
		Type      string      `json:"token_type"`
		ExpiresIn int64       `json:"expires_in"`
	}
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {watchScope}}
	if err := i.post(ctx, d.Token, form, &answer); err != nil {
		return held[secret.Text]{}, fmt.Errorf("get a token: %w", err)
	}
	life := min(time.Duration(answer.ExpiresIn)*time.Second, maxTokenLife)
	if answer.Access.Empty() || !strings.EqualFold(answer.Type, "Bearer") || life <= 0 {
		return held[secret.Text]{}, errors.New("get a token: the answer holds none")
	}
	return held[secret.Text]{answer.Access, asked.Add(life * 3 / 4), asked.Add(life)}, nil
}

// get fetches JSON.
func (i *issuer) get(ctx context.Context, address string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	return i.exchange(r, into)
}

// post sends a form as the client (RFC 6749 §2.3.1) and fetches JSON.
func (i *issuer) post(ctx context.Context, address string, form url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(i.id), url.QueryEscape(i.secret.Reveal()))
	return i.exchange(r, into)
}

func (i *issuer) exchange(r *http.Request, into any) error {
	r.Header.Set("Accept", "application/json")
	answer, err := i.asking.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return refusalOf(answer)
	}
	body, err := read(answer.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("answer is not the JSON that it should be: %w", err)
	}
	return nil
}

// read reads a whole answer, within its bound.
func read(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("answer is over %d bytes", maxBody)
	}
	return body, nil
}

// statusError is an answer that is not 200.
type statusError struct {
	status int
	code   string
}

// Error implements error.
func (e *statusError) Error() string { return fmt.Sprintf("answered %d %s", e.status, e.code) }

// refusalOf reads what of a refusal is worth logging: its code, which is from a fixed list.
func refusalOf(answer *http.Response) error {
	e := &statusError{status: answer.StatusCode}
	body, err := read(answer.Body)
	if err != nil {
		return errors.Join(e, err)
	}
	var refusal struct {
		Code string `json:"error"`
	}
	if json.Unmarshal(body, &refusal) == nil {
		e.code = fmt.Sprintf("%.64q", refusal.Code)
	}
	return e
}
