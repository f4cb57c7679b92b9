package story

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// What tom reserves, what amy takes of it, and what she gives back.
const (
	reserved = 30000
	captured = 12000
	returned = 2000
)

// reserve holds money of tom's for amy, who takes a part of it and then gives some of that back.
func (p *player) reserve(ctx context.Context) error {
	tom := p.kept.old.Access
	amy, err := p.signIn(ctx, "shop-app", "amy", "browser", "amy's laptop")
	if err != nil {
		return err
	}
	held, err := p.made(ctx, "/v1/holds", tom, map[string]any{
		"to": p.target.Users["amy"].Sub, "amount": reserved, "currency": "CNY", "memo": "room 7", "expires_in": 3600,
	})
	if err != nil {
		return fmt.Errorf("hold: %w", err)
	}
	if err := p.has(ctx, tom, p.kept.balance-reserved); err != nil {
		return fmt.Errorf("while it is held: %w", err)
	}
	p.proves("%d are held for amy: tom still owns them, and cannot spend them", reserved)
	at := "/v1/holds/" + url.PathEscape(held.text("id"))
	if err := p.refusedTo(ctx, at+"/capture", amy.Access, reserved+1, "amount_out_of_range"); err != nil {
		return err
	}
	taken, err := p.made(ctx, at+"/capture", amy.Access, map[string]any{"amount": captured})
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	p.kept.balance -= captured
	if err := p.has(ctx, tom, p.kept.balance); err != nil {
		return fmt.Errorf("after the capture: %w", err)
	}
	p.proves("amy takes %d of them, no more than there are; the rest is tom's again at once", captured)
	back := "/v1/transfers/" + url.PathEscape(taken.text("id")) + "/reversals"
	if err := p.refusedTo(ctx, back, tom, 1, "not_allowed"); err != nil {
		return err
	}
	if _, err := p.made(ctx, back, amy.Access, map[string]any{"amount": returned}); err != nil {
		return fmt.Errorf("reversal: %w", err)
	}
	p.kept.balance += returned
	if err := p.refusedTo(ctx, back, amy.Access, captured-returned+1, "reversal_exceeds_original"); err != nil {
		return err
	}
	if err := p.has(ctx, tom, p.kept.balance); err != nil {
		return fmt.Errorf("after the reversal: %w", err)
	}
	p.proves("she gives %d back, which tom could not have taken himself, and never more in all than she got; %.0f are left", returned, p.kept.balance)
	return p.statement(ctx)
}

// made posts an order twice under one key, as a client does that has lost the answer, and wants one thing made.
func (p *player) made(ctx context.Context, path, access string, order map[string]any) (answer, error) {
	key := "story-" + rand.Text()
	first, err := p.post(ctx, path, access, key, order)
	if err != nil {
		return answer{}, err
	}
	if first.Status != http.StatusCreated && first.Status != http.StatusOK {
		return answer{}, fmt.Errorf("expected success, got %d %s", first.Status, first.Body)
	}
	again, err := p.post(ctx, path, access, key, order)
	if err != nil {
		return answer{}, err
	}
	if again.Status != first.Status || string(again.Body) != string(first.Body) || again.Header.Get("Idempotent-Replayed") != "true" {
		return answer{}, errors.New("the repetition did not get the first answer, marked as replayed")
	}
	return first, nil
}

// refusedTo wants an amount to be refused for a reason.
func (p *player) refusedTo(ctx context.Context, path, access string, amount int, code string) error {
	a, err := p.post(ctx, path, access, "story-"+rand.Text(), map[string]any{"amount": amount})
	if err != nil {
		return err
	}
	if a.text("code") != code {
		return fmt.Errorf("%d by %s: expected %s, got %d %s", amount, path, code, a.Status, a.Body)
	}
	return nil
}

// has wants so much to be there to spend.
func (p *player) has(ctx context.Context, access string, want float64) error {
	got, err := p.balance(ctx, access)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("expected %.0f to be available, got %.0f", want, got)
	}
	return nil
}
