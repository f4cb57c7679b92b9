package storagetest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// HandoffStore is a store that keeps hand-offs too.
type HandoffStore interface {
	Store
	storage.Devices
	storage.Logins
	storage.Starts
}

// What the builders of hand-offs use.
const (
	DeviceTTL = 3 * time.Minute
	LoginTTL  = 5 * time.Minute
	// DeviceCode is the public code of a request that [NewDeviceRequest] makes, Number its number.
	DeviceCode = "BCDFGHJK"
	Number     = "07"

	maxWrong = 3
)

// NewDeviceRequest makes a request of a browser of the client of [NewOpening].
func NewDeviceRequest(secret string, now time.Time) storage.DeviceRequest {
	at := storage.Instant(now)
	return storage.DeviceRequest{
		ID: storage.HandoffID(storage.NewID(now)), Hash: sha256.Sum256([]byte(secret)), Code: DeviceCode, RotatedAt: at, State: storage.HandoffNew,
		Client: ClientID, Product: Product, Terminal: storage.Browser, Scope: "profile",
		Device: storage.Device{ID: "pc-1", Name: "Ümit’s PC", Address: "198.51.100.3", UserAgent: "Firefox"},
		Place:  "198.51.100.3", Number: Number, CreatedAt: at, ExpiresAt: at.Add(DeviceTTL),
	}
}

// NewLoginToken makes a login token of a session.
func NewLoginToken(secret string, by storage.Session, now time.Time) storage.LoginToken {
	at, limit := storage.Instant(now), "profile"
	return storage.LoginToken{
		ID: storage.HandoffID(storage.NewID(now)), Hash: sha256.Sum256([]byte(secret)), State: storage.HandoffApproved, User: by.User,
		IssuedBy: by.ID, Client: by.Client, Product: Product, Terminal: storage.Browser, ScopeLimit: &limit,
		Data: json.RawMessage(`{"cart":"ü"}`), CreatedAt: at, ExpiresAt: at.Add(LoginTTL),
	}
}

// Handoffs checks a driver against every promise written on [storage.Devices], [storage.Logins] and
// [storage.Starts], and on the claims of [storage.Sessions.Open].
func Handoffs(t *testing.T, open func(t *testing.T) HandoffStore) {
	t.Helper()
	for name, check := range map[string]func(*counter){
		"a request comes back as it was":                     deviceRoundTrip,
		"hashes and codes are taken once":                    deviceUnique,
		"pending requests are limited":                       deviceLimits,
		"the public code turns once, and the old has grace":  deviceTurn,
		"the first scanner owns it":                          deviceScan,
		"approving takes the scanner and the number":         deviceApprove,
		"wrong numbers deny in the end":                      deviceWrong,
		"denying and cancelling end it":                      deviceOver,
		"nothing becomes of an expired request":              deviceExpiry,
		"a phone that was kicked neither scans nor approves": devicePhoneEnded,
		"a phone kicked after approving signs nobody in":     deviceKickedBetween,
		"a banned user's approval signs nobody in":           deviceBannedBetween,
		"an approved request becomes one session":            deviceRedeem,
		"a claim of something else is refused":               deviceFalseClaim,
		"of two approvals one wins":                          raceApprovals,
		"of approve and deny one wins":                       raceApproveDeny,
		"of scanners one wins":                               raceScanners,
		"of turns one wins":                                  raceTurns,
		"a scan and a turn leave one code that was scanned":  raceScanTurn,
		"of redemptions one gets a session":                  raceRedemptions,
		"redemption against kick leaves nothing live":        raceRedeemKick,
		"redemption against ending what was started":         raceRedeemStarted,
		"a login token is redeemed once":                     loginRedeem,
		"of redemptions of a login token one wins":           raceLogins,
		"a login token dies with its issuer":                 loginIssuerEnded,
		"an internal client issues and revokes its own":      loginOfClient,
		"a holder lists and revokes what it issued":          loginHolder,
		"login tokens are limited":                           loginLimit,
		"ending what was started goes down the line":         startedByLine,
		"a joined session was started by both":               startedJoined,
		"what is old is trimmed":                             trimHandoffs,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := &counter{world: &world{T: t, Store: store, clock: NewClock()}, devices: store, logins: store, starts: store}
			d.tom, d.amy = d.user("tom"), d.user("amy")
			d.phone, d.other = d.signIn(d.tom.ID, storage.Kickout, "phone").Session, d.signIn(d.amy.ID, storage.Kickout, "phone").Session
			check(d)
		})
	}
}

