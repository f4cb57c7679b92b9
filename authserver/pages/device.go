package pages

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/handoff"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/storage"
)

// maxCode is the longest code that is shown again, in bytes.
const maxCode = 64

// deviceView is what the page shows on which another device is let in.
type deviceView struct {
	// Code is what was typed or came with the link; Linked says the latter.
	Code   string
	Linked bool
	// Asking is who asks; nil before the code was looked up.
	Asking *handoff.Asking
	// Name is whose account it is.
	Name string
}

// Device asks for a code, or shows the one that a QR brought: GET /device. It scans nothing.
func (p *Pages) Device(c *gin.Context) error {
	who, err := p.visitor(c)
	if err != nil {
		return err
	}
	v := p.view(c, "device")
	v.Device = &deviceView{}
	if typed := c.Query("user_code"); len(typed) <= maxCode {
		if code, ok := handoff.ParseCode(typed); ok {
			v.Device.Code, v.Device.Linked = code[:len(code)/2]+"-"+code[len(code)/2:], true
		}
	}
	if v.Device.Name, err = p.username(c, who); err != nil {
		return err
	}
	p.render(c, http.StatusOK, v)
	return nil
}

// Scan shows who asks: POST /device.
func (p *Pages) Scan(c *gin.Context) error {
	who, err := p.visitor(c)
	if err != nil {
		return err
	}
	form, err := web.ParseForm(c.Request)
	if err != nil {
		return err
	}
	return p.showAsking(c, who, form.Get("user_code"), nil)
}

// showAsking scans a code and shows who asks, and why a decision before was refused.
func (p *Pages) showAsking(c *gin.Context, who *visitor, code string, before *oauth.Error) error {
	name, err := p.username(c, who)
	if err != nil {
		return err
	}
	v := p.view(c, "device")
	v.Device = &deviceView{Code: printable(code, maxCode), Name: name}
	asking, err := p.cfg.Devices.Scan(c.Request.Context(), who.by(), code)
	refusal := before
	if _, isEnd := errors.AsType[*storage.EndedError](err); isEnd {
		return err
	}
	switch {
	case err == nil:
		v.Device.Asking = &asking
	case refusal == nil:
		refusal = p.refusal(c, err)
	}
	status := http.StatusOK
	if refusal != nil {
		status, v.Refusal = refusal.Status(), p.words(v, refusal)
		if before != nil && v.Device.Asking == nil { // the third wrong number closes the request
			v.Device.Code, v.Refusal = "", &problem{v.T("error.request_closed")}
		}
	}
	p.render(c, status, v)
	return nil
}

// Decide approves or declines: POST /device/decide.
func (p *Pages) Decide(c *gin.Context) error {
	who, err := p.visitor(c)
	if err != nil {
		return err
	}
	form, err := web.ParseForm(c.Request)
	if err != nil {
		return err
	}
	which := handoff.Which{Request: storage.HandoffID(form.Get("request_id"))}
	ctx, note := c.Request.Context(), "done.approved"
	switch form.Get("decision") {
	case "approve":
		_, err = p.cfg.Devices.Approve(ctx, who.by(), which, form.Get("number"))
	case "deny":
		note = "done.denied"
		_, err = p.cfg.Devices.Deny(ctx, who.by(), which)
	default:
		return oauth.New(oauth.InvalidRequest, "the decision is approve or deny")
	}
	if err == nil {
		p.note(c, note)
		p.redirect(c, PathAccount)
		return nil
	}
	if refusal := web.RefusalOf(err); refusal.Code == oauth.WrongNumber {
		return p.showAsking(c, who, form.Get("user_code"), refusal)
	}
	return err
}
