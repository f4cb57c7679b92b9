package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// DeviceCode is what the asking device shows: a code to type, or an address to scan.
type DeviceCode struct {
	UserCode        string
	VerificationURI string
	// Complete is VerificationURI with the code in it; QRSVG is its QR code as an SVG image. Either may be
	// empty.
	Complete string
	QRSVG    string
	// ExpiresIn is how long the request can be answered.
	ExpiresIn time.Duration
	// Raw is the whole answer of the server.
	Raw json.RawMessage
}

// Bounds of polling (RFC 8628 §3.5).
const (
	usualInterval   = 5 * time.Second
	longestInterval = time.Minute
	longestRequest  = time.Hour
)

// SignInByDevice asks for a code, has it shown, and waits until the user has approved it on another
// device, signed in there (RFC 8628). It polls at the pace that the server asks for.
//
// Errors: an [*OAuthError] access_denied if the user declined, expired_token if nobody answered; those of
// ctx; what show returns.
func (c *Client) SignInByDevice(ctx context.Context, show func(DeviceCode) error) (Session, error) {
	form := c.signInForm(Grant{})
	var raw json.RawMessage
	if err := c.post(ctx, "/oauth2/device_authorization", form, &raw); err != nil {
		return Session{}, err
	}
	var a struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
		URI        string `json:"verification_uri"`
		Complete   string `json:"verification_uri_complete"`
		QR         string `json:"qr_svg"`
		ExpiresIn  int64  `json:"expires_in"`
		Interval   int64  `json:"interval"`
	}
	if err := json.Unmarshal(raw, &a); err != nil || a.DeviceCode == "" || a.ExpiresIn <= 0 {
		return Session{}, errors.New("sdk: the device authorization endpoint answered without a device code or its life")
	}
	life := min(time.Duration(a.ExpiresIn)*time.Second, longestRequest)
	ctx, cancel := context.WithTimeoutCause(ctx, life, &OAuthError{Status: 400, Code: "expired_token", Description: "nobody answered in time"})
	defer cancel()
	err := show(DeviceCode{UserCode: a.UserCode, VerificationURI: a.URI, Complete: a.Complete, QRSVG: a.QR, ExpiresIn: life, Raw: raw})
	if err != nil {
		return Session{}, err
	}
	interval := usualInterval
	if a.Interval > 0 {
		interval = time.Duration(a.Interval) * time.Second
	}
	return c.poll(ctx, a.DeviceCode, interval)
}

func (c *Client) poll(ctx context.Context, code string, interval time.Duration) (Session, error) {
	grant := Grant{map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": code}}
	for {
		select {
		case <-time.After(min(interval, longestInterval)):
		case <-ctx.Done():
			return Session{}, context.Cause(ctx)
		}
		form := url.Values{}
		for name, value := range grant.values {
			form.Set(name, value)
		}
		got, err := c.exchange(ctx, form)
		if err == nil {
			return c.begin(ctx, got)
		}
		refused, is := errors.AsType[*OAuthError](err)
		switch {
		case is && refused.Code == "authorization_pending":
		case is && refused.Code == "slow_down":
			interval += usualInterval // RFC 8628 §3.5
		case is && refused.Status < 500 && refused.Status != 429:
			return Session{}, err
		case ctx.Err() != nil:
			return Session{}, fmt.Errorf("sdk: waiting for the approval: %w", context.Cause(ctx))
		default: // away, or unreachable: RFC 8628 §3.5 asks to slow down
			interval = min(2*interval, longestInterval)
		}
		if is {
			interval = max(interval, refused.RetryAfter)
		}
	}
}
