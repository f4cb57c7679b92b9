package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswer     = 1 << 20
	maxRetryAfter = 10 * time.Minute
)

// answer is what the token endpoint gives.
type answer struct {
	Access    string `json:"access_token"`
	ExpiresIn int64  `json:"expires_in"` // seconds
	Refresh   string `json:"refresh_token"`
	Scope     string `json:"scope"`
	SessionID string `json:"session_id"`
	Product   string `json:"product"`
	Terminal  string `json:"terminal"`
	Version   int64  `json:"version"`

	LoginData json.RawMessage `json:"login_data"`
}

// refusal is the body of a refusal, of the token endpoint or of a guard.
type refusal struct {
	Error        string          `json:"error"`
	Description  string          `json:"error_description"`
	Reason       string          `json:"reason"`
	Code         json.RawMessage `json:"code"`
	SupersededBy *SupersededBy   `json:"superseded_by"`
}

// number is the code of a reason; 0 if there is none, as in problem+json, where code is a text.
func (r refusal) number() int {
	var n int
	if json.Unmarshal(r.Code, &n) != nil {
		return 0
	}
	return n
}

func (r refusal) ended() *EndedError {
	code := r.number()
	if code != CodeTellUser {
		code = CodeSignInAgain
	}
	return &EndedError{Reason: r.Reason, Code: code, SupersededBy: r.SupersededBy}
}

// exchange asks the token endpoint.
func (c *Client) exchange(ctx context.Context, form url.Values) (answer, error) {
	var a answer
	if err := c.post(ctx, "/oauth2/token", form, &a); err != nil {
		return answer{}, err
	}
	if a.Access == "" || a.ExpiresIn <= 0 {
		return answer{}, errors.New("sdk: the token endpoint answered without an access token or its life")
	}
	return a, nil
}

// revoke ends a session by one of its tokens (RFC 7009).
func (c *Client) revoke(ctx context.Context, token string) error {
	return c.post(ctx, "/oauth2/revoke", url.Values{"token": {token}}, nil)
}

// postJSON sends JSON to an endpoint, with nobody's credentials, and reads the answer as post does.
func (c *Client) postJSON(ctx context.Context, path string, body, into any) error {
	sent, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.issuer+path, bytes.NewReader(sent))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return c.send(req, path, into)
}

// post sends a form to an endpoint as the client, and reads the answer into it if that is not nil. A
// refusal is an *OAuthError.
func (c *Client) post(ctx context.Context, path string, form url.Values, into any) error {
	if c.cfg.ClientSecret == "" {
		form.Set("client_id", c.cfg.ClientID)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.cfg.ClientSecret != "" {
		// RFC 6749 §2.3.1: both are form-encoded before they become Basic credentials.
		req.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(string(c.cfg.ClientSecret)))
	}
	return c.send(req, path, into)
}

func (c *Client) send(req *http.Request, path string, into any) error {
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("sdk: reading the answer of %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK && (resp.StatusCode != http.StatusNoContent || into != nil) {
		return c.refused(resp, body)
	}
	if into == nil {
		return nil
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("sdk: the answer of %s is over %d bytes", path, maxAnswer)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("sdk: the answer of %s is not what was expected: %w", path, err)
	}
	return nil
}

func (c *Client) refused(resp *http.Response, body []byte) *OAuthError {
	e := &OAuthError{Status: resp.StatusCode, RequestID: resp.Header.Get("X-Request-ID"), RetryAfter: c.retryAfter(resp.Header)}
	var r refusal
	if json.Unmarshal(body, &r) == nil { // a proxy's page says nothing
		e.Code, e.Description, e.Reason, e.SupersededBy = r.Error, r.Description, r.Reason, r.SupersededBy
		e.ReasonCode = r.number()
	}
	return e
}

// retryAfter reads Retry-After (RFC 9110 §10.2.3), in seconds or as a date.
func (c *Client) retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	var d time.Duration
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(c.cfg.Now())
	}
	return max(0, min(d, maxRetryAfter))
}
