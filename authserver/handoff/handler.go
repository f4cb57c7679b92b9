package handoff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// LoginParam is the parameter of the route of one login token.
const LoginParam = "id"

// The longest values, in bytes.
const (
	maxProduct   = 64
	maxTerminal  = 16
	maxDevice    = 128
	maxScope     = 1024
	maxUserAgent = 256
)

// authorization is the answer of the device authorization endpoint (RFC 8628 §3.2), and ours.
type authorization struct {
	DeviceCode   string            `json:"device_code"`
	UserCode     string            `json:"user_code"`
	URI          string            `json:"verification_uri"`
	Complete     string            `json:"verification_uri_complete"`
	ExpiresIn    int64             `json:"expires_in"`
	Interval     int64             `json:"interval"`
	QR           string            `json:"qr_svg"`
	QRExpiresIn  int64             `json:"qr_expires_in"`
	Confirmation string            `json:"confirmation"`
	Request      storage.HandoffID `json:"request_id"`
}

// Authorize begins the hand-off of a device: POST /oauth2/device_authorization.
func (d *Desk) Authorize(c *gin.Context) error {
	form, err := web.ParseForm(c.Request)
	if err != nil {
		return err
	}
	who, err := d.authenticate(c, form)
	if err != nil {
		return err
	}
	if err := client.MayGrant(who, oauth.GrantDeviceCode); err != nil {
		return err
	}
	ask, err := askOf(form)
	if err != nil {
		return err
	}
	ask.Client = who
	ask.Device.Address, ask.Device.UserAgent = c.ClientIP(), printable(c.Request.UserAgent(), maxUserAgent)
	w, err := d.Ask(c.Request.Context(), ask)
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, authorization{
		DeviceCode: w.DeviceCode.Reveal(), UserCode: w.Shown.UserCode, URI: w.Shown.URI, Complete: w.Shown.Complete,
		ExpiresIn: secondsLeft(w.Request.ExpiresAt, w.At), Interval: int64(Interval / time.Second), QR: w.Shown.QR,
		QRExpiresIn: secondsLeft(w.Shown.Until, w.At), Confirmation: w.Request.Number, Request: w.Request.ID,
	})
}

func (d *Desk) authenticate(c *gin.Context, form web.Form) (storage.Client, error) {
	headers := c.Request.Header["Authorization"]
	if len(headers) > 1 {
		return storage.Client{}, oauth.New(oauth.InvalidRequest, "more than one Authorization header")
	}
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		return storage.Client{}, oauth.New(oauth.InvalidClient, "this server does not take client assertions")
	}
	credentials := client.Credentials{ID: form.Get("client_id"), Address: c.ClientIP()}
	if len(headers) == 1 {
		credentials.Basic = headers[0]
	}
	if given := form.Get("client_secret"); given != "" {
		text := secret.New(given)
		credentials.Secret = &text
	}
	return d.cfg.Clients.Authenticate(c.Request.Context(), credentials)
}

func askOf(form web.Form) (Ask, error) {
	var a Ask
	for _, p := range []struct {
		name  string
		limit int
		to    *string
	}{
		{"product", maxProduct, &a.Product}, {"terminal", maxTerminal, &a.Terminal}, {"scope", maxScope, &a.Scope},
		{"device_id", maxDevice, &a.Device.ID}, {"device_name", maxDevice, &a.Device.Name},
	} {
		*p.to = form.Get(p.name)
		if len(*p.to) > p.limit || strings.ContainsFunc(*p.to, unicode.IsControl) {
			return a, oauth.New(oauth.InvalidRequest, fmt.Sprintf("the parameter %s is longer than %d bytes or has control characters", p.name, p.limit))
		}
	}
	return a, nil
}

// printable makes a header that a stranger chose fit to be stored and shown.
func printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// status is where a request stands, for a device that does not watch a stream.
type status struct {
	State       string `json:"state"`
	ExpiresIn   int64  `json:"expires_in"`
	UserCode    string `json:"user_code,omitempty"`
	Complete    string `json:"verification_uri_complete,omitempty"`
	QR          string `json:"qr_svg,omitempty"`
	QRExpiresIn int64  `json:"qr_expires_in,omitempty"`
}

// held is the body of the requests of a waiting device.
type held struct {
	DeviceCode secret.Text `json:"device_code"`
}

