package story

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// evictions bounds how many sign-ins on api terminals the story makes before the oldest must have
// been evicted.
const evictions = 40

// bound is how long an ended token may still pass a local check.
const bound = time.Second

// player plays one story.
type player struct {
	target Target
	http   *http.Client
	out    io.Writer
	kept   kept
}

// kept is what the story holds on to across a restart.
type kept struct {
	phone   tokens // live
	old     tokens // superseded by phone
	browser tokens // live
	balance float64
}

// Play plays the story. restart, if not nil, is called in the middle: it must stop the instance,
// start it again and return the target to go on with.
func Play(ctx context.Context, t Target, out io.Writer, restart func(context.Context) (Target, error)) error {
	p := &player{target: t, http: &http.Client{}, out: out}
	defer p.http.CloseIdleConnections()
	steps := []struct {
		title string
		run   func(context.Context) error
	}{
		{"1. billing deposits 100000 to tom, twice with the same Idempotency-Key", p.deposit},
		{"2. tom signs in on his phone, reads his wallet, pays amy", p.pay},
		{"3. tom reserves money for amy, who takes a part and gives some back", p.reserve},
		{"4. tom signs in on another phone", p.kickOut},
		{"5. two browsers share, api terminals live side by side", p.modes},
		{"6. refresh tokens rotate", p.rotate},
		{"7. a PC is signed in by the phone, and the phone gives its sign-in away", p.handOver},
	}
	for _, s := range steps {
		fmt.Fprintln(out, s.title)
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	if restart == nil {
		fmt.Fprintln(out, "8. the restart is left out: this instance is not ours to restart")
		return nil
	}
	fmt.Fprintln(out, "8. the process is restarted")
	next, err := restart(ctx)
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	p.target = next
	p.http.CloseIdleConnections()
	return p.afterRestart(ctx)
}

func (p *player) proves(format string, args ...any) {
	fmt.Fprintf(p.out, "   ✓ "+format+"\n", args...)
}

func (p *player) deposit(ctx context.Context) error {
	app, err := granted(p.token(ctx, "billing", map[string][]string{"grant_type": {"client_credentials"}, "scope": {"wallet:deposit"}}))
	if err != nil {
		return err
	}
	key := "story-" + rand.Text()
	order := map[string]any{"user": p.target.Users["tom"].Sub, "amount": 100000, "currency": "CNY", "reference": key}
	first, err := p.post(ctx, "/v1/deposits", app.Access, key, order)
	if err != nil {
		return err
	}
	again, err := p.post(ctx, "/v1/deposits", app.Access, key, order)
	if err != nil {
		return err
	}
	if first.Status != http.StatusCreated || again.Status != first.Status || string(first.Body) != string(again.Body) {
		return fmt.Errorf("expected 201 twice with one body, got %d %s and %d %s", first.Status, first.Body, again.Status, again.Body)
	}
	if again.Header.Get("Idempotent-Replayed") != "true" {
		return errors.New("the repeated deposit does not say Idempotent-Replayed: true")
	}
	p.proves("one deposit, %s; the repetition got the same answer, marked as replayed", first.text("id"))
	order["amount"] = 1
	if other, err := p.post(ctx, "/v1/deposits", app.Access, key, order); err != nil || other.text("code") != "idempotency_key_reused" {
		return fmt.Errorf("the key with another body: expected idempotency_key_reused, got %s (%w)", other.Body, err)
	}
	p.proves("the same key with another body is refused")
	return nil
}

func (p *player) balance(ctx context.Context, access string) (float64, error) {
	a, err := p.get(ctx, "/v1/wallet", access)
	if err != nil {
		return 0, err
	}
	balances, _ := a.fields["balances"].([]any)
	for _, b := range balances {
		if m, ok := b.(map[string]any); ok && m["currency"] == "CNY" {
			n, _ := m["available"].(float64)
			return n, nil
		}
	}
	return 0, fmt.Errorf("no CNY in the wallet: %d %s", a.Status, a.Body)
}

func (p *player) pay(ctx context.Context) error {
	var err error
	if p.kept.old, err = p.signIn(ctx, "shop-app", "tom", "mobile", "tom's old phone"); err != nil {
		return err
	}
	before, err := p.balance(ctx, p.kept.old.Access)
	if err != nil {
		return err
	}
	p.proves("tom has %.0f CNY-fen", before)
	order := map[string]any{"to": p.target.Users["amy"].Sub, "amount": 1250, "currency": "CNY", "memo": "lunch"}
	paid, err := p.post(ctx, "/v1/transfers", p.kept.old.Access, "story-"+rand.Text(), order)
	if err != nil {
		return err
	}
	if paid.Status != http.StatusCreated {
		return fmt.Errorf("transfer: expected 201, got %d %s", paid.Status, paid.Body)
	}
	if p.kept.balance, err = p.balance(ctx, p.kept.old.Access); err != nil {
		return err
	}
	if p.kept.balance != before-1250 {
		return fmt.Errorf("expected %.0f after the transfer, got %.0f", before-1250, p.kept.balance)
	}
	p.proves("transfer %s took 1250; %.0f are left", paid.text("id"), p.kept.balance)
	return p.statement(ctx)
}

// statement checks that each entry's balance follows from the one before it.
func (p *player) statement(ctx context.Context) error {
	a, err := p.get(ctx, "/v1/wallet/entries?currency=CNY&limit=20", p.kept.old.Access)
	if err != nil {
		return err
	}
	entries, _ := a.fields["entries"].([]any)
	if len(entries) < 2 {
		return fmt.Errorf("expected at least two entries, got %d %s", a.Status, a.Body)
	}
	after := p.kept.balance
	for i, e := range entries {
		m, _ := e.(map[string]any)
		stated, _ := m["balance_after"].(float64)
		amount, _ := m["amount"].(float64)
		if stated != after {
			return fmt.Errorf("entry %d: expected balance_after %.0f, got %.0f", i, after, stated)
		}
		after -= amount
	}
	p.proves("the statement shows the balance after each of %d entries, and each follows from the one before", len(entries))
	return nil
}

func (p *player) kickOut(ctx context.Context) error {
	var err error
	if p.kept.browser, err = p.signIn(ctx, "shop-app", "tom", "browser", "tom's laptop"); err != nil {
		return err
	}
	music, err := p.signIn(ctx, "music-app", "tom", "mobile", "tom's old phone")
	if err != nil {
		return err
	}
	socket, err := p.listen(ctx, p.kept.old.Access)
	if err != nil {
		return err
	}
	defer func() { _ = socket.CloseNow() }() // it is closed by then
	if p.kept.phone, err = p.signIn(ctx, "shop-app", "tom", "mobile", "tom's new phone"); err != nil {
		return err
	}
	order := map[string]any{"to": p.target.Users["amy"].Sub, "amount": 1, "currency": "CNY"}
	strict, err := p.post(ctx, "/v1/transfers", p.kept.old.Access, "story-"+rand.Text(), order)
	if err != nil {
		return err
	}
	if err := superseded(strict); err != nil {
		return fmt.Errorf("strict check: %w", err)
	}
	p.proves("the old phone's very next transfer is refused (strict check)")
	if err := p.refusedSoon(ctx, p.kept.old.Access, "superseded"); err != nil {
		return err
	}
	if err := hearsEnd(ctx, socket, "superseded"); err != nil {
		return err
	}
	p.proves("its live connection was told so, and closed with 4001")
	by, _ := strict.fields["superseded_by"].(map[string]any)
	p.proves("it learns why: signed in on %q at %v, reason superseded, code 2", by["device_name"], by["at"])
	dead, err := p.refresh(ctx, "shop-app", p.kept.old.Refresh)
	if err != nil {
		return err
	}
	if dead.Status != http.StatusBadRequest || dead.text("error") != "invalid_grant" || dead.text("reason") != "superseded" {
		return fmt.Errorf("old refresh token: expected invalid_grant, superseded, got %d %s", dead.Status, dead.Body)
	}
	p.proves("its refresh token is invalid_grant for the same reason")
	for name, t := range map[string]tokens{"browser session": p.kept.browser, "session in music": music, "new phone": p.kept.phone} {
		if a, err := p.get(ctx, "/v1/wallet", t.Access); err != nil || a.Status != http.StatusOK {
			return fmt.Errorf("%s: expected it to live on, got %d %s (%w)", name, a.Status, a.Body, err)
		}
	}
	p.proves("tom's browser session, his session in music, and the new phone live on")
	return nil
}

func superseded(a answer) error {
	by, _ := a.fields["superseded_by"].(map[string]any)
	if a.Status != http.StatusUnauthorized || a.text("reason") != "superseded" || a.number("code") != 2 || by["device_name"] != "tom's new phone" {
		return fmt.Errorf("expected 401, superseded, code 2, by tom's new phone, got %d %s", a.Status, a.Body)
	}
	return nil
}

// refusedSoon waits until a local check refuses the token. A request that begins later than the bound
// after the end must not pass.
func (p *player) refusedSoon(ctx context.Context, access, reason string) error {
	ended := time.Now()
	for {
		began := time.Since(ended)
		a, err := p.get(ctx, "/v1/wallet", access)
		if err != nil {
			return err
		}
		if a.Status == http.StatusUnauthorized {
			if a.text("reason") != reason {
				return fmt.Errorf("expected reason %s, got %s", reason, a.Body)
			}
			p.proves("a local check refuses it %s after the answer that ended it", time.Since(ended).Round(100*time.Microsecond))
			return nil
		}
		if began > bound {
			return fmt.Errorf("a request that began %s after the session ended was answered with %d", began, a.Status)
		}
	}
}

func (p *player) modes(ctx context.Context) error {
	first, err := p.signIn(ctx, "shop-app", "tom", "browser", "first browser")
	if err != nil {
		return err
	}
	second, err := p.signIn(ctx, "shop-app", "tom", "browser", "second browser")
	if err != nil {
		return err
	}
	if first.Access != second.Access || first.Session != second.Session || first.Refresh == second.Refresh {
		return errors.New("two browsers: expected one access token, one session, two refresh tokens")
	}
	p.proves("two browsers hold the byte-identical access token, and refresh tokens of their own")
	oldest, err := p.signIn(ctx, "shop-app", "tom", "api", "api terminal 1")
	if err != nil {
		return err
	}
	for i := 2; i <= evictions; i++ {
		next, err := p.signIn(ctx, "shop-app", "tom", "api", fmt.Sprintf("api terminal %d", i))
		if err != nil {
			return err
		}
		if next.Access == oldest.Access || next.Session == oldest.Session {
			return errors.New("api terminals: expected different tokens")
		}
		a, err := p.post(ctx, "/v1/transfers", oldest.Access, "story-"+rand.Text(), map[string]any{"to": p.target.Users["tom"].Sub, "amount": 1, "currency": "CNY"})
		if err != nil {
			return err
		}
		if a.text("reason") == "evicted" {
			p.proves("api terminals hold different tokens; the %dth sign-in evicted the least recently used", i)
			return nil
		}
		if a.text("code") != "same_wallet" {
			return fmt.Errorf("expected the oldest api terminal to live, got %d %s", a.Status, a.Body)
		}
	}
	return fmt.Errorf("no session was evicted within %d sign-ins", evictions)
}

func (p *player) rotate(ctx context.Context) error {
	one, err := p.signIn(ctx, "music-app", "tom", "browser", "tom's laptop")
	if err != nil {
		return err
	}
	two, err := granted(p.refresh(ctx, "music-app", one.Refresh))
	if err != nil {
		return err
	}
	again, err := granted(p.refresh(ctx, "music-app", one.Refresh))
	if err != nil {
		return err
	}
	if two.Refresh == one.Refresh || again.Refresh != two.Refresh || again.Access != two.Access {
		return errors.New("expected a new refresh token, and the same answer when the old one is presented again at once")
	}
	p.proves("a refresh token is exchanged for its successor; presented again within 10 s it gets the same answer")
	three, err := granted(p.refresh(ctx, "music-app", two.Refresh))
	if err != nil {
		return err
	}
	theft, err := p.refresh(ctx, "music-app", one.Refresh)
	if err != nil {
		return err
	}
	if theft.text("error") != "invalid_grant" || theft.text("reason") != "reuse_detected" {
		return fmt.Errorf("ancestor: expected invalid_grant, reuse_detected, got %d %s", theft.Status, theft.Body)
	}
	dead, err := p.refresh(ctx, "music-app", three.Refresh)
	if err != nil {
		return err
	}
	if dead.text("reason") != "reuse_detected" {
		return fmt.Errorf("after the reuse: expected a dead session, got %d %s", dead.Status, dead.Body)
	}
	p.proves("an ancestor presented later is taken for theft: reuse_detected, and the session is dead")
	return p.refusedSoon(ctx, three.Access, "reuse_detected")
}

func (p *player) afterRestart(ctx context.Context) error {
	old, err := p.get(ctx, "/v1/wallet", p.kept.old.Access)
	if err != nil {
		return err
	}
	if err := superseded(old); err != nil {
		return err
	}
	p.proves("the old phone is still superseded")
	left, err := p.balance(ctx, p.kept.phone.Access)
	if err != nil {
		return err
	}
	if left != p.kept.balance {
		return fmt.Errorf("expected %.0f, got %.0f", p.kept.balance, left)
	}
	p.proves("tokens from before the restart still verify; the balance is still %.0f", left)
	if _, err := granted(p.refresh(ctx, "shop-app", p.kept.phone.Refresh)); err != nil {
		return err
	}
	p.proves("refresh tokens still work")
	return nil
}
