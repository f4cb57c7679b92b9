package storagetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// won counts who had no error; all others must have one of those named.
func (d *counter) won(errs []error, otherwise ...error) int {
	d.Helper()
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
			continue
		}
		known := false
		for _, one := range otherwise {
			known = known || errors.Is(err, one)
		}
		if !known {
			d.Errorf("a loser got %v", err)
		}
	}
	return winners
}

func raceApprovals(d *counter) {
	r := d.ask("a")
	_, err := d.scan(r.Code, d.phone)
	d.ok(err)
	errs := make([]error, racers)
	race(racers, func(i int) { _, errs[i] = d.decide(r.ID, d.phone, true, Number) })
	d.same(d.won(errs, storage.ErrConsumed), 1)
	d.stateOf(r, storage.HandoffApproved)
}

func raceApproveDeny(d *counter) {
	r := d.ask("a")
	_, err := d.scan(r.Code, d.phone)
	d.ok(err)
	approvals, denials := make([]error, racers), make([]error, racers)
	race(racers, func(i int) {
		if i%2 == 0 {
			_, approvals[i] = d.decide(r.ID, d.phone, true, Number)
			denials[i] = storage.ErrConsumed
			return
		}
		_, denials[i] = d.decide(r.ID, d.phone, false, "")
		approvals[i] = storage.ErrConsumed
	})
	// An approval may still be taken back, never the other way round.
	d.same(d.won(denials, storage.ErrConsumed), 1)
	if n := d.won(approvals, storage.ErrConsumed); n > 1 {
		d.Errorf("%d approvals", n)
	}
	d.stateOf(r, storage.HandoffDenied)
}

func raceScanners(d *counter) {
	r := d.ask("a")
	phones := make([]storage.Session, racers)
	for i := range phones {
		phones[i] = d.signIn(d.user(fmt.Sprint("user ", i)).ID, storage.Kickout, "phone").Session
	}
	errs := make([]error, racers)
	race(racers, func(i int) { _, errs[i] = d.scan(r.Code, phones[i]) })
	d.same(d.won(errs, storage.ErrTaken), 1)
	got, err := d.devices.Device(d.ctx(), r.Hash)
	d.ok(err)
	for i, err := range errs {
		if err == nil {
			d.same(got.User, phones[i].User)
		}
	}
}

func raceTurns(d *counter) {
	r := d.ask("a")
	errs := make([]error, racers)
	race(racers, func(i int) { _, errs[i] = d.turn(r, 0, fmt.Sprint("code ", i)) })
	d.same(d.won(errs, storage.ErrStale), 1)
}

// raceScanTurn: whichever comes first, the scanner who was told yes owns the request, and who was told
// no has the code turned away under them only once its grace is over.
func raceScanTurn(d *counter) {
	r := d.ask("a")
	errs := make([]error, racers)
	race(racers, func(i int) {
		if i%2 == 0 {
			_, errs[i] = d.devices.TurnDevice(d.ctx(), storage.DeviceTurn{Hash: r.Hash, From: 0, Code: "second", OldUntil: d.now(), Now: d.now()})
			return
		}
		_, errs[i] = d.scan(r.Code, d.phone)
	})
	got, err := d.devices.Device(d.ctx(), r.Hash)
	d.ok(err)
	for i, err := range errs {
		turned := got.Code == "second"
		switch {
		case i%2 == 0 && err == nil && !turned, i%2 == 1 && err == nil && got.State != storage.HandoffScanned:
			d.Errorf("caller %d was told yes, and the request is %+v", i, got)
		case i%2 == 0 && err != nil:
			d.is(err, storage.ErrStale)
		case i%2 == 1 && err != nil:
			d.is(err, storage.ErrNotFound)
		}
	}
	if (got.Code == "second") == (got.State == storage.HandoffScanned) {
		d.Errorf("both won, or neither: %+v", got) // the old code had no grace left
	}
}

func raceRedemptions(d *counter) {
	r := d.approved("a")
	errs := make([]error, racers)
	race(racers, func(i int) { _, errs[i] = d.redeem(d.tom.ID, claimOf(r)) })
	d.same(d.won(errs, storage.ErrConsumed), 1)
	d.same(len(d.live(d.tom.ID)), 2)
}

// raceRedeemKick: who is kicked before the redemption signs nobody in; who is kicked after it has.
func raceRedeemKick(d *counter) {
	for i := range rounds {
		phone := d.signIn(d.tom.ID, storage.Kickout, "phone").Session
		d.clock.Advance(time.Second)
		r := NewDeviceRequest(fmt.Sprint(i), d.now())
		r.Code = fmt.Sprint("code ", i)
		d.ok(d.devices.AskDevice(d.ctx(), r, roomy()))
		_, err := d.scan(r.Code, phone)
		d.ok(err)
		r, err = d.decide(r.ID, phone, true, Number)
		d.ok(err)
		var redeemed, ended error
		race(2, func(i int) {
			if i == 0 {
				_, redeemed = d.redeem(d.tom.ID, claimOf(r))
				return
			}
			_, ended = d.End(d.ctx(), storage.EndOrder{User: d.tom.ID, Session: phone.ID, Reason: storage.Kicked, Now: d.now()})
		})
		d.ok(ended)
		if redeemed != nil {
			d.ended(redeemed, storage.Kicked)
			d.stateOf(r, storage.HandoffApproved)
			continue
		}
		d.stateOf(r, storage.HandoffRedeemed)
	}
}

