package soak_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/story"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/guard/remote"
)

// operator is the client of the administrator, and of the guard that is fed by HTTP. It has no product.
const operator = "operator"

// staff makes the operator, and starts the guard: that of a service which has nothing but HTTP access to
// the first authorization server.
func (f *field) staff(t *testing.T) error {
	t.Helper()
	out, err := f.site.Run(t.Context(), nil, "client", "create", operator, "--type", "confidential", "--grant", "client_credentials",
		"--scope", "admin", "--scope", "sessions:watch", "--output", "json")
	if err != nil {
		return err
	}
	var made struct {
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		return err
	}
	f.site.Target.Clients[operator] = story.Client{ID: operator, Secret: made.Secret}
	issuer := "http://" + f.addrs[0]
	f.watcher, err = remote.New(remote.Config{
		Issuer: issuer, ClientID: operator, ClientSecret: secret.New(made.Secret), Audience: []string{issuer}, Log: slog.New(slog.DiscardHandler),
	})
	return err
}

// watch asks the guard that is fed by HTTP.
func (c *crowd) watch(ctx context.Context, a *act, raw string) {
	a.began = c.field.since()
	_, err := c.field.watcher.Check(ctx, raw)
	a.done = c.field.since()
	refusal, refused := errors.AsType[*guard.Refusal](err)
	switch {
	case err == nil:
		a.outcome = accepted
	case refused && refusal.Status == http.StatusUnauthorized && refusal.Reason().Code() == 2:
		a.outcome, a.reason = ended, string(refusal.Reason())
	case refused && refusal.Status == http.StatusServiceUnavailable:
		a.outcome, a.detail = busy, err.Error()
	default:
		a.outcome, a.detail = wrong, err.Error()
	}
}

// rule lets an administrator follow whims until ctx ends, and lifts the last ban.
func (c *crowd) rule(ctx context.Context, access string, seed uint64) {
	chance := rand.New(rand.NewPCG(seed, 1<<32))
	for {
		select {
		case <-time.After(between(chance, 150*time.Millisecond, 500*time.Millisecond)):
		case <-ctx.Done():
			return
		}
		u := c.users[chance.IntN(len(c.users))]
		if chance.IntN(3) > 0 {
			c.order(context.WithoutCancel(ctx), kick, u, access, chance.IntN(2))
			continue
		}
		c.order(context.WithoutCancel(ctx), ban, u, access, chance.IntN(2))
		select {
		case <-time.After(between(chance, 50*time.Millisecond, 800*time.Millisecond)):
		case <-ctx.Done():
		}
		for began := time.Now(); time.Since(began) < 2*patience; {
			if c.order(context.WithoutCancel(ctx), unban, u, access, chance.IntN(2)) == accepted {
				break
			}
			time.Sleep(100 * time.Millisecond) // a server that is away is not asked again at once
		}
	}
}

// order does one thing to a user, over /admin/v1.
func (c *crowd) order(ctx context.Context, k kind, u *user, access string, process int) outcome {
	a := act{kind: k, user: u.n, process: process}
	switch k {
	case kick:
		a.reason = kicked
	case ban:
		a.reason = banned
	}
	path := "/admin/v1/users/" + url.PathEscape(c.field.site.Target.Users[u.name].Sub) + "/" + string(k)
	c.ask(ctx, &a, http.MethodPost, path, http.Header{"Authorization": {"Bearer " + access}}, "")
	c.field.history.record(a)
	return a.outcome
}
