package handoff

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Ask is a device that asks to be signed in. Its client is authenticated and may use the grant.
type Ask struct {
	Client storage.Client
	// Product, Terminal and Scope are as the device gave them; empty for what the client has first, or all.
	Product  string
	Terminal string
	Scope    string
	// Device is what it says of itself, and where it comes from.
	Device storage.Device
}

// Waiting is what a device holds while it waits. DeviceCode is the secret that alone can collect the tokens;
// it never enters the QR.
type Waiting struct {
	DeviceCode secret.Text
	Request    storage.DeviceRequest
	Shown      Shown
	// At is when it was decided: what is left is counted from here.
	At time.Time
}

// Shown is what the asking screen shows in this minute.
type Shown struct {
	UserCode string // in two halves
	URI      string // where to type it
	Complete string // where the QR leads to
	QR       string // an SVG
	// Until is when the screen should ask for the next.
	Until time.Time
}

// Ask begins the hand-off of a device that asks to be signed in.
func (d *Desk) Ask(ctx context.Context, a Ask) (Waiting, error) {
	now := d.now()
	r, err := d.request(a, now)
	if err != nil {
		return Waiting{}, err
	}
	code, hash := newSecret(prefixDevice)
	r.Hash = hash
	limits := storage.DeviceLimits{PerClient: MaxPerClient, PerPlace: MaxPerAddress}
	for try := 1; ; try++ {
		r.Code = newCode()
		err = d.cfg.Store.AskDevice(ctx, r, limits)
		if !errors.Is(err, storage.ErrExists) || try == tries {
			break
		}
	}
	if err != nil {
		return Waiting{}, refusal(fmt.Errorf("ask for a device: %w", err))
	}
	d.metrics.step(storage.HandoffDevice, "asked")
	shown, err := d.shown(&r)
	return Waiting{DeviceCode: code, Request: r, Shown: shown, At: now}, err
}

func (d *Desk) request(a Ask, now time.Time) (storage.DeviceRequest, error) {
	r := storage.DeviceRequest{
		ID: storage.HandoffID(storage.NewID(now)), State: storage.HandoffNew, Client: a.Client.ID, Device: a.Device,
		Number: newNumber(), CreatedAt: now, RotatedAt: now, ExpiresAt: now.Add(RequestTTL),
	}
	var err error
	if r.Product, err = client.Product(a.Client, a.Product); err != nil {
		return r, err
	}
	if r.Terminal, err = client.Terminal(a.Client, a.Terminal); err != nil {
		return r, err
	}
	if _, err = d.cfg.Rules.Rule(r.Product, r.Terminal); err != nil {
		return r, err
	}
	if r.Scope, err = client.Scope(a.Client, a.Scope); err != nil {
		return r, err
	}
	if a.Client.Kind == storage.Public { // a server speaks for all its users from one address
		r.Place = place(a.Device.Address)
	}
	return r, nil
}

// shown draws what the screen of a request shows.
func (d *Desk) shown(r *storage.DeviceRequest) (Shown, error) {
	s := Shown{UserCode: shownCode(r.Code), URI: d.cfg.Issuer + "/device", Until: earlier(r.RotatedAt.Add(TurnAfter), r.ExpiresAt)}
	s.Complete = s.URI + "?user_code=" + url.QueryEscape(s.UserCode)
	var err error
	s.QR, err = QR(s.Complete)
	return s, err
}

// Look says where the hand-off of a waiting device stands, by the secret it holds. While nobody has scanned
// it and the public code has been shown for long enough, it is replaced: so the code of a device that never
// looks, as plain RFC 8628 clients do, stays good until the end.
func (d *Desk) Look(ctx context.Context, code secret.Text) (Waiting, error) {
	now := d.now()
	hash, ok := hashOf(prefixDevice, code)
	if !ok {
		return Waiting{}, unknownDevice(nil)
	}
	r, err := d.cfg.Store.Device(ctx, hash)
	if errors.Is(err, storage.ErrNotFound) {
		return Waiting{}, unknownDevice(err)
	}
	if err != nil {
		return Waiting{}, fmt.Errorf("look at device: %w", err)
	}
	if r, err = d.turn(ctx, r, now); err != nil {
		return Waiting{}, err
	}
	w := Waiting{DeviceCode: code, Request: r, At: now}
	if r.StateAt(now) == storage.HandoffNew {
		w.Shown, err = d.shown(&r)
	}
	return w, err
}

// turn replaces the public code of a request if it is time.
func (d *Desk) turn(ctx context.Context, r storage.DeviceRequest, now time.Time) (storage.DeviceRequest, error) {
	for try := 1; due(&r, now); try++ {
		turned, err := d.cfg.Store.TurnDevice(ctx, storage.DeviceTurn{
			Hash: r.Hash, From: r.Rotation, Code: newCode(), OldUntil: now.Add(Grace), Now: now,
		})
		switch {
		case err == nil:
			d.metrics.step(storage.HandoffDevice, "turned")
			return turned, nil
		case errors.Is(err, storage.ErrStale): // turned, scanned or over meanwhile
			return d.cfg.Store.Device(ctx, r.Hash)
		case !errors.Is(err, storage.ErrExists) || try == tries:
			return r, fmt.Errorf("turn device: %w", err)
		}
	}
	return r, nil
}

// due says whether a public code has been shown for long enough, and another would be worth showing.
func due(r *storage.DeviceRequest, now time.Time) bool {
	return r.StateAt(now) == storage.HandoffNew && !now.Before(r.RotatedAt.Add(TurnAfter)) && now.Add(Grace).Before(r.ExpiresAt)
}

// Cancel ends the hand-off of a waiting device that does not want any more.
func (d *Desk) Cancel(ctx context.Context, code secret.Text, address string) error {
	now := d.now()
	hash, ok := hashOf(prefixDevice, code)
	if !ok {
		return unknownDevice(nil)
	}
	r, err := d.cfg.Store.Device(ctx, hash)
	if err == nil {
		record := cancelRecord(&r, address, now)
		r, err = d.cfg.Store.CancelDevice(ctx, hash, r.Client, &record, now)
	}
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return unknownDevice(err)
	case err != nil:
		return refusal(fmt.Errorf("cancel device: %w", err))
	}
	d.metrics.step(storage.HandoffDevice, "cancelled")
	d.bell.ring(r.ID)
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