// counter is a world with two users, each signed in on a phone.
type counter struct {
	*world
	devices      storage.Devices
	logins       storage.Logins
	starts       storage.Starts
	tom, amy     storage.User
	phone, other storage.Session
}

func roomy() storage.DeviceLimits { return storage.DeviceLimits{PerClient: 100, PerPlace: 100} }

// ask adds a request.
func (d *counter) ask(secret string) storage.DeviceRequest {
	d.Helper()
	r := NewDeviceRequest(secret, d.now())
	d.ok(d.devices.AskDevice(d.ctx(), r, roomy()))
	return r
}

func (d *counter) scan(code string, by storage.Session) (storage.DeviceRequest, error) {
	return d.devices.ScanDevice(d.ctx(), storage.DeviceScan{
		Code: code, User: by.User, Bearer: storage.Bearer{Session: by.ID}, PerUser: 10, Audit: NewAudit("scan", d.now()), Now: d.now(),
	})
}

func (d *counter) decide(id storage.HandoffID, by storage.Session, approve bool, number string) (storage.DeviceRequest, error) {
	return d.devices.DecideDevice(d.ctx(), storage.DeviceDecision{
		ID: id, Approve: approve, Number: number, MaxWrong: maxWrong, User: by.User, Bearer: storage.Bearer{Session: by.ID},
		ScopeLimit: "profile", Audit: NewAudit("decide", d.now()), Now: d.now(),
	})
}

// approved is a request that tom's phone has approved.
func (d *counter) approved(secret string) storage.DeviceRequest {
	d.Helper()
	r := d.ask(secret)
	_, err := d.scan(r.Code, d.phone)
	d.ok(err)
	r, err = d.decide(r.ID, d.phone, true, Number)
	d.ok(err)
	return r
}

// redeem opens a session on the browser terminal for a claim.
func (d *counter) redeem(user storage.UserID, c storage.HandoffClaim) (storage.Opened, error) {
	o := NewOpening(user, storage.Concurrent, d.now())
	o.MaxSessions, o.Claim = 10, &c
	return d.Open(d.ctx(), o)
}

func claimOf(r storage.DeviceRequest) storage.HandoffClaim {
	return storage.HandoffClaim{Kind: storage.HandoffDevice, ID: r.ID, Hash: r.Hash, By: r.ApprovedBy, Client: ClientID, ApprovedAt: *r.DecidedAt}
}

func claimLogin(t storage.LoginToken) storage.HandoffClaim {
	return storage.HandoffClaim{Kind: storage.HandoffLogin, ID: t.ID, Hash: t.Hash, By: t.IssuedBy, Client: t.Client, ApprovedAt: t.CreatedAt}
}

func (d *counter) stateOf(r storage.DeviceRequest, want storage.HandoffState) {
	d.Helper()
	got, err := d.devices.Device(d.ctx(), r.Hash)
	d.ok(err)
	d.same(got.StateAt(d.now()), want)
}

func deviceRoundTrip(d *counter) {
	want := d.ask("a")
	for _, get := range []func() (storage.DeviceRequest, error){
		func() (storage.DeviceRequest, error) { return d.devices.Device(d.ctx(), want.Hash) },
		func() (storage.DeviceRequest, error) { return d.devices.DeviceByID(d.ctx(), want.ID) },
		func() (storage.DeviceRequest, error) { return d.devices.DeviceByCode(d.ctx(), want.Code, d.now()) },
	} {
		got, err := get()
		d.ok(err)
		d.same(got, want)
	}
	_, err := d.devices.Device(d.ctx(), storage.HandoffHash{1})
	d.is(err, storage.ErrNotFound)
	_, err = d.devices.DeviceByCode(d.ctx(), "", d.now())
	d.is(err, storage.ErrNotFound)
}

