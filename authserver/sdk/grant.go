package sdk

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"strings"
)

// Grant is what a user signs in with. It prints redacted.
type Grant struct{ values map[string]string }

// Password signs in with a user's name and password.
func Password(username string, password Secret) Grant {
	return Grant{map[string]string{"grant_type": "password", "username": username, "password": string(password)}}
}

// LoginToken signs in with what another, signed-in device gave away. It is good once.
func LoginToken(token Secret) Grant {
	return Grant{map[string]string{"grant_type": "urn:tallystick:grant-type:login-token", "login_token": string(token)}}
}

// WeChat signs in with the code that wx.login gave a mini program.
func WeChat(code Secret) Grant {
	return Grant{map[string]string{"grant_type": "urn:tallystick:grant-type:wechat-mini-program", "code": string(code)}}
}

// With adds a parameter of the token endpoint to a grant, such as session_data.
func (g Grant) With(name, value string) Grant {
	values := maps.Clone(g.values)
	if values == nil {
		values = map[string]string{}
	}
	values[name] = value
	return Grant{values}
}

// Format implements fmt.Formatter.
func (g Grant) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "sdk.Grant("+g.values["grant_type"]+")")
}

// signInForm completes a grant with what the configuration says of every sign-in.
func (c *Client) signInForm(g Grant) url.Values {
	form := url.Values{}
	for name, value := range map[string]string{
		"scope": strings.Join(c.cfg.Scopes, " "), "product": c.cfg.Product, "terminal": c.cfg.Terminal,
		"device_id": c.cfg.DeviceID, "device_name": c.cfg.DeviceName,
	} {
		if value != "" {
			form.Set(name, value)
		}
	}
	for name, value := range g.values {
		form.Set(name, value)
	}
	return form
}