// raceRedeemStarted: once what a phone has started is ended, nothing of it lives, whoever came first.
func raceRedeemStarted(d *counter) {
	for i := range rounds {
		d.clock.Advance(time.Second)
		r := NewDeviceRequest(fmt.Sprint(i), d.now())
		r.Code = fmt.Sprint("code ", i)
		d.ok(d.devices.AskDevice(d.ctx(), r, roomy()))
		_, err := d.scan(r.Code, d.phone)
		d.ok(err)
		r, err = d.decide(r.ID, d.phone, true, Number)
		d.ok(err)
		var redeemed, ended error
		race(2, func(i int) {
			if i == 0 {
				_, redeemed = d.redeem(d.tom.ID, claimOf(r))
				return
			}
			_, ended = d.End(d.ctx(), storage.EndOrder{User: d.tom.ID, StartedBy: d.phone.ID, Reason: storage.Kicked, Now: d.now()})
		})
		d.ok(ended)
		if redeemed != nil {
			d.is(redeemed, storage.ErrConsumed)
		}
		d.same(d.live(d.tom.ID), []storage.SessionID{d.phone.ID})
	}
}

// issue adds a login token of tom's phone.
func (d *counter) issue(secret string) storage.LoginToken {
	d.Helper()
	t := NewLoginToken(secret, d.phone, d.now())
	d.ok(d.logins.IssueLogin(d.ctx(), t, storage.Bearer{Session: d.phone.ID}, 5, NewAudit("issue", d.now())))
	return t
}

func loginRedeem(d *counter) {
	t := d.issue("a")
	got, err := d.logins.Login(d.ctx(), t.Hash)
	d.ok(err)
	d.same(got, t)
	out, err := d.redeem(d.tom.ID, claimLogin(t))
	d.ok(err)
	_, err = d.redeem(d.tom.ID, claimLogin(t))
	d.is(err, storage.ErrConsumed)
	got, err = d.logins.Login(d.ctx(), t.Hash)
	d.ok(err)
	d.same([]any{got.State, got.Session}, []any{storage.HandoffRedeemed, out.Session.ID})

	late := d.issue("b")
	d.clock.Advance(LoginTTL)
	_, err = d.redeem(d.tom.ID, claimLogin(late))
	d.is(err, storage.ErrConsumed)
}

func raceLogins(d *counter) {
	t := d.issue("a")
	errs := make([]error, racers)
	race(racers, func(i int) { _, errs[i] = d.redeem(d.tom.ID, claimLogin(t)) })
	d.same(d.won(errs, storage.ErrConsumed), 1)
	d.same(len(d.live(d.tom.ID)), 2)
}

func loginIssuerEnded(d *counter) {
	t := d.issue("a")
	d.kick(d.phone)
	_, err := d.redeem(d.tom.ID, claimLogin(t))
	d.ended(err, storage.Kicked)
	err = d.logins.IssueLogin(d.ctx(), NewLoginToken("b", d.phone, d.now()), storage.Bearer{Session: d.phone.ID}, 5, nil)
	d.ended(err, storage.Kicked)
	d.mustEnd(storage.EndOrder{
		User: d.amy.ID, Reason: storage.Banned, Now: d.now(), Account: &storage.AccountChange{Ban: &storage.Ban{At: d.now()}},
	})
	err = d.logins.IssueLogin(d.ctx(), NewLoginToken("c", d.other, d.now()), storage.Bearer{Session: d.other.ID}, 5, nil)
	d.is(err, storage.ErrDisabled)
}

func loginOfClient(d *counter) {
	d.ok(d.CreateClient(d.ctx(), NewClient("internal", d.now()), nil))
	issue := func(secret string) storage.LoginToken {
		t := NewLoginToken(secret, d.phone, d.now())
		t.IssuedBy, t.Client, t.ScopeLimit, t.Data = "", "internal", nil, nil
		d.ok(d.logins.IssueLogin(d.ctx(), t, storage.Bearer{Client: "internal", IssuedAt: d.now()}, 5, nil))
		return t
	}
	first, second, third := issue("a"), issue("b"), issue("c")
	holder := storage.LoginHolder{Client: "internal"}
	list, err := d.logins.Logins(d.ctx(), holder, d.now())
	d.ok(err)
	d.same(len(list), 3)
	d.same(list[0].ScopeLimit, (*string)(nil))
	list, err = d.logins.Logins(d.ctx(), storage.LoginHolder{User: d.tom.ID}, d.now())
	d.ok(err)
	d.same(len(list), 0) // tom did not issue them
	d.is(d.logins.RevokeLogin(d.ctx(), first.ID, storage.LoginHolder{User: d.tom.ID}, nil, d.now()), storage.ErrNotFound)
	d.ok(d.logins.RevokeLogin(d.ctx(), first.ID, holder, nil, d.now()))
	_, err = d.redeem(d.tom.ID, claimLogin(first))
	d.is(err, storage.ErrConsumed)
	_, err = d.redeem(d.tom.ID, claimLogin(second))
	d.ok(err)
	starts, err := d.starts.Starts(d.ctx(), d.tom.ID)
	d.ok(err)
	d.same(len(starts), 0)
	_, err = d.DisableClient(d.ctx(), "internal", "operator:test", d.now().Add(time.Hour), nil, d.now())
	d.ok(err)
	if _, err = d.redeem(d.tom.ID, claimLogin(third)); !isEnded(err) {
		d.Errorf("a disabled client's token: %v", err)
	}
}

