package keys

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// State is where a key is in its life.
type State string

// The states, in their order.
const (
	Next      State = "next"
	Signing   State = "signing"
	Verifying State = "verifying"
	Retired   State = "retired"
	// Encrypting and Decrypting are Signing and Verifying of keys that encrypt.
	Encrypting State = "encrypting"
	Decrypting State = "decrypting"
)

// Info describes a key to an operator. Nothing in it is secret.
type Info struct {
	ID        string    `json:"id"`
	Use       string    `json:"use"` // "sig" or "enc"
	Algorithm string    `json:"algorithm"`
	State     State     `json:"state"`
	CreatedAt time.Time `json:"created_at"`
	// ActiveAt is when it began, or begins, to sign.
	ActiveAt time.Time `json:"active_at"`
	// StopsAt is when it stopped, or stops, signing; nil while no key is there to follow it.
	StopsAt *time.Time `json:"stops_at,omitempty"`
	// RetirableAt is from when it can be retired without force: when the last token that it could
	// have signed has expired. Nil while that is not known.
	RetirableAt *time.Time `json:"retirable_at,omitempty"`
	RetiredAt   *time.Time `json:"retired_at,omitempty"`
}

// List reads the store and describes all keys, in the order in which they sign.
func (r *Ring) List(ctx context.Context) ([]Info, error) {
	if err := r.read(ctx); err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	now := r.config.Now()
	s := r.now.Load()
	infos := make([]Info, 0, len(s.records))
	for i := range s.records {
		infos = append(infos, r.describe(s, i, now))
	}
	return infos, nil
}

// describe tells about the record at index i as seen at now.
func (r *Ring) describe(s *snapshot, i int, now time.Time) Info {
	k := s.records[i]
	info := Info{ID: k.ID, Use: k.Use, Algorithm: k.Algorithm, CreatedAt: k.CreatedAt, ActiveAt: k.ActiveAt, RetiredAt: k.RetiredAt}
	if at, ok := s.stops(i); ok {
		// Until they have read of the next key, other processes go on with this one.
		until := at.Add(r.config.Refresh + r.config.Keep)
		info.StopsAt, info.RetirableAt = &at, &until
	}
	current, _ := s.signing(now)
	switch {
	case k.retired(now):
		info.State, info.RetirableAt = Retired, nil
	case k.ID == current.record.ID:
		info.State = Signing
	case k.ActiveAt.After(now):
		info.State = Next
	default:
		info.State = Verifying
	}
	return info
}

// Rotate makes a key, publishes it, and lets it sign from Config.Publish on. [ErrPending] if a next
// key is published already; [ErrStale] if another process rotated at the same time; [ErrTooMany] if
// old keys have to be retired first.
func (r *Ring) Rotate(ctx context.Context) (Info, error) {
	if err := r.read(ctx); err != nil {
		return Info{}, fmt.Errorf("rotate: %w", err)
	}
	now := r.config.Now()
	for _, e := range r.now.Load().published {
		if e.record.ActiveAt.After(now) {
			return Info{}, fmt.Errorf("rotate: %w: %s signs from %s", ErrPending, e.record.ID, e.record.ActiveAt.Format(time.RFC3339))
		}
	}
	info, err := r.add(ctx, r.config.Publish)
	if err != nil {
		return Info{}, fmt.Errorf("rotate: %w", err)
	}
	return info, nil
}

// RotateNow makes a key that signs at once, for emergencies. Guards that cache the JWKS elsewhere do
// not know it yet, and refuse its tokens until they ask again. A next key stays next; if it may have
// leaked too, retire it.
func (r *Ring) RotateNow(ctx context.Context) (Info, error) {
	err := r.read(ctx)
	if err == nil {
		var info Info
		if info, err = r.add(ctx, 0); err == nil {
			return info, nil
		}
	}
	return Info{}, fmt.Errorf("rotate now: %w", err)
}

// add makes a key that signs after the given time, stores it behind the newest of the snapshot, and
// reads the ring again.
func (r *Ring) add(ctx context.Context, publish time.Duration) (Info, error) {
	s := r.now.Load()
	if len(s.published) >= maxPublished {
		return Info{}, fmt.Errorf("%w: %d", ErrTooMany, len(s.published))
	}
	record, err := r.newRecord(s, publish)
	if err != nil {
		return Info{}, err
	}
	after, _ := s.newest()
	if err := r.config.Store.AddKey(ctx, record, after.ID); err != nil {
		return Info{}, fmt.Errorf("add key: %w", err)
	}
	r.config.Log.InfoContext(ctx, "key added", "kid", record.ID, "algorithm", record.Algorithm, "signs_from", record.ActiveAt)
	if err := r.read(ctx); err != nil {
		return Info{}, fmt.Errorf("key %s was added: %w", record.ID, err)
	}
	s = r.now.Load()
	for i, k := range s.records {
		if k.ID == record.ID {
			return r.describe(s, i, r.config.Now()), nil
		}
	}
	return Info{}, fmt.Errorf("key %s was added and is not in the store", record.ID)
}

