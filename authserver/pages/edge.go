package pages

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/storage"
)

// policy is what a page may load and do: nothing but ours. A QR comes as an image in a data: address.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// maxReturn is the longest return_to, in bytes.
const maxReturn = 256

var errForged = &oauth.Error{ //nolint:errname,gochecknoglobals // a constant in spirit.
	Code: oauth.AccessDenied, HTTPStatus: http.StatusForbidden, Description: "this form was not sent from a page of this site",
}

// Page makes a handler of a page: whatever it refuses is shown as a page.
func (p *Pages) Page(h func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		p.secured(c)
		err := p.ours(c.Request)
		if err == nil {
			err = h(c)
		}
		if err != nil {
			p.refuse(c, err)
		}
	}
}

// Data makes a handler that the script of a page calls: whatever it refuses is for the edge to say.
func (p *Pages) Data(h func(*gin.Context) error) func(*gin.Context) error {
	return func(c *gin.Context) error {
		p.secured(c)
		if err := p.ours(c.Request); err != nil {
			return err
		}
		return h(c)
	}
}

// secured sets the headers of everything that belongs to a page.
func (p *Pages) secured(c *gin.Context) {
	web.NoStore(c)
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	h.Add("Vary", "Cookie, Accept-Language")
}

// ours refuses what another site made a browser send, and what does not say where it comes from.
func (p *Pages) ours(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
		return errForged
	}
	if err := p.cross.Check(r); err != nil {
		forged := *errForged
		forged.Cause = err
		return &forged
	}
	return nil
}

// refuse answers what a handler could not do. Whoever is not signed in is sent to sign in, and comes back.
func (p *Pages) refuse(c *gin.Context, err error) {
	ended, isEnd := errors.AsType[*storage.EndedError](err)
	if isEnd || errors.Is(err, errSignedOut) {
		p.dropCookie(c, cookieSession)
		if isEnd {
			p.note(c, "ended."+string(ended.End.Reason))
		}
		back := c.Request.URL.RequestURI()
		if c.Request.Method != http.MethodGet {
			back = c.Request.Referer() // of the page with the form; no more than a path of ours is taken from it
			if u, err := url.Parse(back); err == nil {
				back = u.RequestURI()
			}
		}
		p.redirect(c, PathSignIn+"?return_to="+url.QueryEscape(p.local(back)))
		return
	}
	refusal := p.refusal(c, err)
	v := p.view(c, "error")
	v.Refusal = p.words(v, refusal)
	p.render(c, refusal.Status(), v)
}

// refusal is what people are told of an error. Its cause goes to the log.
func (p *Pages) refusal(c *gin.Context, err error) *oauth.Error {
	refusal := web.RefusalOf(err)
	level := slog.LevelDebug
	if refusal.Status() >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	ctx := c.Request.Context()
	p.cfg.Log.Log(ctx, level, "page refused", "request_id", p.cfg.RequestID(ctx), "route", c.FullPath(), "status", refusal.Status(), "err", err)
	if refusal.RetryAfter > 0 {
		c.Header("Retry-After", strconv.Itoa(seconds(refusal.RetryAfter)))
	}
	return refusal
}

func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// local is a path to return to: that of a page of ours, whatever was asked for.
func (p *Pages) local(asked string) string {
	home := p.base + PathAccount
	if len(asked) > maxReturn || !strings.HasPrefix(asked, "/") || strings.ContainsAny(asked, "\\\r\n\t") {
		return home
	}
	u, err := url.Parse(asked)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || u.RawPath != "" {
		return home
	}
	if !slices.Contains([]string{PathAccount, PathDevice}, strings.TrimPrefix(u.Path, p.base)) || !strings.HasPrefix(u.Path, p.base) {
		return home
	}
	if code := u.Query().Get("user_code"); code != "" && u.Path == p.base+PathDevice {
		return u.Path + "?user_code=" + url.QueryEscape(code)
	}
	return u.Path
}

// redirect goes to a path below the issuer, by GET.
func (p *Pages) redirect(c *gin.Context, path string) { c.Redirect(http.StatusSeeOther, p.base+path) }

// back goes to a page by a path that local gave.
func (p *Pages) back(c *gin.Context, local string) { c.Redirect(http.StatusSeeOther, local) }

// note has a text shown on the next page, once.
func (p *Pages) note(c *gin.Context, name string) { p.setCookie(c, cookieNote, name, noteLife) }