func deviceUnique(d *counter) {
	d.ask("a")
	sameCode, sameHash := NewDeviceRequest("b", d.now()), NewDeviceRequest("a", d.now())
	sameHash.Code = "other"
	d.is(d.devices.AskDevice(d.ctx(), sameCode, roomy()), storage.ErrExists)
	d.is(d.devices.AskDevice(d.ctx(), sameHash, roomy()), storage.ErrExists)
}

func deviceLimits(d *counter) {
	r := d.ask("a")
	next := NewDeviceRequest("b", d.now())
	next.Code = "other"
	d.is(d.devices.AskDevice(d.ctx(), next, storage.DeviceLimits{PerClient: 1, PerPlace: 100}), storage.ErrLimit)
	d.is(d.devices.AskDevice(d.ctx(), next, storage.DeviceLimits{PerClient: 100, PerPlace: 1}), storage.ErrLimit)
	_, err := d.scan(r.Code, d.phone)
	d.ok(err)
	next.Place = "" // a place without a limit
	d.ok(d.devices.AskDevice(d.ctx(), next, storage.DeviceLimits{PerClient: 2, PerPlace: 1}))
	_, err = d.devices.ScanDevice(d.ctx(), storage.DeviceScan{
		Code: next.Code, User: d.tom.ID, Bearer: storage.Bearer{Session: d.phone.ID}, PerUser: 1, Now: d.now(),
	})
	d.is(err, storage.ErrLimit)
	_, err = d.decide(r.ID, d.phone, false, "")
	d.ok(err)
	third := NewDeviceRequest("c", d.now())
	third.Code = "third"
	d.ok(d.devices.AskDevice(d.ctx(), third, storage.DeviceLimits{PerClient: 2, PerPlace: 1})) // what is over does not count
}

func (d *counter) turn(r storage.DeviceRequest, from int64, code string) (storage.DeviceRequest, error) {
	return d.devices.TurnDevice(d.ctx(), storage.DeviceTurn{Hash: r.Hash, From: from, Code: code, OldUntil: d.now().Add(5 * time.Second), Now: d.now()})
}

func deviceTurn(d *counter) {
	r := d.ask("a")
	d.clock.Advance(time.Minute)
	turned, err := d.turn(r, 0, "second")
	d.ok(err)
	d.same([]any{turned.Code, turned.OldCode, turned.Rotation, turned.RotatedAt}, []any{"second", r.Code, int64(1), storage.Instant(d.now())})
	_, err = d.turn(r, 0, "third")
	d.is(err, storage.ErrStale)
	for _, code := range []string{"second", r.Code} {
		found, err := d.devices.DeviceByCode(d.ctx(), code, d.now())
		d.ok(err)
		d.same(found.ID, r.ID)
	}
	d.clock.Advance(5 * time.Second)
	_, err = d.devices.DeviceByCode(d.ctx(), r.Code, d.now())
	d.is(err, storage.ErrNotFound)
	_, err = d.scan(r.Code, d.phone)
	d.is(err, storage.ErrNotFound)
	_, err = d.scan("second", d.phone)
	d.ok(err)
	_, err = d.turn(r, 1, "fourth") // what is scanned is not replaced
	d.is(err, storage.ErrStale)
}

func deviceScan(d *counter) {
	r := d.ask("a")
	got, err := d.scan(r.Code, d.phone)
	d.ok(err)
	d.same([]any{got.State, got.User, got.ScannedBy}, []any{storage.HandoffScanned, d.tom.ID, d.phone.ID})
	again, err := d.scan(r.Code, d.phone)
	d.ok(err)
	d.same(again, got)
	_, err = d.scan(r.Code, d.other)
	d.is(err, storage.ErrTaken)
	_, err = d.decide(r.ID, d.other, false, "")
	d.is(err, storage.ErrTaken)
	_, err = d.scan("nonsense", d.phone)
	d.is(err, storage.ErrNotFound)
}

