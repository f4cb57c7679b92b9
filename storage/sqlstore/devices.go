package sqlstore

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Devices = (*DB)(nil)

const (
	deviceColumns = "request_id, device_hash, code, old_code, old_until, rotation, rotated_at, state, client_id, product, terminal, scope, " +
		"device_id, device_name, address, user_agent, place, number, wrong, user_id, scanned_by, approved_by, session_id, scope_limit, why, " +
		"created_at, decided_at, expires_at"

	insertDevice = "INSERT INTO device_requests (" + deviceColumns +
		") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	selectDevice     = "SELECT " + deviceColumns + " FROM device_requests WHERE request_id = ?"
	selectDeviceHash = "SELECT " + deviceColumns + " FROM device_requests WHERE device_hash = ?"
	selectDeviceCode = "SELECT " + deviceColumns + " FROM device_requests WHERE code = ?"
	selectDeviceOld  = "SELECT " + deviceColumns + " FROM device_requests WHERE old_code = ? AND old_until > ? ORDER BY old_until DESC LIMIT 1"

	countDevicesClient = "SELECT COUNT(*) FROM device_requests WHERE client_id = ? AND expires_at > ? AND state IN ('new', 'scanned', 'approved')"
	countDevicesPlace  = "SELECT COUNT(*) FROM device_requests WHERE place = ? AND expires_at > ? AND state IN ('new', 'scanned', 'approved')"
	countDevicesUser   = "SELECT COUNT(*) FROM device_requests WHERE user_id = ? AND expires_at > ? AND state IN ('scanned', 'approved')"

	// Each step of a request is one of these. What it depends on stands in its condition.
	turnDevice = "UPDATE device_requests SET old_code = code, old_until = ?, code = ?, rotation = rotation + 1, rotated_at = ? " +
		"WHERE device_hash = ? AND rotation = ? AND state = 'new' AND expires_at > ?"
	scanDevice = "UPDATE device_requests SET state = 'scanned', user_id = ?, scanned_by = ? " +
		"WHERE request_id = ? AND state = 'new' AND expires_at > ? AND (code = ? OR (old_code = ? AND old_until > ?))"
	approveDevice = "UPDATE device_requests SET state = 'approved', approved_by = ?, scope_limit = ?, decided_at = ? " +
		"WHERE request_id = ? AND state = 'scanned' AND user_id = ? AND expires_at > ?"
	mistakeDevice = "UPDATE device_requests SET wrong = wrong + 1 WHERE request_id = ? AND state = 'scanned' AND user_id = ? AND expires_at > ?"
	denyDevice    = "UPDATE device_requests SET state = 'denied', user_id = ?, why = ?, decided_at = ? " +
		"WHERE request_id = ? AND state IN ('new', 'scanned', 'approved') AND (user_id = '' OR user_id = ?) AND expires_at > ?"
	cancelDevice = "UPDATE device_requests SET state = 'cancelled' WHERE device_hash = ? AND client_id = ? AND " +
		"state IN ('new', 'scanned', 'approved') AND expires_at > ?"
	redeemDevice = "UPDATE device_requests SET state = 'redeemed', session_id = ? " +
		"WHERE request_id = ? AND device_hash = ? AND user_id = ? AND approved_by = ? AND state = 'approved' AND expires_at > ?"
)

// AskDevice implements [storage.Devices].
func (db *DB) AskDevice(ctx context.Context, r storage.DeviceRequest, limits storage.DeviceLimits) error {
	now := micros(storage.Instant(r.CreatedAt))
	return db.write(ctx, "ask for a device", func(ctx context.Context, tx *sql.Tx) error {
		if err := under(ctx, tx, limits.PerClient, countDevicesClient, string(r.Client), now); err != nil {
			return err
		}
		if r.Place != "" {
			if err := under(ctx, tx, limits.PerPlace, countDevicesPlace, r.Place, now); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, insertDevice, string(r.ID), r.Hash[:], r.Code, "", 0, 0, now, string(storage.HandoffNew),
			string(r.Client), r.Product, string(r.Terminal), r.Scope, r.Device.ID, r.Device.Name, r.Device.Address, r.Device.UserAgent,
			r.Place, r.Number, 0, "", "", "", "", "", "", now, nil, micros(storage.Instant(r.ExpiresAt)))
		return err
	})
}

// under gives ErrLimit unless a statement counts fewer than a limit.
func under(ctx context.Context, q querier, limit int, count string, args ...any) error {
	var n int
	if err := q.QueryRowContext(ctx, count, args...).Scan(&n); err != nil {
		return err
	}
	if n >= limit {
		return storage.ErrLimit
	}
	return nil
}

// Device implements [storage.Devices].
func (db *DB) Device(ctx context.Context, hash storage.HandoffHash) (r storage.DeviceRequest, err error) {
	err = db.read(ctx, "device request", func(ctx context.Context, q querier) (err error) {
		r, err = scanDeviceRow(q.QueryRowContext(ctx, selectDeviceHash, hash[:]))
		return err
	})
	return r, err
}

