package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	// signInTime bounds a sign-in.
	signInTime = 10 * time.Second
	// maxAnswer bounds its answer.
	maxAnswer = 64 << 10
	// Bound is what the guarantee allows a local check.
	Bound = time.Second
)

// User is somebody who can sign in.
type User struct{ Username, Password string }

// Plan is what to measure.
type Plan struct {
	// Token is the token endpoint, Client a public client that may sign users in on a kickout slot.
	Token, Client string
	Users         []User
	Guards        []Start
	// Count and Time bound the run; Pause is the time from one sign-in to the next.
	Count int
	Time  time.Duration
	Pause time.Duration
	// Errors takes what the guards log.
	Errors io.Writer
	// Step, if not nil, is called after each kick-out.
	Step func()
}

// Kickout signs in over old sessions, and measures how long the guards let those in.
func Kickout(ctx context.Context, p Plan) (r Report, err error) {
	if len(p.Users) == 0 || len(p.Guards) == 0 || p.Count < 1 || p.Time <= 0 {
		return Report{}, errors.New("bench: users, guards, a count and a time are needed")
	}
	ctx, cancel := context.WithTimeout(ctx, p.Time+readyTime)
	defer cancel()
	b := &kickout{plan: p, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}, samples: map[string][]time.Duration{}}
	defer b.client.CloseIdleConnections()
	defer func() {
		for _, h := range b.crew {
			err = errors.Join(err, h.dismiss())
		}
	}()
	for _, s := range p.Guards {
		h, err := hire(ctx, s, p.Errors)
		if err != nil {
			return Report{}, err
		}
		b.crew = append(b.crew, h)
	}
	return b.run(ctx)
}

type kickout struct {
	plan    Plan
	client  *http.Client
	crew    []*hand
	samples map[string][]time.Duration
	strict  Strict
}

func (b *kickout) run(ctx context.Context) (Report, error) {
	tokens := make([]string, len(b.plan.Users))
	for i, u := range b.plan.Users {
		var err error
		if tokens[i], _, err = b.signIn(ctx, u); err != nil {
			return Report{}, err
		}
	}
	began := time.Now()
	tick := time.NewTicker(max(b.plan.Pause, time.Millisecond))
	defer tick.Stop()
	done := 0
	for ; done < b.plan.Count && time.Since(began) < b.plan.Time; done++ {
		i := done % len(tokens)
		fresh, err := b.once(ctx, done+1, b.plan.Users[i], tokens[i])
		if err != nil {
			return Report{}, err
		}
		tokens[i] = fresh
		if b.plan.Step != nil {
			b.plan.Step()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Report{}, ctx.Err()
		}
	}
	return b.report(done, time.Since(began)), nil
}

// once supersedes one session under the eyes of all guards.
func (b *kickout) once(ctx context.Context, number int, u User, old string) (fresh string, err error) {
	for _, h := range b.crew {
		if err := h.orders.Encode(order{Number: number, Token: old}); err != nil {
			return "", fmt.Errorf("tell guard: %w", err)
		}
	}
	for _, h := range b.crew {
		n, err := h.await(ctx, h.watched, number)
		if err != nil {
			return "", err
		}
		if n.What != accepted {
			return "", fmt.Errorf("guard by %s does not let a live session in: %s %s %s", h.feed, n.What, n.Reason, n.Detail)
		}
	}
	fresh, answered, err := b.signIn(ctx, u)
	if err != nil {
		return "", err
	}
	if err := b.checkStrictly(ctx, b.crew[number%len(b.crew)], number, old); err != nil {
		return "", err
	}
	for _, h := range b.crew {
		n, err := h.await(ctx, h.watched, number)
		if err != nil {
			return "", err
		}
		if n.What == refused && n.Reason != string(storage.Superseded) {
			return "", fmt.Errorf("guard by %s refuses with reason %q, and not superseded: does anybody else use these users?", h.feed, n.Reason)
		}
		b.samples[h.feed] = append(b.samples[h.feed], max(0, time.Unix(0, n.At).Sub(answered)))
	}
	return fresh, nil
}

// checkStrictly has one guard ask strictly about a token that is superseded.
func (b *kickout) checkStrictly(ctx context.Context, h *hand, number int, old string) error {
	if err := h.orders.Encode(order{Number: -number, Token: old, Strict: true}); err != nil {
		return fmt.Errorf("tell guard: %w", err)
	}
	n, err := h.await(ctx, h.strict, -number)
	if err != nil {
		return err
	}
	b.strict.Checks++
	switch n.What {
	case accepted:
		b.strict.Accepted++
	case unsure:
		b.strict.Unavailable++
	}
	return nil
}

// signIn returns an access token, and when its answer had arrived.
func (b *kickout) signIn(ctx context.Context, u User) (token string, at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, signInTime)
	defer cancel()
	form := url.Values{
		"grant_type": {"password"}, "client_id": {b.plan.Client}, "terminal": {string(storage.Mobile)},
		"username": {u.Username}, "password": {u.Password}, "device_name": {"bench"},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.plan.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return "", at, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := b.client.Do(r)
	if err != nil {
		return "", at, fmt.Errorf("sign in: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	at = time.Now()
	if err != nil {
		return "", at, fmt.Errorf("sign in: %w", err)
	}
	var got struct {
		Access string `json:"access_token"`
		Error  string `json:"error"`
	}
	if err := json.Unmarshal(body, &got); err != nil || got.Access == "" {
		return "", at, fmt.Errorf("sign in as %s: answered %d %s", u.Username, answer.StatusCode, got.Error)
	}
	return got.Access, at, nil
}