// newRecord makes and seals a key. It is created after all others, whatever the clock says, so that
// "the newest" is never in doubt.
func (r *Ring) newRecord(s *snapshot, publish time.Duration) (Record, error) {
	private, err := generate(r.config.Algorithm)
	if err != nil {
		return Record{}, fmt.Errorf("generate key: %w", err)
	}
	id, err := thumbprint(private.Public())
	if err != nil {
		return Record{}, fmt.Errorf("name key: %w", err)
	}
	created := r.config.Now().UTC().Truncate(time.Microsecond)
	active := created.Add(publish)
	if newest, ok := s.newest(); ok && !created.After(newest.CreatedAt) {
		created = newest.CreatedAt.Add(time.Microsecond)
	}
	record := Record{ID: id, Use: r.config.use, Algorithm: r.config.Algorithm, CreatedAt: created, ActiveAt: active}
	record.Sealed, err = r.vault.seal(record, private)
	return record, err
}

// Retire withdraws a key: what it signed is refused from now on. Without force it refuses, with
// [ErrInUse], a key that signs, that is about to, or that stopped less than Config.Keep ago. Forced on
// the key that signs, it first puts a new one in its place, which signs at once. A key that is retired
// already stays as it is; [ErrUnknownKey] if there is none of that identifier.
func (r *Ring) Retire(ctx context.Context, id string, force bool) error {
	infos, err := r.List(ctx)
	if err != nil {
		return fmt.Errorf("retire: %w", err)
	}
	now := r.config.Now()
	for _, k := range infos {
		if k.ID != id {
			continue
		}
		if k.State == Retired {
			return nil
		}
		if err := r.mayRetire(k, now); err != nil && !force {
			return fmt.Errorf("retire %s: %w", id, err)
		}
		return r.retire(ctx, k)
	}
	return fmt.Errorf("retire %s: %w", id, ErrUnknownKey)
}

// mayRetire says why a key may not be retired without force.
func (r *Ring) mayRetire(k Info, now time.Time) error {
	switch {
	case k.State == Signing:
		return fmt.Errorf("%w: it signs; rotate first", ErrInUse)
	case k.State == Next && k.ActiveAt.Sub(now) <= 2*r.config.Refresh:
		// Others must have read that it is withdrawn before they would sign with it.
		return fmt.Errorf("%w: it signs from %s", ErrInUse, k.ActiveAt.Format(time.RFC3339))
	case k.State == Verifying && k.RetirableAt != nil && now.Before(*k.RetirableAt):
		return fmt.Errorf("%w: its tokens may live until %s", ErrInUse, k.RetirableAt.Format(time.RFC3339))
	}
	return nil
}

// replace sees to it that another key signs than the one given. Where two operators do this at once, one
// replacement is enough; where the other only made a next key, it is not, or the key before would sign
// again.
func (r *Ring) replace(ctx context.Context, id string) error {
	for range addAttempts {
		if e, ok := r.now.Load().signing(r.config.Now()); ok && e.record.ID != id {
			return nil
		}
		_, err := r.add(ctx, 0)
		if err == nil || !errors.Is(err, ErrStale) {
			return err
		}
		if err := r.read(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w, %d times", ErrStale, addAttempts)
}

func (r *Ring) retire(ctx context.Context, k Info) error {
	if k.State == Signing {
		if err := r.replace(ctx, k.ID); err != nil {
			return fmt.Errorf("replace %s: %w", k.ID, err)
		}
	}
	at := r.config.Now().UTC().Truncate(time.Microsecond)
	if err := r.config.Store.RetireKey(ctx, k.ID, at); err != nil {
		return fmt.Errorf("retire %s: %w", k.ID, err)
	}
	r.config.Log.InfoContext(ctx, "key retired", "kid", k.ID, "state", string(k.State))
	if err := r.read(ctx); err != nil {
		return fmt.Errorf("%s was retired: %w", k.ID, err)
	}
	return nil
}

// RetireAll withdraws every published key of a store without opening any, for the day on which the
// encryption key is lost or has to be replaced: all tokens die, and the next [Open] makes a first key.
// It returns how many it withdrew.
func RetireAll(ctx context.Context, store Store, now time.Time) (int, error) {
	all, err := store.ListKeys(ctx)
	if err != nil {
		return 0, fmt.Errorf("retire all: list keys: %w", err)
	}
	n := 0
	for _, k := range all {
		if k.Use != useSignature && k.Use != useEncryption || k.retired(now) {
			continue
		}
		if err := store.RetireKey(ctx, k.ID, now.UTC().Truncate(time.Microsecond)); err != nil {
			return n, fmt.Errorf("retire all: %s: %w", k.ID, err)
		}
		n++
	}
	return n, nil
}
