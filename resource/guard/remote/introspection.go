package remote

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// introspection asks the issuer about one token (RFC 7662).
type introspection struct{ issuer *issuer }

// introspected is the part of an answer that matters: whether, and if not why.
type introspected struct {
	Active       *bool          `json:"active"`
	Reason       storage.Reason `json:"reason"`
	SupersededBy *superseder    `json:"superseded_by"`
}

var errNoToken = errors.New("there is no token at hand to ask about")

// Judge implements [guard.Authority].
func (in *introspection) Judge(ctx context.Context, p guard.Presented, now time.Time) error {
	if p.Raw == "" {
		return errNoToken
	}
	d, err := in.issuer.metadata.get(ctx)
	if err != nil {
		return err
	}
	var a introspected
	if err := in.issuer.post(ctx, d.Introspection, url.Values{"token": {p.Raw}, "token_type_hint": {"access_token"}}, &a); err != nil {
		return fmt.Errorf("introspect: %w", err)
	}
	switch {
	case a.Active == nil:
		return errors.New("introspect: the answer does not say whether the token is active")
	case *a.Active:
		return nil
	}
	end := storage.End{Reason: a.Reason, At: now}
	if by := a.SupersededBy; by != nil {
		end.At = by.At
		end.By = by.storage()
	}
	return &storage.EndedError{End: end}
}
