package sdk

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"
)

// held is a pair of tokens and what is known of them. It is never changed.
type held struct {
	epoch     uint64
	rotations int64 // how often this session has been refreshed
	access    Secret
	refresh   Secret // empty for a service
	id        string
	about     Session
	life      time.Duration
	since     time.Time // when the answer came
	renewAt   time.Time // from when it is refreshed ahead
	staleAt   time.Time // from when it is not sent any more
}

func newHeld(a answer, epoch uint64, rotations int64, now time.Time) *held {
	h := &held{
		epoch: epoch, rotations: rotations, access: Secret(a.Access), refresh: Secret(a.Refresh), id: a.SessionID,
		about: Session{ID: a.SessionID, Product: a.Product, Terminal: a.Terminal, Version: a.Version, Scope: a.Scope},
		life:  time.Duration(a.ExpiresIn) * time.Second, since: now,
	}
	h.plan()
	return h
}

// plan chooses when the pair is refreshed: at a random point between seven and nine tenths of its life,
// so that the clients of a server that was restarted do not come back all at once.
func (h *held) plan() {
	share := 0.7 + 0.2*rand.Float64() //nolint:gosec // G404: spreads load, keeps no secret
	h.renewAt = h.since.Add(time.Duration(share * float64(h.life)))
	h.staleAt = h.since.Add(h.life)
}

func (h *held) session() Session { return h.about }

// newerThan says whether a sign-in that was found in the store goes before one in memory: a later pair of the
// same session, or another session.
func (h *held) newerThan(mine *held) bool {
	return h.id != mine.id || h.rotations > mine.rotations
}

// stored is a sign-in as a [Store] keeps it.
type stored struct {
	Format    int       `json:"format"`
	Issuer    string    `json:"issuer"`
	ClientID  string    `json:"client_id"`
	Access    string    `json:"access_token"`
	Refresh   string    `json:"refresh_token,omitempty"`
	ExpiresIn int64     `json:"expires_in"`
	SavedAt   time.Time `json:"saved_at"`
	Rotations int64     `json:"rotations"`
	About     Session   `json:"session"`
}

const storedFormat = 1

func (c *Client) pack(h *held) ([]byte, error) {
	return json.Marshal(stored{
		Format: storedFormat, Issuer: c.issuer, ClientID: c.cfg.ClientID, Access: string(h.access), Refresh: string(h.refresh),
		ExpiresIn: int64(h.life / time.Second), SavedAt: h.since, Rotations: h.rotations, About: h.about,
	})
}

// unpack reads what a store holds. Its age is judged by the wall clock, which may have been changed in
// between: a token that seems to come from the future is not believed, and refreshed first.
func (c *Client) unpack(data []byte) (*held, error) {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil || s.Format != storedFormat || s.Access == "" {
		return nil, errors.New("sdk: what the store holds is no sign-in of this package")
	}
	if s.Issuer != c.issuer || s.ClientID != c.cfg.ClientID {
		return nil, errors.New("sdk: what the store holds belongs to another client or issuer; give each a store of its own")
	}
	now := c.cfg.Now()
	h := &held{
		rotations: s.Rotations, access: Secret(s.Access), refresh: Secret(s.Refresh), id: s.About.ID, about: s.About,
		life: time.Duration(s.ExpiresIn) * time.Second,
	}
	age := now.Round(0).Sub(s.SavedAt)
	if age < 0 || age > h.life {
		age = h.life
	}
	h.since = now.Add(-age)
	h.plan()
	return h, nil
}
