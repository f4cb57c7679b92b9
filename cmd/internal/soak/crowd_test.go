package soak_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// user is one user of the crowd: a kickout slot, two devices that take it from each other, and a wallet.
type user struct {
	n     int
	name  string
	crowd *crowd

	mu       sync.Mutex
	numbers  int       // of sessions
	sessions []*held   // that were acknowledged, in that order
	pending  []payment // sent without a certain answer
	paid     int64     // by transfers that were answered
	got      int64     // of those of others
}

// held is what a device got from a sign-in.
type held struct {
	session int
	access  string
	refresh string
}

// payment is a transfer under its key.
type payment struct {
	key    string
	to     int
	amount int64
}

// device is one of a user's two phones. Its whims follow from the seed.
type device struct {
	user   *user
	chance *rand.Rand
	mine   *held // nil after it was told of another sign-in
	keys   int
	name   string
}

// crowd is all users, and how they speak to the field.
type crowd struct {
	field *field
	http  *http.Client
	users []*user
}

// newCrowd makes users of these names.
func newCrowd(f *field, names []string) *crowd {
	c := &crowd{field: f, http: &http.Client{
		Timeout:   patience + 5*time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 4 * len(names)},
	}}
	for n, name := range names {
		c.users = append(c.users, &user{n: n, name: name, crowd: c})
	}
	return c
}

// live lets every device follow its whims until ctx ends.
func (c *crowd) live(ctx context.Context, seed uint64) {
	var wg sync.WaitGroup
	for _, u := range c.users {
		for n, name := range []string{"left", "right"} {
			d := &device{user: u, name: name, chance: rand.New(rand.NewPCG(seed, uint64(2*u.n+n+1)))}
			wg.Go(func() { d.live(ctx) })
		}
	}
	wg.Wait()
}

func (d *device) live(ctx context.Context) {
	for {
		pause := between(d.chance, 10*time.Millisecond, 40*time.Millisecond)
		if d.mine == nil {
			pause = between(d.chance, 300*time.Millisecond, 1500*time.Millisecond)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		// What has begun is finished, so that it has an answer.
		d.act(context.WithoutCancel(ctx))
	}
}

// act does one thing.
func (d *device) act(ctx context.Context) {
	if d.mine == nil {
		d.signIn(ctx)
		return
	}
	var o outcome
	switch whim := d.chance.IntN(100); {
	case whim < 30:
		o = d.check(ctx, d.mine)
	case whim < 55:
		o = d.pay(ctx, d.mine, d.payment())
	case whim < 65:
		o = d.renew(ctx)
	default:
		d.haunt(ctx)
		return
	}
	if o == ended {
		d.mine = nil
	}
}

// haunt tries what an earlier session may still do, mostly the one before the newest.
func (d *device) haunt(ctx context.Context) {
	h := d.user.earlier(d.chance)
	if h == nil {
		return
	}
	if d.chance.IntN(3) == 0 {
		d.pay(ctx, h, d.payment())
		return
	}
	d.check(ctx, h)
}

// earlier picks one of the last sessions that are not the newest.
func (u *user) earlier(chance *rand.Rand) *held {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.sessions) - 1
	if n < 1 {
		return nil
	}
	return u.sessions[n-1-min(chance.IntN(4)*chance.IntN(2), n-1)]
}

func (d *device) signIn(ctx context.Context) {
	if h, _ := d.user.signIn(ctx, d.name, d.chance.IntN(2)); h != nil {
		d.mine = h
	}
}

// signIn signs a user in at one of the authorization servers; nil without a certain answer.
func (u *user) signIn(ctx context.Context, device string, process int) (*held, act) {
	u.mu.Lock()
	u.numbers++
	a := act{kind: signIn, user: u.n, session: u.numbers, process: process}
	u.mu.Unlock()
	who := u.crowd.field.site.Target.Users[u.name]
	r := u.crowd.token(ctx, &a, url.Values{
		"grant_type": {"password"}, "client_id": {"shop-app"}, "username": {who.Username}, "password": {who.Password},
		"terminal": {"mobile"}, "device_name": {device},
	})
	if a.outcome != accepted {
		u.crowd.field.history.record(a)
		return nil, a
	}
	a.version = r.Version
	u.crowd.field.history.record(a)
	h := &held{session: a.session, access: r.Access, refresh: r.Refresh}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sessions = append(u.sessions, h)
	return h, a
}

// renew exchanges the refresh token. Without a certain answer the next try presents the same one again.
func (d *device) renew(ctx context.Context) outcome {
	a := act{kind: refresh, user: d.user.n, session: d.mine.session, process: d.chance.IntN(2)}
	r := d.user.crowd.token(ctx, &a, url.Values{
		"grant_type": {"refresh_token"}, "client_id": {"shop-app"}, "refresh_token": {d.mine.refresh},
	})
	d.user.crowd.field.history.record(a)
	if a.outcome == accepted {
		d.mine = &held{session: d.mine.session, access: r.Access, refresh: r.Refresh}
		d.user.replace(d.mine)
	}
	return a.outcome
}

// replace puts a session's newer tokens in the place of its older ones.
func (u *user) replace(h *held) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for n, one := range u.sessions {
		if one.session == h.session {
			u.sessions[n] = h
		}
	}
}