func deviceApprove(d *counter) {
	r := d.ask("a")
	_, err := d.decide(r.ID, d.phone, true, Number)
	d.is(err, storage.ErrStale)
	_, err = d.scan(r.Code, d.phone)
	d.ok(err)
	_, err = d.decide(r.ID, d.other, true, Number)
	d.is(err, storage.ErrTaken)
	got, err := d.decide(r.ID, d.phone, true, Number)
	d.ok(err)
	d.same([]any{got.State, got.ApprovedBy, got.ScopeLimit}, []any{storage.HandoffApproved, d.phone.ID, "profile"})
	_, err = d.decide(r.ID, d.phone, true, Number)
	d.is(err, storage.ErrConsumed)
	_, err = d.decide("none", d.phone, true, Number)
	d.is(err, storage.ErrNotFound)
}

func deviceWrong(d *counter) {
	r := d.ask("a")
	_, err := d.scan(r.Code, d.phone)
	d.ok(err)
	for range maxWrong {
		_, err = d.decide(r.ID, d.phone, true, "08")
		d.is(err, storage.ErrWrongNumber)
	}
	_, err = d.decide(r.ID, d.phone, true, Number)
	d.is(err, storage.ErrConsumed)
	got, err := d.devices.Device(d.ctx(), r.Hash)
	d.ok(err)
	d.same([]any{got.State, got.Why, got.Wrong}, []any{storage.HandoffDenied, storage.DeniedForNumbers, maxWrong})
}

func deviceOver(d *counter) {
	denied := d.approved("a") // also what was approved can be taken back
	_, err := d.decide(denied.ID, d.phone, false, "")
	d.ok(err)
	d.stateOf(denied, storage.HandoffDenied)
	_, err = d.redeem(d.tom.ID, claimOf(denied))
	d.is(err, storage.ErrConsumed)

	d.clock.Advance(time.Second)
	r := NewDeviceRequest("b", d.now())
	r.Code = "other"
	d.ok(d.devices.AskDevice(d.ctx(), r, roomy()))
	_, err = d.devices.CancelDevice(d.ctx(), r.Hash, "another", nil, d.now())
	d.is(err, storage.ErrNotFound)
	_, err = d.devices.CancelDevice(d.ctx(), r.Hash, ClientID, NewAudit("cancel", d.now()), d.now())
	d.ok(err)
	d.stateOf(r, storage.HandoffCancelled)
	_, err = d.devices.CancelDevice(d.ctx(), r.Hash, ClientID, nil, d.now())
	d.is(err, storage.ErrConsumed)
	_, err = d.scan(r.Code, d.phone)
	d.is(err, storage.ErrConsumed)
}

func deviceExpiry(d *counter) {
	r := d.approved("a")
	d.clock.Advance(DeviceTTL - time.Microsecond)
	d.stateOf(r, storage.HandoffApproved)
	d.clock.Advance(time.Microsecond)
	d.stateOf(r, storage.HandoffExpired)
	_, err := d.redeem(d.tom.ID, claimOf(r))
	d.is(err, storage.ErrConsumed)
	_, err = d.scan(r.Code, d.phone)
	d.is(err, storage.ErrExpired)
	_, err = d.decide(r.ID, d.phone, false, "")
	d.is(err, storage.ErrExpired)
	_, err = d.devices.CancelDevice(d.ctx(), r.Hash, ClientID, nil, d.now())
	d.is(err, storage.ErrConsumed)
	d.same(len(d.live(d.tom.ID)), 1)
}

func (d *counter) kick(s storage.Session) {
	d.Helper()
	d.mustEnd(storage.EndOrder{User: s.User, Session: s.ID, Reason: storage.Kicked, Now: d.now()})
}

