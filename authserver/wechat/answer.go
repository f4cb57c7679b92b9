package wechat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
)

// The errcodes that mean something to us.
const (
	codeOK         errcode = 0
	codeBusy       errcode = -1
	codeInvalid    errcode = 40029
	codeUsed       errcode = 40163
	codeBlocked    errcode = 40226
	codeQuota      errcode = 45009
	codeTooOften   errcode = 45011
	codeBadAppID   errcode = 40013
	codeBadSecret  errcode = 40125
	codeNoAppID    errcode = 41002
	codeNoSecret   errcode = 41004
	codeBadAddress errcode = 40164
)

// answer is what code2Session says.
type answer struct {
	Code       errcode     `json:"errcode"`
	Text       string      `json:"errmsg"`
	OpenID     string      `json:"openid"`
	UnionID    string      `json:"unionid"`
	SessionKey secret.Text `json:"session_key"`
}

// errcode is a number, or a number as a string; absent, null and "" are 0.
type errcode int64

// UnmarshalJSON implements json.Unmarshaler.
func (e *errcode) UnmarshalJSON(b []byte) error {
	text := strings.TrimSpace(strings.Trim(string(b), `"`))
	if text == "" || text == "null" {
		*e = codeOK
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return errors.New("errcode is not a number")
	}
	*e = errcode(n)
	return nil
}

// parse reads an answer. Its error quotes nothing of it.
func parse(body []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, errors.New("ask wechat: the answer is not whole, or not JSON of the form that it should have")
	}
	return a, nil
}

// refusal is what the caller is told about an errcode.
func (p *Provider) refusal(ctx context.Context, app string, a answer) error {
	cause := fmt.Errorf("wechat: app %s: errcode %d: %s", app, a.Code, short(a.Text))
	switch a.Code {
	case codeInvalid:
		return oauth.Wrap(oauth.InvalidGrant, "the code is not valid, or too old: call wx.login again", cause)
	case codeUsed:
		return oauth.Wrap(oauth.InvalidGrant, "the code was used before: call wx.login again", cause)
	case codeBlocked:
		return oauth.Wrap(oauth.AccessDenied, "WeChat does not let this user sign in", cause)
	case codeTooOften:
		busy := oauth.Wrap(oauth.SlowDown, "WeChat was asked too often for this user; wait for as long as Retry-After says", cause)
		busy.HTTPStatus, busy.RetryAfter = 429, userPause
		return busy
	case codeBusy:
		return oauth.Unavailable(cause)
	case codeQuota:
		p.alert(ctx, app, a, "the quota of the day is used up")
		full := oauth.Unavailable(cause)
		full.RetryAfter = quotaPause
		return full
	case codeBadAppID, codeNoAppID:
		p.alert(ctx, app, a, "check wechat.apps.*.app_id")
	case codeBadSecret, codeNoSecret:
		p.alert(ctx, app, a, "check wechat.apps.*.secret")
	case codeBadAddress:
		p.alert(ctx, app, a, "add the address of this server to the IP whitelist of the mini program")
	case codeOK:
		fallthrough
	default:
		p.alert(ctx, app, a, "see the global return codes of WeChat")
	}
	return oauth.ServerError(cause)
}

func (p *Provider) alert(ctx context.Context, app string, a answer, hint string) {
	p.log.ErrorContext(ctx, Alert, "app", app, "errcode", int64(a.Code), "errmsg", short(a.Text), "hint", hint)
}

// maxText is how much of WeChat's text is kept, in bytes.
const maxText = 200

// short makes WeChat's text fit for a log.
func short(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "")
}
