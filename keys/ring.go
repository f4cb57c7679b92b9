package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of the ring.
const (
	// readTimeout bounds one read of the store.
	readTimeout = 3 * time.Second
	// rereadEvery is the least time between two reads that unknown identifiers cause: strangers can
	// make the ring read the store so often and no oftener.
	rereadEvery = 200 * time.Millisecond
	// thumbprintLength is that of every identifier; others are unknown without asking the store.
	thumbprintLength = 43
	// addAttempts bounds how often a first key, or a replacement, is tried for.
	addAttempts = 5
	// maxPublished bounds the keys that are not retired, and so the JWKS.
	maxPublished = 64
)

// Ring is the key ring. Its methods may be called by any number of goroutines.
type Ring struct {
	config Config
	vault  vault
	now    atomic.Pointer[snapshot]

	// reading serialises reads of the store, so that an older answer never replaces a newer one.
	reading sync.Mutex
	// asked and answer are when and how the last read for an unknown identifier went; reading guards them.
	asked  time.Time
	answer error

	start      sync.Once
	cancel     context.CancelFunc // set by whichever of Start and Stop comes first
	background sync.WaitGroup
}

// Open reads the ring, and makes a first key, which signs at once, when there is none. However many
// processes open an empty store at once, one key is made and all of them use it.
func Open(ctx context.Context, c Config) (*Ring, error) {
	c.use = useSignature
	return openRing(ctx, c)
}

func openRing(ctx context.Context, c Config) (*Ring, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open key ring: %w", err)
	}
	v, err := newVault(c.EncryptionKey)
	if err != nil {
		return nil, fmt.Errorf("open key ring: %w", err)
	}
	r := &Ring{config: c, vault: v}
	for range addAttempts {
		if err := r.read(ctx); err != nil {
			return nil, fmt.Errorf("open key ring: %w", err)
		}
		if len(r.now.Load().published) > 0 {
			return r, nil
		}
		if _, err := r.add(ctx, 0); err != nil && !errors.Is(err, ErrStale) {
			return nil, fmt.Errorf("open key ring: %w", err)
		}
	}
	return nil, fmt.Errorf("open key ring: %w: no first key after %d attempts", ErrStale, addAttempts)
}

// Format implements fmt.Formatter: a ring prints as its name.
func (*Ring) Format(f fmt.State, _ rune) {
	io.WriteString(f, "key ring [redacted]") //nolint:errcheck // fmt.State keeps its own errors.
}

// Start begins to read the store again every Config.Refresh. Starting twice is starting once.
func (r *Ring) Start() {
	r.start.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		r.cancel = cancel
		r.background.Go(func() { r.refresh(ctx) })
	})
}

// Stop ends the reading and returns when it has ended. Stopping twice, or before Start, does no harm;
// the ring goes on to answer from what it knows.
func (r *Ring) Stop() {
	r.start.Do(func() { r.cancel = func() {} }) // a Start that comes after Stop starts nothing
	r.cancel()
	r.background.Wait()
}

// refresh reads the store until ctx ends, and logs when it begins and when it ceases to fail.
func (r *Ring) refresh(ctx context.Context) {
	tick := time.NewTicker(r.config.Refresh)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := r.read(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			r.config.Log.WarnContext(ctx, "keys cannot be read; going on with those known", "err", err)
		} else if err == nil && failing {
			r.config.Log.InfoContext(ctx, "keys can be read again")
		}
		failing = err != nil
	}
}

// read replaces the snapshot by what the store says. On failure it stays.
func (r *Ring) read(ctx context.Context) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	return r.readLocked(ctx)
}

func (r *Ring) readLocked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	all, err := r.config.Store.ListKeys(ctx)
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}
	s, err := newSnapshot(all, r.config.use, r.config.Now(), r.vault, r.now.Load())
	if err != nil {
		return err
	}
	r.now.Store(s)
	return nil
}

// Signer returns the key that signs at now.
func (r *Ring) Signer(now time.Time) (Signer, error) {
	e, ok := r.now.Load().signing(now)
	if !ok {
		return Signer{}, fmt.Errorf("%w: none is published; rotate", ErrUnknownKey)
	}
	return e.signer, nil
}

// SignerByID returns a published key, to sign again what it has signed. [ErrUnknownKey] if it is
// retired or was never there.
func (r *Ring) SignerByID(id string) (Signer, error) {
	e, err := r.published(id)
	return e.signer, err
}

// Verifier returns the public half of a published key. An identifier that the ring does not know makes
// it read the store, a few times a second at most whoever asks; [ErrUnknownKey] if the key is not there
// either, or [ErrUnavailable] if the store did not answer.
func (r *Ring) Verifier(id string) (Verifier, error) {
	e, err := r.published(id)
	return e.verifier, err
}

func (r *Ring) published(id string) (entry, error) {
	if e, ok := r.now.Load().byID[id]; ok {
		return e, nil
	}
	if len(id) != thumbprintLength {
		return entry{}, ErrUnknownKey
	}
	err := r.reread(id)
	if e, ok := r.now.Load().byID[id]; ok {
		return e, nil
	}
	if err != nil {
		return entry{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return entry{}, ErrUnknownKey
}

// reread reads the store because of an identifier that the snapshot lacks, unless it was read for
// such a reason just now. Callers that come while it reads wait for what they would have asked.
func (r *Ring) reread(id string) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	if _, ok := r.now.Load().byID[id]; ok {
		return nil // read while this caller waited
	}
	now := r.config.Now()
	if since := now.Sub(r.asked); !r.asked.IsZero() && since >= 0 && since < rereadEvery {
		return r.answer
	}
	r.answer = r.readLocked(context.Background()) // nobody's request: others wait for the same answer
	r.asked = r.config.Now()
	return r.answer
}

// JWKS returns the public halves of all published keys, the next one included, as a JSON Web Key Set,
// and its entity tag.
func (r *Ring) JWKS() (body []byte, etag string) {
	s := r.now.Load()
	return bytes.Clone(s.jwks), s.etag
}