func devicePhoneEnded(d *counter) {
	r := d.ask("a")
	d.kick(d.phone)
	_, err := d.scan(r.Code, d.phone)
	d.ended(err, storage.Kicked)
	phone := d.signIn(d.tom.ID, storage.Kickout, "next phone").Session
	_, err = d.scan(r.Code, phone)
	d.ok(err)
	d.kick(phone)
	_, err = d.decide(r.ID, phone, true, Number)
	d.ended(err, storage.Kicked)
	d.stateOf(r, storage.HandoffScanned)
}

func deviceKickedBetween(d *counter) {
	r := d.approved("a")
	d.kick(d.phone)
	_, err := d.redeem(d.tom.ID, claimOf(r))
	d.ended(err, storage.Kicked)
	d.same(len(d.live(d.tom.ID)), 0)
}

func deviceBannedBetween(d *counter) {
	r := d.approved("a")
	d.mustEnd(storage.EndOrder{
		User: d.tom.ID, Reason: storage.Banned, Now: d.now(), Account: &storage.AccountChange{Ban: &storage.Ban{At: d.now()}},
	})
	_, err := d.redeem(d.tom.ID, claimOf(r))
	d.is(err, storage.ErrDisabled)
	d.same(len(d.live(d.tom.ID)), 0)
}

func deviceRedeem(d *counter) {
	r := d.approved("a")
	out, err := d.redeem(d.tom.ID, claimOf(r))
	d.ok(err)
	d.stateOf(r, storage.HandoffRedeemed)
	got, err := d.devices.Device(d.ctx(), r.Hash)
	d.ok(err)
	d.same(got.Session, out.Session.ID)
	starts, err := d.starts.Starts(d.ctx(), d.tom.ID)
	d.ok(err)
	d.same(starts, []storage.Start{{Session: out.Session.ID, Origin: d.phone.ID}})
	_, err = d.redeem(d.tom.ID, claimOf(r))
	d.is(err, storage.ErrConsumed)
	d.kick(d.phone) // the new session is its own
	d.same(d.live(d.tom.ID), []storage.SessionID{out.Session.ID})
}

func deviceFalseClaim(d *counter) {
	r := d.approved("a")
	for name, change := range map[string]func(*storage.HandoffClaim){
		"another hash":  func(c *storage.HandoffClaim) { c.Hash[0]++ },
		"another id":    func(c *storage.HandoffClaim) { c.ID = "none" },
		"another phone": func(c *storage.HandoffClaim) { c.By = d.other.ID },
		"another kind":  func(c *storage.HandoffClaim) { c.Kind = storage.HandoffLogin },
	} {
		c := claimOf(r)
		change(&c)
		if _, err := d.redeem(d.tom.ID, c); !errors.Is(err, storage.ErrConsumed) {
			d.Errorf("%s: %v", name, err)
		}
	}
	_, err := d.redeem(d.amy.ID, claimOf(r))
	d.is(err, storage.ErrConsumed)
	d.stateOf(r, storage.HandoffApproved)
	d.same(len(d.live(d.tom.ID)), 1)
	d.same(len(d.live(d.amy.ID)), 1)
}

// trimHandoffs: what is over goes with the others of its kind.
func trimHandoffs(d *counter) {
	r := d.approved("a")
	_, err := d.redeem(d.tom.ID, claimOf(r))
	d.ok(err)
	d.ok(d.logins.IssueLogin(d.ctx(), NewLoginToken("b", d.phone, d.now()), storage.Bearer{Session: d.phone.ID}, 5, nil))
	for _, kind := range []storage.TrimKind{storage.TrimDevices, storage.TrimLogins, storage.TrimStarts} {
		n, err := d.Trim(d.ctx(), kind, d.now(), 10)
		d.ok(err)
		d.same(n, 0)
		n, err = d.Trim(d.ctx(), kind, d.now().Add(SessionTTL+time.Hour), 10)
		d.ok(err)
		d.same(n, 1)
	}
	_, err = d.devices.Device(d.ctx(), r.Hash)
	d.is(err, storage.ErrNotFound)
}