func (d *device) check(ctx context.Context, h *held) outcome {
	a := act{kind: local, user: d.user.n, session: h.session, process: d.chance.IntN(len(roles) + 1)}
	if a.process == watching {
		d.user.crowd.watch(ctx, &a, h.access)
		d.user.crowd.field.history.record(a)
		return a.outcome
	}
	path := "/v1/wallet"
	if roles[a.process] == "auth" {
		path = "/v1/sessions"
	}
	d.user.crowd.ask(ctx, &a, http.MethodGet, path, http.Header{"Authorization": {"Bearer " + h.access}}, "")
	d.user.crowd.field.history.record(a)
	return a.outcome
}

// payment is a new one, or now and then one that had no certain answer.
func (d *device) payment() payment {
	u := d.user
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := len(u.pending); n > 0 && d.chance.IntN(3) == 0 {
		p := u.pending[n-1]
		u.pending = u.pending[:n-1]
		return p
	}
	d.keys++
	others := len(u.crowd.users) - 1
	return payment{
		key: fmt.Sprintf("%s-%d", d.name, d.keys), to: (u.n + 1 + d.chance.IntN(others)) % len(u.crowd.users),
		amount: 1 + d.chance.Int64N(fortune/4),
	}
}

func (d *device) pay(ctx context.Context, h *held, p payment) outcome {
	return d.user.pay(ctx, h, p, 2+d.chance.IntN(2)).outcome
}

// pay sends a transfer. The books of the soak follow the answer: done, or not, or to be asked again.
func (u *user) pay(ctx context.Context, h *held, p payment, process int) act {
	a := act{kind: strict, user: u.n, session: h.session, process: process}
	to := u.crowd.users[p.to]
	status := u.crowd.ask(ctx, &a, http.MethodPost, "/v1/transfers", http.Header{
		"Authorization": {"Bearer " + h.access}, "Content-Type": {"application/json"}, "Idempotency-Key": {p.key},
	}, fmt.Sprintf(`{"to":%q,"amount":%d,"currency":"CNY"}`, u.crowd.field.site.Target.Users[to.name].Sub, p.amount))
	u.crowd.field.history.record(a)
	switch {
	case status == http.StatusCreated:
		u.book(&u.paid, p.amount)
		to.book(&to.got, p.amount)
	case a.outcome == accepted: // there was not enough money, and that is the answer for good
	default:
		// Also for an ended session: an earlier try of this payment may have gone through.
		u.mu.Lock()
		u.pending = append(u.pending, p)
		u.mu.Unlock()
	}
	return a
}

func (u *user) book(side *int64, amount int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	*side += amount
}

// answer is what the fields of all answers that matter here.
type answer struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Version int64  `json:"version"`
	Error   string `json:"error"`
	Reason  string `json:"reason"`
	Code    any    `json:"code"` // a number beside a reason, a text in a problem
}

// token asks an authorization server.
func (c *crowd) token(ctx context.Context, a *act, form url.Values) answer {
	r, status, retry := c.send(ctx, a, http.MethodPost, "/oauth2/token", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, form.Encode())
	switch {
	case a.outcome == lost:
	case status == http.StatusOK:
		a.outcome = accepted
	case status == http.StatusBadRequest && r.Error == "invalid_grant" && r.ended() && (a.kind == refresh || r.Reason == banned):
		a.outcome, a.reason = ended, r.Reason
	case status == http.StatusServiceUnavailable && retry:
		a.outcome = busy
	}
	return r
}

// ask asks for something that a token is needed for.
func (c *crowd) ask(ctx context.Context, a *act, method, path string, header http.Header, body string) (status int) {
	r, status, retry := c.send(ctx, a, method, path, header, body)
	switch {
	case a.outcome == lost:
	case status == http.StatusOK, status == http.StatusCreated, status == http.StatusNoContent, status == http.StatusUnprocessableEntity && r.Code == "insufficient_funds":
		a.outcome = accepted
	case status == http.StatusUnauthorized && r.ended():
		a.outcome, a.reason = ended, r.Reason
	case status == http.StatusServiceUnavailable && retry, status == http.StatusLocked && retry:
		a.outcome = busy
	}
	return status
}

// ended says that an answer gives one of the reasons for which sessions end here.
func (r answer) ended() bool {
	return (r.Reason == superseded || r.Reason == kicked || r.Reason == banned) && r.Code == float64(2)
}

// send sends a request and notes when, and what came back. It leaves the outcome as lost or wrong.
func (c *crowd) send(ctx context.Context, a *act, method, path string, header http.Header, body string) (r answer, status int, retry bool) {
	a.outcome = lost
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.field.addrs[a.process]+path, strings.NewReader(body))
	if err != nil {
		a.detail = err.Error()
		return r, 0, false
	}
	req.Header = header
	a.began = c.field.since()
	resp, err := c.http.Do(req)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
	}
	a.done = c.field.since()
	if err != nil {
		a.detail = err.Error()
		return r, 0, false
	}
	a.outcome = wrong
	if err := json.Unmarshal(text, &r); err != nil && len(text) > 0 || resp.StatusCode >= http.StatusBadRequest {
		a.detail = fmt.Sprintf("%d %s", resp.StatusCode, text)
	}
	return r, resp.StatusCode, resp.Header.Get("Retry-After") != ""
}
