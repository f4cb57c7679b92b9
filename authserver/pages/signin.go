package pages

import (
	"errors"
	"net/http"
	"strings"
	"unicode"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/handoff"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

const (
	maxDevice    = 128
	maxUserAgent = 256
)

// signInView is what the page to sign in shows.
type signInView struct {
	ReturnTo string
	Username string
	QR       bool
	// Where is the address of the page to type a code into, as people type it.
	Where string
}

// SignIn shows the form and the QR: GET /signin.
func (p *Pages) SignIn(c *gin.Context) error {
	to := p.local(c.Query("return_to"))
	if _, err := p.visitor(c); err == nil {
		p.back(c, to)
		return nil
	} else if _, isEnd := errors.AsType[*storage.EndedError](err); !isEnd && !errors.Is(err, errSignedOut) {
		return err
	}
	v := p.view(c, "signin")
	v.SignIn = p.signInView(c, to, "")
	p.render(c, http.StatusOK, v)
	return nil
}

func (p *Pages) signInView(c *gin.Context, to, username string) *signInView {
	v := &signInView{ReturnTo: to, Username: username, Where: p.host + p.base + PathDevice}
	// Whoever came here to let a device in holds the phone: it is not the screen for another QR.
	if !strings.HasPrefix(to, p.base+PathDevice) {
		who, err := p.cfg.Clients.Client(c.Request.Context(), p.cfg.Client)
		v.QR = err == nil && client.MayGrant(who, oauth.GrantDeviceCode) == nil
	}
	return v
}

// Enter takes the form: POST /signin.
func (p *Pages) Enter(c *gin.Context) error {
	form, err := web.ParseForm(c.Request)
	if err != nil {
		return err
	}
	to, username := p.local(form.Get("return_to")), strings.TrimSpace(form.Get("username"))
	answer, err := p.redeem(c, "grant_type", oauth.GrantPassword, "terminal", string(storage.Browser),
		"username", username, "password", form.Get("password"), "device_name", deviceName(c.Request))
	if err == nil {
		err = p.enter(c, answer)
	}
	if err != nil {
		return p.again(c, err, to, username)
	}
	p.back(c, to)
	return nil
}

// again shows the page to sign in with why it was not possible.
func (p *Pages) again(c *gin.Context, err error, to, username string) error {
	refusal := p.refusal(c, err)
	v := p.view(c, "signin")
	v.Refusal = p.words(v, refusal)
	v.SignIn = p.signInView(c, to, username)
	p.render(c, refusal.Status(), v)
	return nil
}

// asked is what the script gets to show.
type asked struct {
	QR        string `json:"qr_svg"`
	UserCode  string `json:"user_code"`
	Number    string `json:"confirmation"`
	ExpiresIn int64  `json:"expires_in"`
}

// Ask begins a QR sign-in for a browser: POST /signin/ask. The secret goes into a cookie.
func (p *Pages) Ask(c *gin.Context) error {
	ctx := c.Request.Context()
	who, err := p.cfg.Clients.Client(ctx, p.cfg.Client)
	if err != nil {
		return err
	}
	if err := client.MayGrant(who, oauth.GrantDeviceCode); err != nil {
		return err
	}
	w, err := p.cfg.Devices.Ask(ctx, handoff.Ask{Client: who, Terminal: string(storage.Browser), Device: storage.Device{
		Name: deviceName(c.Request), Address: c.ClientIP(), UserAgent: printable(c.Request.UserAgent(), maxUserAgent),
	}})
	if err != nil {
		return err
	}
	left := w.Request.ExpiresAt.Sub(w.At)
	p.seal(c, cookieAsk, w.DeviceCode, left)
	return web.JSON(c, http.StatusOK, asked{QR: w.Shown.QR, UserCode: w.Shown.UserCode, Number: w.Request.Number, ExpiresIn: int64(seconds(left))})
}

// Events tells what becomes of the QR sign-in of a browser: GET /signin/events, as GET /v1/device/events does.
func (p *Pages) Events(c *gin.Context) error {
	code, err := p.asking(c)
	if err != nil {
		return err
	}
	c.Request.Header.Set(handoff.HeaderCode, code.Reveal())
	return p.cfg.Devices.Watch(c)
}

// Collect signs a browser in whose request was approved: POST /signin/collect.
func (p *Pages) Collect(c *gin.Context) error {
	form, err := web.ParseForm(c.Request)
	if err != nil {
		return err
	}
	to := p.local(form.Get("return_to"))
	code, err := p.asking(c)
	if err != nil {
		return p.again(c, err, to, "")
	}
	answer, err := p.redeem(c, "grant_type", oauth.GrantDeviceCode, "device_code", code.Reveal())
	if err == nil {
		err = p.enter(c, answer)
	}
	if err != nil {
		return p.again(c, err, to, "")
	}
	p.back(c, to)
	return nil
}

// asking is the device code of a browser that waits.
func (p *Pages) asking(c *gin.Context) (secret.Text, error) {
	code := p.unseal(c, cookieAsk)
	if code.Empty() {
		return code, oauth.New(oauth.ExpiredToken, "this browser has asked for nothing, or too long ago")
	}
	return code, nil
}

// SignOut signs this browser out: POST /signout.
func (p *Pages) SignOut(c *gin.Context) error {
	v, err := p.visitor(c)
	if err != nil {
		return err
	}
	if err := p.leave(c, v.hash, v.from); err != nil {
		return err
	}
	p.dropCookie(c, cookieSession)
	p.note(c, "done.signed_out")
	p.redirect(c, PathSignIn)
	return nil
}

// deviceName is what a list of devices calls a browser.
func deviceName(r *http.Request) string { return printable(handoff.Browser(r.UserAgent()), maxDevice) }

// printable makes a text of a stranger fit to be stored and shown: valid, without control characters, bounded.
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
