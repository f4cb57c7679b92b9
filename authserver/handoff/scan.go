package handoff

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/storage"
)

// Asking says who asks to be signed in, for people who decide whether that is theirs.
type Asking struct {
	Request    storage.HandoffID    `json:"request_id"`
	State      storage.HandoffState `json:"state"`
	Client     storage.ClientID     `json:"client"`
	ClientName string               `json:"client_name"`
	Product    string               `json:"product"`
	Terminal   storage.Terminal     `json:"terminal"`
	DeviceName string               `json:"device_name"`
	Address    string               `json:"address"`
	Browser    string               `json:"browser"`
	Scope      string               `json:"scope"`
	AskedAt    time.Time            `json:"requested_at"`
	ExpiresAt  time.Time            `json:"expires_at"`
}

func (d *Desk) asking(ctx context.Context, r *storage.DeviceRequest, now time.Time) (Asking, error) {
	c, err := d.cfg.Clients.Client(ctx, r.Client)
	if err != nil {
		return Asking{}, fmt.Errorf("read client: %w", err)
	}
	return Asking{
		Request: r.ID, State: r.StateAt(now), Client: r.Client, ClientName: c.Name, Product: r.Product, Terminal: r.Terminal,
		DeviceName: r.Device.Name, Address: r.Device.Address, Browser: Browser(r.Device.UserAgent), Scope: r.Scope,
		AskedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
	}, nil
}

// Scan makes a request the user's and says who asks. It approves nothing. The same user may scan again.
func (d *Desk) Scan(ctx context.Context, by By, typed string) (Asking, error) {
	now := d.now()
	var asking Asking
	err := d.byCode(ctx, by, typed, now, func(ctx context.Context, found *storage.DeviceRequest) error {
		if err := d.mayHandOver(ctx, by, found.Product); err != nil {
			return err
		}
		code, _ := ParseCode(typed)
		r, err := d.cfg.Store.ScanDevice(ctx, storage.DeviceScan{
			Code: code, User: by.User, Bearer: by.Bearer(), PerUser: MaxPerUser, Audit: d.about(by, audit.DeviceScanned, found, now), Now: now,
		})
		if err != nil {
			return refusal(fmt.Errorf("scan: %w", err))
		}
		d.metrics.step(storage.HandoffDevice, "scanned")
		d.bell.ring(r.ID)
		asking, err = d.asking(ctx, &r, now)
		return err
	})
	return asking, err
}

// byCode finds the request of a public code and calls use with it. Codes that there are not count as guesses.
func (d *Desk) byCode(
	ctx context.Context, by By, typed string, now time.Time, use func(context.Context, *storage.DeviceRequest) error,
) error {
	var found storage.DeviceRequest
	var missing bool
	err := d.cfg.Brake.TryUserCode(ctx, by.User, by.Address, func(ctx context.Context) (bool, error) {
		code, ok := ParseCode(typed)
		if !ok {
			missing = true
			return false, nil
		}
		var err error
		found, err = d.cfg.Store.DeviceByCode(ctx, code, now)
		missing = errors.Is(err, storage.ErrNotFound)
		if missing {
			err = nil
		}
		return !missing, err
	})
	if err != nil {
		return err
	}
	if missing {
		return unknownCode(nil)
	}
	return use(ctx, &found)
}

// Which names a request to decide: by its public code, or by its identifier.
type Which struct {
	UserCode string
	Request  storage.HandoffID
}

// Approve lets a device in that this user has scanned, with the number that its screen shows. The user's
// session is looked at again in the same transaction.
func (d *Desk) Approve(ctx context.Context, by By, which Which, number string) (Asking, error) {
	return d.decide(ctx, by, which, audit.DeviceApproved, storage.DeviceDecision{Approve: true, Number: number})
}

// Deny refuses a device, also one that was approved and has not collected its tokens yet.
func (d *Desk) Deny(ctx context.Context, by By, which Which) (Asking, error) {
	return d.decide(ctx, by, which, audit.DeviceDenied, storage.DeviceDecision{})
}

func (d *Desk) decide(ctx context.Context, by By, which Which, action string, decision storage.DeviceDecision) (Asking, error) {
	now := d.now()
	var asking Asking
	use := func(ctx context.Context, found *storage.DeviceRequest) error {
		if decision.Approve {
			if err := d.mayHandOver(ctx, by, found.Product); err != nil {
				return err
			}
		}
		decision.ID, decision.MaxWrong, decision.User, decision.Bearer, decision.ScopeLimit = found.ID, MaxWrong, by.User, by.Bearer(), by.Scope
		decision.Audit, decision.Now = d.about(by, action, found, now), now
		r, err := d.cfg.Store.DecideDevice(ctx, decision)
		if errors.Is(err, storage.ErrWrongNumber) {
			d.metrics.step(storage.HandoffDevice, "wrong_number")
			d.bell.ring(found.ID)
			return wrongNumber(MaxWrong-r.Wrong, err)
		}
		if err != nil {
			return refusal(fmt.Errorf("decide: %w", err))
		}
		d.metrics.step(storage.HandoffDevice, string(r.State))
		d.bell.ring(r.ID)
		asking, err = d.asking(ctx, &r, now)
		return err
	}
	switch {
	case (which.UserCode == "") == (which.Request == ""):
		return asking, oauth.New(oauth.InvalidRequest, "one of user_code and request_id is needed")
	case which.UserCode != "":
		return asking, d.byCode(ctx, by, which.UserCode, now, use)
	case len(which.Request) != storage.IDLength:
		return asking, unknownCode(nil)
	}
	found, err := d.cfg.Store.DeviceByID(ctx, which.Request)
	if err != nil {
		return asking, refusal(fmt.Errorf("decide: %w", err))
	}
	return asking, use(ctx, &found)
}

// about is the audit record of a step: who asked, and what.
func (d *Desk) about(by By, action string, r *storage.DeviceRequest, now time.Time) *storage.AuditRecord {
	record := by.record(action, now)
	record.Detail = audit.Detail("request", r.ID, "asking_client", r.Client, "product", r.Product, "terminal", r.Terminal,
		"asking_device", r.Device.Name, "asking_address", r.Device.Address)
	return record
}

func cancelRecord(r *storage.DeviceRequest, address string, now time.Time) storage.AuditRecord {
	record := audit.Origin{Actor: "client:" + string(r.Client), Client: r.Client, Address: address}.Record(audit.DeviceCancelled, now)
	record.Detail = audit.Detail("request", r.ID)
	return record
}