// DeviceByID implements [storage.Devices].
func (db *DB) DeviceByID(ctx context.Context, id storage.HandoffID) (r storage.DeviceRequest, err error) {
	err = db.read(ctx, "device request by id", func(ctx context.Context, q querier) (err error) {
		r, err = scanDeviceRow(q.QueryRowContext(ctx, selectDevice, string(id)))
		return err
	})
	return r, err
}

// DeviceByCode implements [storage.Devices].
func (db *DB) DeviceByCode(ctx context.Context, code string, now time.Time) (r storage.DeviceRequest, err error) {
	err = db.read(ctx, "device request by code", func(ctx context.Context, q querier) (err error) {
		r, err = deviceByCode(ctx, q, code, now)
		return err
	})
	return r, err
}

func deviceByCode(ctx context.Context, q querier, code string, now time.Time) (storage.DeviceRequest, error) {
	r, err := scanDeviceRow(q.QueryRowContext(ctx, selectDeviceCode, code))
	if errors.Is(err, sql.ErrNoRows) {
		return scanDeviceRow(q.QueryRowContext(ctx, selectDeviceOld, code, micros(storage.Instant(now))))
	}
	return r, err
}

// TurnDevice implements [storage.Devices].
func (db *DB) TurnDevice(ctx context.Context, t storage.DeviceTurn) (r storage.DeviceRequest, err error) {
	now := micros(storage.Instant(t.Now))
	err = db.write(ctx, "turn device code", func(ctx context.Context, tx *sql.Tx) error {
		n, err := affect(ctx, tx, turnDevice, micros(storage.Instant(t.OldUntil)), t.Code, now, t.Hash[:], t.From, now)
		if err != nil {
			return err
		}
		if n == 0 {
			return storage.ErrStale
		}
		r, err = scanDeviceRow(tx.QueryRowContext(ctx, selectDeviceHash, t.Hash[:]))
		return err
	})
	return r, err
}

// ScanDevice implements [storage.Devices].
func (db *DB) ScanDevice(ctx context.Context, s storage.DeviceScan) (r storage.DeviceRequest, err error) {
	now := storage.Instant(s.Now)
	at := micros(now)
	err = db.write(ctx, "scan device code", func(ctx context.Context, tx *sql.Tx) error {
		if err := standing(ctx, tx, s.Bearer, now, db.d.ForShare); err != nil {
			return err
		}
		found, err := deviceByCode(ctx, tx, s.Code, now)
		if err != nil {
			return err
		}
		if found.User == s.User && s.User != "" {
			r = found
			return overAt(&found, now)
		}
		if err := under(ctx, tx, s.PerUser, countDevicesUser, string(s.User), at); err != nil {
			return err
		}
		n, err := affect(ctx, tx, scanDevice, string(s.User), string(s.Bearer.Session), string(found.ID), at, s.Code, s.Code, at)
		if err != nil {
			return err
		}
		if r, err = db.lockDevice(ctx, tx, found.ID); err != nil {
			return err
		}
		if n == 0 {
			return notScanned(&r, s, now)
		}
		return appendDevice(ctx, tx, s.Audit, &r)
	})
	if err != nil {
		return storage.DeviceRequest{}, err
	}
	return r, nil
}

// notScanned says why a code that was found a moment before could not be scanned.
func notScanned(r *storage.DeviceRequest, s storage.DeviceScan, now time.Time) error {
	if r.User == s.User {
		return overAt(r, now) // the same user raced with themselves
	}
	if r.User != "" {
		return storage.ErrTaken
	}
	if err := overAt(r, now); err != nil {
		return err
	}
	return storage.ErrNotFound // the code was replaced, and its grace is over
}

// overAt gives ErrExpired or ErrConsumed for a request of which nothing can become at now.
func overAt(r *storage.DeviceRequest, now time.Time) error {
	switch state := r.StateAt(now); {
	case state.Open():
		return nil
	case state == storage.HandoffExpired:
		return storage.ErrExpired
	}
	return storage.ErrConsumed
}

// DecideDevice implements [storage.Devices].
func (db *DB) DecideDevice(ctx context.Context, d storage.DeviceDecision) (r storage.DeviceRequest, err error) {
	now := storage.Instant(d.Now)
	var refused error // of a wrong number, which is committed
	err = db.write(ctx, "decide device request", func(ctx context.Context, tx *sql.Tx) error {
		refused = nil
		if err := standing(ctx, tx, d.Bearer, now, db.d.ForShare); err != nil {
			return err
		}
		var err error
		if r, err = db.lockDevice(ctx, tx, d.ID); err != nil {
			return err
		}
		if r.User != "" && r.User != d.User {
			return storage.ErrTaken
		}
		if err := overAt(&r, now); err != nil {
			return err
		}
		if !d.Approve {
			return db.deny(ctx, tx, &r, d, storage.DeniedByUser)
		}
		switch {
		case r.State == storage.HandoffNew:
			return storage.ErrStale
		case r.State == storage.HandoffApproved:
			return storage.ErrConsumed
		case subtle.ConstantTimeCompare([]byte(r.Number), []byte(d.Number)) != 1:
			refused = storage.ErrWrongNumber
			return db.mistake(ctx, tx, &r, d)
		}
		return db.approve(ctx, tx, &r, d)
	})
	if err == nil {
		err = refused
	}
	return r, err
}

