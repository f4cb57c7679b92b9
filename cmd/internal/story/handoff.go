package story

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// handOver lets a PC in that shows a QR, and then the other way round, by a login token.
func (p *player) handOver(ctx context.Context) error {
	asked, err := p.askForDevice(ctx)
	if err != nil {
		return err
	}
	collect := func() (answer, error) {
		return p.token(ctx, "shop-web", url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {asked.text("device_code")},
		})
	}
	waiting, err := collect()
	if err != nil {
		return err
	}
	if waiting.text("error") != "authorization_pending" {
		return fmt.Errorf("expected authorization_pending, got %d %s", waiting.Status, waiting.Body)
	}
	who, err := p.tell(ctx, "/v1/device/scan", p.kept.phone.Access, map[string]string{"user_code": asked.text("user_code")})
	if err != nil {
		return err
	}
	if who.Status != http.StatusOK || who.text("client") != "shop-web" {
		return fmt.Errorf("expected who asks, got %d %s", who.Status, who.Body)
	}
	p.proves("the phone scans and sees who asks: %s on %s from %s; the PC still waits", who.text("client"), who.text("terminal"), who.text("address"))
	approved, err := p.tell(ctx, "/v1/device/approve", p.kept.phone.Access,
		map[string]string{"request_id": who.text("request_id"), "number": asked.text("confirmation")})
	if err != nil {
		return err
	}
	if approved.Status != http.StatusOK {
		return fmt.Errorf("expected the approval, got %d %s", approved.Status, approved.Body)
	}
	pc, err := granted(collect())
	if err != nil {
		return err
	}
	if _, err := p.balance(ctx, pc.Access); err != nil {
		return err
	}
	p.proves("the phone approves with the number that only the PC shows (%s); the PC is signed in", asked.text("confirmation"))
	if again, err := collect(); err != nil || again.text("error") != "invalid_grant" {
		return fmt.Errorf("the same device code again: %w, %s", err, again.Body)
	}
	p.proves("the same device code again is refused")
	return p.give(ctx)
}

func (p *player) askForDevice(ctx context.Context) (answer, error) {
	form := url.Values{"client_id": {p.target.Clients["shop-web"].ID}, "terminal": {"browser"}, "device_name": {"Tom's PC"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.target.Issuer+"/oauth2/device_authorization", strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	asked, err := p.do(ctx, req)
	if err != nil {
		return answer{}, err
	}
	if asked.Status != http.StatusOK || !strings.HasPrefix(asked.text("qr_svg"), "<svg") {
		return answer{}, fmt.Errorf("expected a code and a QR, got %d %s", asked.Status, asked.Body)
	}
	p.proves("a PC shows a QR, the code %s and a number", asked.text("user_code"))
	return asked, nil
}

// give lets the phone give its sign-in to another device.
func (p *player) give(ctx context.Context) error {
	issued, err := p.tell(ctx, "/v1/login-tokens", p.kept.phone.Access, map[string]any{"terminal": "api", "data": map[string]int{"page": 7}})
	if err != nil {
		return err
	}
	redeem := func() (answer, error) {
		return p.token(ctx, "shop-app", url.Values{
			"grant_type": {"urn:tallystick:grant-type:login-token"}, "login_token": {issued.text("login_token")},
		})
	}
	if _, err := granted(redeem()); err != nil {
		return err
	}
	again, err := redeem()
	if err != nil {
		return err
	}
	if again.text("error") != "invalid_grant" {
		return errors.New("a login token was redeemed twice")
	}
	p.proves("the other way: the phone gives a login token, another device redeems it, once")
	return nil
}
