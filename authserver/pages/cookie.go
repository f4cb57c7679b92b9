package pages

import (
	"encoding/base64"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/keys/secret"
)

// The cookies, without their prefix.
const (
	cookieSession  = "tallystick-session"  // a refresh token, sealed
	cookieAsk      = "tallystick-ask"      // a device code, sealed
	cookieNote     = "tallystick-note"     // the name of a text to be shown once
	cookieLanguage = "tallystick-language" // a language
)

const (
	// maxCookie is the longest value that browsers keep, with room for the name and attributes.
	maxCookie    = 3800
	noteLife     = time.Minute
	languageLife = 365 * 24 * time.Hour
)

// cookieName is a name with the prefix that binds it to this host. Over plain http browsers take no such cookie.
func (p *Pages) cookieName(name string) string {
	if p.secure {
		return "__Host-" + name
	}
	return name
}

func (p *Pages) setCookie(c *gin.Context, name, value string, life time.Duration) {
	http.SetCookie(c.Writer, &http.Cookie{ //nolint:gosec // G124: Secure is left out for plain http only, which configuration allows on loopback alone.
		Name: p.cookieName(name), Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: p.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// dropCookie takes a cookie away from a browser that has it.
func (p *Pages) dropCookie(c *gin.Context, name string) {
	if _, err := c.Request.Cookie(p.cookieName(name)); err != nil {
		return
	}
	p.setCookie(c, name, "", -time.Second)
}

func (p *Pages) cookie(c *gin.Context, name string) string {
	found, err := c.Request.Cookie(p.cookieName(name))
	if err != nil || len(found.Value) > maxCookie {
		return ""
	}
	return found.Value
}

// seal sets a cookie that nobody else can read or make. One kind of cookie does not open as another.
func (p *Pages) seal(c *gin.Context, name string, content secret.Text, life time.Duration) {
	sealed := p.cfg.Sealer.Seal([]byte(content.Reveal()), "cookie", name)
	p.setCookie(c, name, base64.RawURLEncoding.EncodeToString(sealed), life)
}

// unseal is what a sealed cookie holds; empty if there is none of ours.
func (p *Pages) unseal(c *gin.Context, name string) secret.Text {
	sealed, err := base64.RawURLEncoding.DecodeString(p.cookie(c, name))
	if err != nil || len(sealed) == 0 {
		return secret.Text{}
	}
	plain, err := p.cfg.Sealer.Open(sealed, "cookie", name)
	if err != nil {
		return secret.Text{}
	}
	return secret.New(string(plain))
}
