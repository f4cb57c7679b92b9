package keys

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"
)

// snapshot is the ring as last read. It never changes once it is published to readers.
type snapshot struct {
	// records are all keys of the use, retired ones included, in the order in which they sign.
	records []Record
	// published are the keys that are not retired, in the same order.
	published []entry
	byID      map[string]entry
	public    []jwk // in the order of published
	jwks      []byte
	etag      string
}

// entry is a published key with its halves parsed.
type entry struct {
	record   Record
	signer   Signer
	verifier Verifier
}

// newSnapshot opens the keys that are published at now. Those that before holds already are taken
// from it, so that each is parsed once.
func newSnapshot(all []Record, use string, now time.Time, v vault, before *snapshot) (*snapshot, error) {
	s := &snapshot{byID: map[string]entry{}}
	for _, r := range all {
		if r.Use == use {
			s.records = append(s.records, r)
		}
	}
	slices.SortFunc(s.records, func(a, b Record) int {
		return cmp.Or(a.ActiveAt.Compare(b.ActiveAt), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	var verifiers []Verifier
	for _, r := range s.records {
		if r.retired(now) {
			continue // also one that no encryption key opens any more
		}
		e, err := before.reuse(r, v)
		if err != nil {
			return nil, fmt.Errorf("open key %s: %w", r.ID, err)
		}
		s.published = append(s.published, e)
		s.byID[r.ID] = e
		verifiers = append(verifiers, e.verifier)
	}
	var err error
	if s.public, err = publicKeys(verifiers, use); err == nil {
		s.jwks, s.etag, err = keySet(s.public)
	}
	return s, err
}

// reuse returns the entry of a record, opening it only if the snapshot does not hold the same. A
// nil snapshot holds nothing.
func (s *snapshot) reuse(r Record, v vault) (entry, error) {
	if s != nil {
		if e, ok := s.byID[r.ID]; ok && e.record.Algorithm == r.Algorithm && bytes.Equal(e.record.Sealed, r.Sealed) {
			e.record = r
			return e, nil
		}
	}
	signer, verifier, err := v.open(r)
	return entry{r, signer, verifier}, err
}

// signing returns the key that signs at now: of those whose time has come the latest. Where no time
// has come yet (a clock behind that of the process which made the first key, or now cut to the second),
// it is the first to come. It is false when nothing is published.
func (s *snapshot) signing(now time.Time) (entry, bool) {
	for _, v := range slices.Backward(s.published) {
		if e := v; !e.record.ActiveAt.After(now) && !e.record.retired(now) {
			return e, true
		}
	}
	for _, e := range s.published {
		if !e.record.retired(now) {
			return e, true
		}
	}
	return entry{}, false
}

// newest returns the record that was added last.
func (s *snapshot) newest() (Record, bool) {
	if len(s.records) == 0 {
		return Record{}, false
	}
	return slices.MaxFunc(s.records, func(a, b Record) int { return a.CreatedAt.Compare(b.CreatedAt) }), true
}

// stops returns when the record at index i stops signing: when the next key begins that was not
// withdrawn before its time. It is false while no such key is known.
func (s *snapshot) stops(i int) (time.Time, bool) {
	for _, r := range s.records[i+1:] {
		if r.signed() {
			return r.ActiveAt, true
		}
	}
	return time.Time{}, false
}