func (db *DB) lockDevice(ctx context.Context, tx *sql.Tx, id storage.HandoffID) (storage.DeviceRequest, error) {
	return scanDeviceRow(tx.QueryRowContext(ctx, selectDevice+db.d.ForUpdate, string(id)))
}

func (db *DB) approve(ctx context.Context, tx *sql.Tx, r *storage.DeviceRequest, d storage.DeviceDecision) error {
	now := storage.Instant(d.Now)
	n, err := affect(ctx, tx, approveDevice, string(d.Bearer.Session), d.ScopeLimit, micros(now), string(r.ID), string(d.User), micros(now))
	if err != nil {
		return err
	}
	if n == 0 {
		return storage.ErrConsumed
	}
	r.State, r.ApprovedBy, r.ScopeLimit, r.DecidedAt = storage.HandoffApproved, d.Bearer.Session, d.ScopeLimit, &now
	return appendDevice(ctx, tx, d.Audit, r)
}

func (db *DB) deny(ctx context.Context, tx *sql.Tx, r *storage.DeviceRequest, d storage.DeviceDecision, why string) error {
	now := storage.Instant(d.Now)
	n, err := affect(ctx, tx, denyDevice, string(d.User), why, micros(now), string(r.ID), string(d.User), micros(now))
	if err != nil {
		return err
	}
	if n == 0 {
		return storage.ErrConsumed
	}
	r.State, r.User, r.Why, r.DecidedAt = storage.HandoffDenied, d.User, why, &now
	return appendDevice(ctx, tx, d.Audit, r)
}

// mistake counts a wrong number, and denies the request with the last one.
func (db *DB) mistake(ctx context.Context, tx *sql.Tx, r *storage.DeviceRequest, d storage.DeviceDecision) error {
	n, err := affect(ctx, tx, mistakeDevice, string(r.ID), string(d.User), micros(storage.Instant(d.Now)))
	if err != nil {
		return err
	}
	if n == 0 {
		return storage.ErrConsumed
	}
	r.Wrong++
	if r.Wrong < d.MaxWrong {
		return nil
	}
	if d.Audit != nil {
		audit := *d.Audit
		audit.Result = storage.DeniedForNumbers
		d.Audit = &audit
	}
	return db.deny(ctx, tx, r, d, storage.DeniedForNumbers)
}

// CancelDevice implements [storage.Devices].
func (db *DB) CancelDevice(
	ctx context.Context, hash storage.HandoffHash, client storage.ClientID, audit *storage.AuditRecord, now time.Time,
) (r storage.DeviceRequest, err error) {
	at := micros(storage.Instant(now))
	err = db.write(ctx, "cancel device request", func(ctx context.Context, tx *sql.Tx) error {
		n, err := affect(ctx, tx, cancelDevice, hash[:], string(client), at)
		if err != nil {
			return err
		}
		if r, err = scanDeviceRow(tx.QueryRowContext(ctx, selectDeviceHash, hash[:])); err != nil {
			return err
		}
		switch {
		case r.Client != client:
			return storage.ErrNotFound
		case n == 0:
			return storage.ErrConsumed
		}
		return appendDevice(ctx, tx, audit, &r)
	})
	if err != nil {
		return storage.DeviceRequest{}, err
	}
	return r, nil
}

// appendDevice appends a record about a request in the caller's transaction.
func appendDevice(ctx context.Context, tx *sql.Tx, audit *storage.AuditRecord, r *storage.DeviceRequest) error {
	if audit == nil {
		return nil
	}
	record := *audit
	record.User = r.User
	if err := appendAudit(ctx, tx, &record); err != nil {
		return fmt.Errorf("append audit: %w", err)
	}
	return nil
}

func scanDeviceRow(row scanner) (storage.DeviceRequest, error) {
	var r storage.DeviceRequest
	var hash []byte
	var oldUntil, rotated, created, expires int64
	var decided sql.NullInt64
	err := row.Scan(&r.ID, &hash, &r.Code, &r.OldCode, &oldUntil, &r.Rotation, &rotated, &r.State, &r.Client, &r.Product, &r.Terminal, &r.Scope,
		&r.Device.ID, &r.Device.Name, &r.Device.Address, &r.Device.UserAgent, &r.Place, &r.Number, &r.Wrong, &r.User, &r.ScannedBy,
		&r.ApprovedBy, &r.Session, &r.ScopeLimit, &r.Why, &created, &decided, &expires)
	if err != nil {
		return storage.DeviceRequest{}, err
	}
	copy(r.Hash[:], hash)
	if oldUntil != 0 {
		r.OldUntil = instant(oldUntil)
	}
	r.RotatedAt, r.CreatedAt, r.ExpiresAt, r.DecidedAt = instant(rotated), instant(created), instant(expires), instantOrNil(decided)
	return r, nil
}
