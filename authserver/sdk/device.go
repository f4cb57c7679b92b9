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
	// Confirmation is the number that the user types on the other device to approve. It is for this screen
	// alone. Empty if the server asks for none.
	Confirmation string
	// ExpiresIn is how long the request can be answered, from now.
	ExpiresIn time.Duration
	// Raw is the first answer of the server, without the device code: with that one collects the tokens.
	Raw json.RawMessage
}

// Bounds of polling (RFC 8628 §3.5).
const (
	usualInterval   = 5 * time.Second
	longestInterval = time.Minute
	longestRequest  = time.Hour
)

// SignInByDevice asks for a code, has it shown, and waits until the user has approved it on another
// device, signed in there (RFC 8628). It polls at the pace that the server asks for. A server of ours
// replaces the public code each minute, as long as nobody has scanned it: then show is called again, with
// what to show from then on. If ctx ends, the server is told that nobody waits any more.
//
// Errors: an [*OAuthError] access_denied if the user declined, expired_token if nobody answered; those of
// ctx; what show returns.
func (c *Client) SignInByDevice(ctx context.Context, show func(DeviceCode) error) (Session, error) {
	var raw json.RawMessage
	if err := c.post(ctx, "/oauth2/device_authorization", c.signInForm(Grant{}), &raw); err != nil {
		return Session{}, err
	}
	w, err := c.waiting(raw, show)
	if err != nil {
		return Session{}, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, w.shown.ExpiresIn, &OAuthError{Status: 400, Code: "expired_token", Description: "nobody answered in time"})
	defer cancel()
	if err := show(w.shown); err != nil {
		w.abandon(ctx)
		return Session{}, err
	}
	s, err := w.poll(limited)
	if err != nil && (w.refused || ctx.Err() != nil) {
		w.abandon(ctx)
	}
	return s, err
}

// waiting is a device that waits.
type waiting struct {
	client   *Client
	code     string // collects the tokens
	interval time.Duration
	shown    DeviceCode
	show     func(DeviceCode) error
	refused  bool      // by show
	until    time.Time // when the request is over
	turnAt   time.Time // when to ask for the next public code; zero for never
}

func (c *Client) waiting(raw json.RawMessage, show func(DeviceCode) error) (*waiting, error) {
	var a struct {
		DeviceCode   string `json:"device_code"`
		URI          string `json:"verification_uri"`
		Confirmation string `json:"confirmation"`
		Interval     int64  `json:"interval"`
		screen
	}
	err := json.Unmarshal(raw, &a)
	if err != nil || a.DeviceCode == "" || a.ExpiresIn <= 0 {
		return nil, errors.New("sdk: the device authorization endpoint answered without a device code or its life")
	}
	var public map[string]json.RawMessage
	if err = json.Unmarshal(raw, &public); err == nil {
		delete(public, "device_code")
		raw, err = json.Marshal(public)
	}
	if err != nil {
		return nil, fmt.Errorf("sdk: the answer of the device authorization endpoint: %w", err)
	}
	now := c.cfg.Now()
	w := &waiting{client: c, code: a.DeviceCode, interval: usualInterval, show: show}
	w.shown = DeviceCode{VerificationURI: a.URI, Confirmation: a.Confirmation, Raw: raw}
	w.shown.ExpiresIn = min(time.Duration(a.ExpiresIn)*time.Second, longestRequest)
	w.until = now.Add(w.shown.ExpiresIn)
	w.take(a.screen, now)
	if a.Interval > 0 {
		w.interval = time.Duration(a.Interval) * time.Second
	}
	return w, nil
}

// screen is what a device shows for a while.
type screen struct {
	UserCode    string `json:"user_code"`
	Complete    string `json:"verification_uri_complete"`
	QR          string `json:"qr_svg"`
	QRExpiresIn *int64 `json:"qr_expires_in"` // nil where codes are not replaced, or none is to be shown any more
	ExpiresIn   int64  `json:"expires_in"`
}

func (w *waiting) take(s screen, now time.Time) {
	w.shown.UserCode, w.shown.Complete, w.shown.QRSVG = s.UserCode, s.Complete, s.QR
	w.shown.ExpiresIn = max(0, w.until.Sub(now))
	w.turnAt = time.Time{}
	if s.QRExpiresIn != nil {
		w.turnAt = now.Add(time.Duration(*s.QRExpiresIn) * time.Second)
	}
}

// turn has the next public code shown, if it is time.
func (w *waiting) turn(ctx context.Context) error {
	now := w.client.cfg.Now()
	if w.turnAt.IsZero() || now.Before(w.turnAt) {
		return nil
	}
	var next screen
	err := w.client.postJSON(ctx, "/v1/device/status", w.held(), &next)
	if refused, is := errors.AsType[*OAuthError](err); is && refused.Status < 500 && refused.Status != 429 {
		w.turnAt = time.Time{} // how it ended is for the token endpoint to say
		return nil
	}
	if err != nil {
		return nil //nolint:nilerr // it is asked again; what is shown may be good still
	}
	before := w.shown.UserCode
	if next.UserCode == "" { // scanned: what is shown does not matter any more
		w.turnAt = time.Time{}
		return nil
	}
	w.take(next, now)
	if next.UserCode == before {
		return nil
	}
	if err := w.show(w.shown); err != nil {
		w.refused = true
		return err
	}
	return nil
}

func (w *waiting) held() map[string]string { return map[string]string{"device_code": w.code} }

// abandonTimeout is how long the server may take to hear that nobody waits any more.
const abandonTimeout = 3 * time.Second

// abandon tells the server that nobody waits any more. A server that cannot be told lets the request expire.
func (w *waiting) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	if err := w.client.postJSON(ctx, "/v1/device/cancel", w.held(), nil); err != nil {
		w.client.cfg.Log.Info("sdk: a sign-in by another device could not be cancelled; it expires by itself", "err", err)
	}
}

// poll asks for the tokens until there are any, or never will be.
func (w *waiting) poll(ctx context.Context) (Session, error) {
	for {
		select {
		case <-time.After(min(w.interval, longestInterval)):
		case <-ctx.Done():
			return Session{}, context.Cause(ctx)
		}
		got, err := w.client.exchange(ctx, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {w.code}})
		if err == nil {
			return w.client.begin(ctx, got)
		}
		refused, is := errors.AsType[*OAuthError](err)
		switch {
		case is && refused.Code == "authorization_pending":
			if err := w.turn(ctx); err != nil {
				return Session{}, err
			}
		case is && refused.Code == "slow_down":
			w.interval += usualInterval // RFC 8628 §3.5
		case is && refused.Status < 500 && refused.Status != 429:
			return Session{}, err
		case ctx.Err() != nil:
			return Session{}, fmt.Errorf("sdk: waiting for the approval: %w", context.Cause(ctx))
		default: // away, or unreachable: RFC 8628 §3.5 asks to slow down
			w.interval = min(2*w.interval, longestInterval)
		}
		if is {
			w.interval = max(w.interval, refused.RetryAfter)
		}
	}
}
