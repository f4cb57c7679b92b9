package client

import (
	"context"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/storage"
)

// Change is a change of a client. What is nil stays as it is; a list replaces the one before it.
type Change struct {
	Name         *string
	Grants       *[]string
	Products     *[]string
	Terminals    *[]storage.Terminal
	Scopes       *[]string
	RedirectURIs *[]string
	// Version, if not nil, must be the client's present one, or the change fails with
	// [storage.ErrStale].
	Version *int64
}

// Update changes what a client may do. It gives an [*InvalidError] with every fault of what would come of
// it, [storage.ErrNotFound], and [storage.ErrStale]. What is taken from a client is not in the tokens it gets
// from then on; those it has live out their time, unless the client is disabled.
func (m *Manager) Update(ctx context.Context, from audit.Origin, id storage.ClientID, change Change) (storage.Client, error) {
	now := storage.Instant(m.c.Now())
	c, err := m.update(ctx, id, m.record(from, audit.ClientUpdated, id, now, "changed", change.names()), func(c *storage.Client) error {
		if change.Version != nil && *change.Version != c.Version {
			return storage.ErrStale
		}
		change.apply(c)
		c.UpdatedAt = now
		return draftOf(c).validate(m.c.Products)
	})
	if err != nil {
		return storage.Client{}, fmt.Errorf("update client %s: %w", id, err)
	}
	return bare(c), nil
}

func (h *Change) apply(c *storage.Client) {
	if h.Name != nil {
		if c.Name = *h.Name; c.Name == "" {
			c.Name = string(c.ID)
		}
	}
	replace(&c.Grants, h.Grants)
	replace(&c.Products, h.Products)
	replace(&c.Terminals, h.Terminals)
	if h.Scopes != nil {
		c.Scopes = slices.Sorted(slices.Values(*h.Scopes))
	}
	replace(&c.RedirectURIs, h.RedirectURIs)
}

func replace[T any](list, by *[]T) {
	if by != nil {
		*list = slices.Clone(*by)
	}
}

// names lists what a change touches, for the audit record.
func (h *Change) names() string {
	var names []string
	for _, f := range []struct {
		name    string
		touched bool
	}{
		{"name", h.Name != nil}, {"grants", h.Grants != nil}, {"products", h.Products != nil},
		{"terminals", h.Terminals != nil}, {"scopes", h.Scopes != nil}, {"redirect_uris", h.RedirectURIs != nil},
	} {
		if f.touched {
			names = append(names, f.name)
		}
	}
	return list(names)
}

func draftOf(c *storage.Client) Draft {
	return Draft{
		ID: c.ID, Name: c.Name, Kind: c.Kind, Grants: c.Grants, Products: c.Products, Terminals: c.Terminals,
		Scopes: c.Scopes, RedirectURIs: c.RedirectURIs,
	}
}
