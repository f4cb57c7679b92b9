package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/keys"
)

const (
	// keysFresh is how often the keys are fetched again.
	keysFresh = 30 * time.Second
	// refetchEvery is the least time between two fetches that unknown identifiers cause.
	refetchEvery = time.Second
	// keyIDLength is that of the issuer's identifiers, which are thumbprints; others are unknown
	// without asking.
	keyIDLength = 43
	// maxKeys bounds the keys that are looked at.
	maxKeys = 64
)

// keySet is the issuer's public keys, a [token.Ring] that cannot sign.
type keySet struct {
	issuer *issuer
	now    func() time.Time
	log    *slog.Logger
	known  atomic.Pointer[knownKeys]

	// fetching serialises fetches; it guards asked and answer, which are when and how the last one for
	// an unknown identifier went.
	fetching sync.Mutex
	asked    time.Time
	answer   error
}

type knownKeys struct {
	byID map[string]keys.Verifier
	etag string
}

var errVerifiesOnly = errors.New("a remote guard has no private keys")

// Signer implements token.Ring.
func (*keySet) Signer(time.Time) (keys.Signer, error) { return keys.Signer{}, errVerifiesOnly }

// SignerByID implements token.Ring.
func (*keySet) SignerByID(string) (keys.Signer, error) { return keys.Signer{}, errVerifiesOnly }

// Verifier implements token.Ring: [keys.ErrUnknownKey] for a key that the issuer does not publish,
// [keys.ErrUnavailable] if it could not be asked.
func (s *keySet) Verifier(id string) (keys.Verifier, error) {
	if v, ok := s.look(id); ok {
		return v, nil
	}
	if len(id) != keyIDLength {
		return keys.Verifier{}, keys.ErrUnknownKey
	}
	err := s.refetch(id)
	if v, ok := s.look(id); ok {
		return v, nil
	}
	if err != nil {
		return keys.Verifier{}, fmt.Errorf("%w: %w", keys.ErrUnavailable, err)
	}
	return keys.Verifier{}, keys.ErrUnknownKey
}

func (s *keySet) look(id string) (keys.Verifier, bool) {
	known := s.known.Load()
	if known == nil {
		return keys.Verifier{}, false
	}
	v, ok := known.byID[id]
	return v, ok
}

// refetch fetches the keys because of an identifier that is not known, unless they were fetched for
// such a reason just now. Callers that come while it fetches wait for what they would have asked.
func (s *keySet) refetch(id string) error {
	s.fetching.Lock()
	defer s.fetching.Unlock()
	if _, ok := s.look(id); ok {
		return nil // fetched while this caller waited
	}
	now := s.now()
	if since := now.Sub(s.asked); !s.asked.IsZero() && since >= 0 && since < refetchEvery {
		return s.answer
	}
	s.answer = s.fetchLocked(context.Background()) // nobody's request: others wait for the same answer
	s.asked = s.now()
	return s.answer
}

// fetch replaces the keys by those that the issuer publishes now. On failure they stay.
func (s *keySet) fetch(ctx context.Context) error {
	s.fetching.Lock()
	defer s.fetching.Unlock()
	return s.fetchLocked(ctx)
}

func (s *keySet) fetchLocked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	d, err := s.issuer.metadata.get(ctx)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Keys, http.NoBody)
	if err != nil {
		return err
	}
	known := s.known.Load()
	if known != nil && known.etag != "" {
		r.Header.Set("If-None-Match", known.etag)
	}
	answer, err := s.issuer.asking.Do(r)
	if err != nil {
		return fmt.Errorf("fetch keys: %w", err)
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusNotModified && known != nil:
		return nil
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("fetch keys: %w", refusalOf(answer))
	}
	body, err := read(answer.Body)
	if err != nil {
		return fmt.Errorf("fetch keys: %w", err)
	}
	byID, err := parseKeys(body)
	if err != nil {
		return fmt.Errorf("fetch keys: %w", err)
	}
	s.known.Store(&knownKeys{byID, answer.Header.Get("ETag")})
	return nil
}

// follow fetches the keys again and again until ctx ends.
func (s *keySet) follow(ctx context.Context) {
	tick := time.NewTicker(keysFresh)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := s.fetch(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			s.log.WarnContext(ctx, "keys cannot be fetched; going on with those known", "err", err)
		} else if err == nil && failing {
			s.log.InfoContext(ctx, "keys can be fetched again")
		}
		failing = err != nil
	}
}

// parseKeys reads a JSON Web Key Set (RFC 7517 §5): keys of kinds that are not ours are passed over. A
// set with no usable key is refused: it would put every token out of order.
func parseKeys(body []byte) (map[string]keys.Verifier, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("not a key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	byID := make(map[string]keys.Verifier, len(set.Keys))
	for _, raw := range set.Keys {
		var k jwk
		if json.Unmarshal(raw, &k) != nil {
			continue
		}
		v, err := k.verifier()
		if err != nil {
			continue
		}
		if _, twice := byID[v.ID]; twice {
			return nil, fmt.Errorf("two keys with one identifier, %.64q", v.ID)
		}
		byID[v.ID] = v
	}
	if len(byID) == 0 {
		return nil, errors.New("the set has no key that can be used")
	}
	return byID, nil
}