func loginHolder(d *counter) {
	first := d.issue("a")
	d.clock.Advance(time.Second)
	second := d.issue("b")
	holder := storage.LoginHolder{User: d.tom.ID}
	list, err := d.logins.Logins(d.ctx(), holder, d.now())
	d.ok(err)
	d.same(list, []storage.LoginToken{second, first})
	d.is(d.logins.RevokeLogin(d.ctx(), first.ID, storage.LoginHolder{User: d.amy.ID}, nil, d.now()), storage.ErrNotFound)
	d.ok(d.logins.RevokeLogin(d.ctx(), first.ID, holder, NewAudit("revoke", d.now()), d.now()))
	d.is(d.logins.RevokeLogin(d.ctx(), first.ID, holder, nil, d.now()), storage.ErrConsumed)
	list, err = d.logins.Logins(d.ctx(), holder, d.now())
	d.ok(err)
	d.same(list, []storage.LoginToken{second})
	d.clock.Advance(LoginTTL)
	list, err = d.logins.Logins(d.ctx(), holder, d.now())
	d.ok(err)
	d.same(len(list), 0)
}

func loginLimit(d *counter) {
	for i := range 5 {
		d.issue(fmt.Sprint(i))
	}
	err := d.logins.IssueLogin(d.ctx(), NewLoginToken("more", d.phone, d.now()), storage.Bearer{Session: d.phone.ID}, 5, nil)
	d.is(err, storage.ErrLimit)
	d.clock.Advance(LoginTTL)
	d.issue("later")
	unknown := NewLoginToken("unknown", d.phone, d.now())
	unknown.User = "nobody"
	d.is(d.logins.IssueLogin(d.ctx(), unknown, storage.Bearer{Session: d.phone.ID}, 5, nil), storage.ErrNotFound)
}

func startedByLine(d *counter) {
	pc, err := d.redeem(d.tom.ID, claimLogin(d.issue("a")))
	d.ok(err)
	chained := NewLoginToken("b", pc.Session, d.now())
	d.ok(d.logins.IssueLogin(d.ctx(), chained, storage.Bearer{Session: pc.Session.ID}, 5, nil))
	tv, err := d.redeem(d.tom.ID, claimLogin(chained))
	d.ok(err)
	pending, waiting := d.issue("c"), d.approved("d")
	open := NewLoginToken("e", tv.Session, d.now())
	d.ok(d.logins.IssueLogin(d.ctx(), open, storage.Bearer{Session: tv.Session.ID}, 5, nil))
	alone := d.mustOpen(func() storage.Opening {
		o := NewOpening(d.tom.ID, storage.Concurrent, d.now())
		o.MaxSessions = 10
		return o
	}())

	events := d.mustEnd(storage.EndOrder{User: d.tom.ID, StartedBy: d.phone.ID, Reason: storage.Kicked, Now: d.now()})
	d.same(len(events), 2)
	d.same(d.endOf(pc.Session.ID).Reason, storage.Kicked)
	d.same(d.endOf(tv.Session.ID).Reason, storage.Kicked)
	d.unended(d.phone.ID, alone.Session.ID, d.other.ID)
	for _, c := range []storage.HandoffClaim{claimLogin(pending), claimOf(waiting)} {
		_, err = d.redeem(d.tom.ID, c)
		d.is(err, storage.ErrConsumed)
	}
	_, err = d.redeem(d.tom.ID, claimLogin(open))
	d.ended(err, storage.Kicked)
}

func startedJoined(d *counter) {
	join := func(c *storage.HandoffClaim) storage.Opened {
		o := NewOpening(d.tom.ID, storage.Shared, d.now())
		o.Claim = c
		return d.mustOpen(o)
	}
	alone := join(nil)
	claim := claimLogin(d.issue("a"))
	joined := join(&claim)
	d.same(joined.Session.ID, alone.Session.ID)
	starts, err := d.starts.Starts(d.ctx(), d.tom.ID)
	d.ok(err)
	d.same(starts, []storage.Start{{Session: alone.Session.ID, Origin: d.phone.ID}})
	d.mustEnd(storage.EndOrder{User: d.tom.ID, StartedBy: d.phone.ID, Reason: storage.Kicked, Now: d.now()})
	d.same(d.live(d.tom.ID), []storage.SessionID{d.phone.ID})
}