func heldOf(c *gin.Context) (secret.Text, error) {
	if _, err := web.ParseQuery(c.Request); err != nil {
		return secret.Text{}, err
	}
	var body held
	if err := web.ParseObject(c.Request, &body); err != nil {
		return secret.Text{}, err
	}
	if body.DeviceCode.Empty() {
		return secret.Text{}, oauth.New(oauth.InvalidRequest, "device_code is missing")
	}
	return body.DeviceCode, nil
}

// Status says where a request stands, and what the screen shows now: POST /v1/device/status.
func (d *Desk) Status(c *gin.Context) error {
	code, err := heldOf(c)
	if err != nil {
		return err
	}
	w, err := d.Look(c.Request.Context(), code)
	if err != nil {
		return err
	}
	s := status{State: eventOf(w.Request.StateAt(w.At)), ExpiresIn: secondsLeft(w.Request.ExpiresAt, w.At)}
	if w.Shown.QR != "" {
		s.UserCode, s.Complete, s.QR, s.QRExpiresIn = w.Shown.UserCode, w.Shown.Complete, w.Shown.QR, secondsLeft(w.Shown.Until, w.At)
	}
	return web.JSON(c, http.StatusOK, s)
}

// CancelRequest ends a request by the device that asked: POST /v1/device/cancel.
func (d *Desk) CancelRequest(c *gin.Context) error {
	code, err := heldOf(c)
	if err != nil {
		return err
	}
	return done(c, d.Cancel(c.Request.Context(), code, c.ClientIP()))
}

// ScanCode says who asks: POST /v1/device/scan. It stands behind the guard, as what follows.
func (d *Desk) ScanCode(c *gin.Context) error {
	var body struct {
		UserCode string `json:"user_code"`
	}
	return d.phone(c, &body, func(by By) (Asking, error) {
		if body.UserCode == "" {
			return Asking{}, oauth.New(oauth.InvalidRequest, "user_code is missing")
		}
		return d.Scan(c.Request.Context(), by, body.UserCode)
	})
}

// ApproveRequest lets a device in: POST /v1/device/approve.
func (d *Desk) ApproveRequest(c *gin.Context) error {
	var body struct {
		UserCode string            `json:"user_code"`
		Request  storage.HandoffID `json:"request_id"`
		Number   string            `json:"number"`
	}
	return d.phone(c, &body, func(by By) (Asking, error) {
		if len(body.Number) != digits {
			return Asking{}, oauth.New(oauth.InvalidRequest, fmt.Sprintf("number must be the %d digits that the screen shows, as a string", digits))
		}
		return d.Approve(c.Request.Context(), by, Which{body.UserCode, body.Request}, body.Number)
	})
}

// DenyRequest refuses a device: POST /v1/device/deny.
func (d *Desk) DenyRequest(c *gin.Context) error {
	var body struct {
		UserCode string            `json:"user_code"`
		Request  storage.HandoffID `json:"request_id"`
	}
	return d.phone(c, &body, func(by By) (Asking, error) {
		return d.Deny(c.Request.Context(), by, Which{body.UserCode, body.Request})
	})
}

// phone parses the body of a request of a signed-in user and answers with who asks.
func (d *Desk) phone(c *gin.Context, body any, do func(By) (Asking, error)) error {
	by, err := caller(c)
	if err == nil && by.User == "" {
		err = fmt.Errorf("route %s is not behind the guard that it needs", c.FullPath())
	}
	if err != nil {
		return err
	}
	if _, err := web.ParseQuery(c.Request); err != nil {
		return err
	}
	if err := web.ParseObject(c.Request, body); err != nil {
		return err
	}
	asking, err := do(by)
	if err != nil {
		return ended(c, err)
	}
	return web.JSON(c, http.StatusOK, asking)
}

// issuedShape is a login token as its issuer gets it.
type issuedShape struct {
	Token     string            `json:"login_token"`
	ExpiresIn int64             `json:"expires_in"`
	URL       string            `json:"url"`
	QR        string            `json:"qr_svg"`
	ID        storage.HandoffID `json:"id"`
}

