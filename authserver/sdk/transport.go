package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxRefusal bounds how much of a 401 is looked into for a reason.
const maxRefusal = 64 << 10

// HTTP returns an [http.Client] whose requests carry the access token. It has no timeout of its own:
// use contexts.
func (c *Client) HTTP() *http.Client { return &http.Client{Transport: c.RoundTripper()} }

// RoundTripper returns what puts the access token on requests, for an http.Client of one's own. Its
// errors are those of [Client.Token], [ErrNotReplayable], and those of [Config.Base].
func (c *Client) RoundTripper() http.RoundTripper { return transport{c} }

type transport struct{ c *Client }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.c.origins[origin(req.URL)] {
		if req.Response != nil { // a redirect led there: no token for strangers
			return t.c.cfg.Base.RoundTrip(req)
		}
		closeBody(req)
		return nil, fmt.Errorf("sdk: no access token is sent to %s: add it to Config.APIs, or use another http.Client", origin(req.URL))
	}
	h, err := t.c.good(req.Context(), nil)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.send(req, req.Body, h)
	if err != nil {
		return nil, err
	}
	again, err := t.judge(resp, h) //nolint:contextcheck // the end is stored whether the request lives or not
	switch {
	case err != nil:
		return nil, err
	case !again:
		return resp, nil
	}
	return t.repeat(req, resp, h)
}

// repeat sends a request a second and last time, with a token after the one that was refused.
func (t transport) repeat(req *http.Request, refused *http.Response, h *held) (*http.Response, error) {
	_ = refused.Body.Close()
	next, err := t.c.good(req.Context(), h)
	if err != nil {
		return nil, err
	}
	body := req.Body
	if body != nil && body != http.NoBody {
		if req.GetBody == nil {
			return nil, ErrNotReplayable
		}
		if body, err = req.GetBody(); err != nil {
			return nil, errors.Join(ErrNotReplayable, err)
		}
	}
	resp, err := t.send(req, body, next)
	if err != nil {
		return nil, err
	}
	if _, err = t.judge(resp, next); err != nil { //nolint:contextcheck // as above
		return nil, err
	}
	return resp, nil
}

func (t transport) send(req *http.Request, body io.ReadCloser, h *held) (*http.Response, error) {
	sent := req.Clone(req.Context()) // a RoundTripper must not change its request
	sent.Body = body
	sent.Header.Set("Authorization", "Bearer "+string(h.access))
	return t.c.cfg.Base.RoundTrip(sent)
}

// judge says whether a response asks for the request again with a newer token. If it tells that the
// session has ended, it is closed and the end is the error; else it can be read as it came.
func (t transport) judge(resp *http.Response, h *held) (again bool, err error) {
	if resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return false, nil
	}
	beginning, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		_ = resp.Body.Close()
		return false, err
	}
	var r refusal
	known := json.Unmarshal(beginning, &r) == nil
	if !known || r.Error != "invalid_token" || r.Reason == "" {
		resp.Body = joined{io.MultiReader(bytes.NewReader(beginning), resp.Body), resp.Body}
		return false, nil
	}
	if r.Reason == ReasonExpired || t.c.cfg.Machine {
		resp.Body = joined{io.MultiReader(bytes.NewReader(beginning), resp.Body), resp.Body}
		return true, nil
	}
	_ = resp.Body.Close()
	return false, t.c.end(h, r.ended())
}

// joined reads what was read ahead and then the rest.
type joined struct {
	io.Reader
	io.Closer
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