// IssueLogin makes a login token: POST /v1/login-tokens.
func (d *Desk) IssueLogin(c *gin.Context) error {
	by, err := issuer(c)
	if err != nil {
		return ended(c, err)
	}
	if _, err := web.ParseQuery(c.Request); err != nil {
		return err
	}
	var body struct {
		Sub      storage.UserID  `json:"sub"`
		Product  string          `json:"product"`
		Terminal string          `json:"terminal"`
		Data     json.RawMessage `json:"data"`
	}
	if err := web.ParseOptionalObject(c.Request, &body); err != nil {
		return err
	}
	if len(body.Product) > maxProduct || len(body.Terminal) > maxTerminal || len(body.Sub) > storage.IDLength {
		return oauth.New(oauth.InvalidRequest, "product, terminal or sub is too long")
	}
	if body.Data != nil {
		var compact bytes.Buffer
		if err := json.Compact(&compact, body.Data); err != nil {
			return oauth.Wrap(oauth.InvalidRequest, "data is not JSON", err)
		}
		body.Data = compact.Bytes()
	}
	issued, err := d.Issue(c.Request.Context(), by, Issue{User: body.Sub, Product: body.Product, Terminal: body.Terminal, Data: body.Data})
	if err != nil {
		return ended(c, err)
	}
	return web.JSON(c, http.StatusOK, issuedShape{
		issued.Token.Reveal(), int64(issued.ExpiresIn / time.Second), issued.URL.Reveal(), issued.QR.Reveal(), issued.ID,
	})
}

// loginShape is a login token in a list: without what redeems it.
type loginShape struct {
	ID        storage.HandoffID `json:"id"`
	Sub       storage.UserID    `json:"sub"`
	Product   string            `json:"product"`
	Terminal  storage.Terminal  `json:"terminal,omitempty"`
	IssuedBy  storage.SessionID `json:"issued_by,omitempty"`
	CreatedAt time.Time         `json:"created_at"`
	ExpiresAt time.Time         `json:"expires_at"`
}

// ListLogins lists the login tokens that the holder has issued and that are open: GET /v1/login-tokens.
func (d *Desk) ListLogins(c *gin.Context) error {
	by, err := issuer(c)
	if err != nil {
		return ended(c, err)
	}
	if _, err := web.ParseQuery(c.Request); err != nil {
		return err
	}
	list, err := d.Logins(c.Request.Context(), by)
	if err != nil {
		return err
	}
	shapes := make([]loginShape, len(list))
	for i := range list {
		t := &list[i]
		shapes[i] = loginShape{t.ID, t.User, t.Product, t.Terminal, t.IssuedBy, t.CreatedAt.UTC(), t.ExpiresAt.UTC()}
	}
	return web.JSON(c, http.StatusOK, struct {
		Logins []loginShape `json:"login_tokens"`
	}{shapes})
}

// RevokeLogin takes a login token back: DELETE /v1/login-tokens/{id}.
func (d *Desk) RevokeLogin(c *gin.Context) error {
	by, err := issuer(c)
	if err != nil {
		return ended(c, err)
	}
	if _, err := web.ParseQuery(c.Request); err != nil {
		return err
	}
	return done(c, d.Revoke(c.Request.Context(), by, storage.HandoffID(c.Param(LoginParam))))
}

// issuer is who may issue login tokens: a signed-in user, or a client with the scope for it.
func issuer(c *gin.Context) (By, error) {
	by, err := caller(c)
	if err == nil && by.User == "" && !by.Has(ScopeIssue) {
		return by, &guard.Refusal{
			Status: http.StatusForbidden, Code: guard.InsufficientScope, Scope: ScopeIssue,
			Description: "a client that acts for itself needs the scope " + ScopeIssue,
		}
	}
	return by, err
}

func caller(c *gin.Context) (By, error) {
	p, ok := guard.From(c.Request.Context())
	if !ok {
		return By{}, fmt.Errorf("route %s is not behind the guard that it needs", c.FullPath())
	}
	return By{Principal: p, Address: c.ClientIP()}, nil
}

// ended answers a caller whose own session has ended, or whose token lacks a scope, as the guard does, and
// passes any other error.
func ended(c *gin.Context, err error) error {
	if _, ok := errors.AsType[*guard.Refusal](err); ok || errors.Is(err, storage.ErrEnded) {
		guard.Refuse(c.Writer, c.Request, err)
		c.Abort()
		return nil
	}
	return err
}

func done(c *gin.Context, err error) error {
	if err != nil {
		return ended(c, err)
	}
	web.NoStore(c)
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}
