package issue

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/storage"
)

// The refusals of [Issuer.Renew], beside [*storage.EndedError] for a session that has ended.
var (
	// ErrInvalid says that a refresh token does not verify, is not this client's, or is unknown. Nothing
	// more is said.
	ErrInvalid = errors.New("invalid refresh token")
	// ErrScope says that more scope was asked for than the sign-in was given.
	ErrScope = errors.New("scope exceeds that of the sign-in")
)

// Renewal asks to exchange a refresh token.
type Renewal struct {
	// Raw is the token as presented.
	Raw    string
	Client storage.ClientID
	// Scope narrows the scope of the access token, not that of the successor; empty for all of it.
	Scope string
	// Allowed says whether the client may still have a scope; what it may not have any more is left out.
	// Nil allows all.
	Allowed func(scope string) bool
	// Address is where the request came from, for the record.
	Address string
	Now     time.Time
}

// Renew exchanges a refresh token for a new pair.
//
// The session's recorded end outranks everything that can be said of a token that verifies: one that
// is past its time and whose session was superseded is refused as superseded, and one that is past its
// time and was used before is theft. [storage.EndedError] with the reason Expired stands for what ended
// by itself.
func (i *Issuer) Renew(ctx context.Context, r Renewal) (Pair, error) {
	claims, err := i.cfg.Parser.Refresh(r.Raw, r.Now)
	switch {
	case errors.Is(err, token.ErrInvalid):
		return Pair{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	case err != nil && !errors.Is(err, token.ErrExpired): // the store judges what is past its time
		return Pair{}, fmt.Errorf("renew: %w", noTelling(err))
	}
	if claims.Client != string(r.Client) {
		return Pair{}, fmt.Errorf("%w: it is another client's", ErrInvalid)
	}
	s, err := i.standing(ctx, claims, r.Now)
	if err != nil {
		return Pair{}, err
	}
	if err := i.checkScope(ctx, claims, r.Scope); err != nil {
		return Pair{}, err
	}
	return i.exchange(ctx, r, claims, s)
}

// standing returns the session of a token, or how it has ended.
func (i *Issuer) standing(ctx context.Context, claims token.Refresh, now time.Time) (storage.Session, error) {
	s, err := i.cfg.Sessions.Session(ctx, storage.SessionID(claims.Session))
	if errors.Is(err, storage.ErrNotFound) {
		return s, expired(claims.Expires) // tombstones outlive their tokens
	}
	if err != nil {
		return s, fmt.Errorf("renew: read session: %w", err)
	}
	if end := s.EndedAt(now); end != nil {
		return s, &storage.EndedError{End: *end}
	}
	return s, nil
}

func expired(at time.Time) error {
	return &storage.EndedError{End: storage.End{Reason: storage.Expired, At: at, Actor: "system"}}
}

func (i *Issuer) checkScope(ctx context.Context, claims token.Refresh, scope string) error {
	if scope == "" {
		return nil
	}
	row, err := i.cfg.Refreshes.Refresh(ctx, hash(claims.JTI))
	if errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err != nil {
		return fmt.Errorf("renew: read refresh token: %w", err)
	}
	_, err = narrowed(row.Scope, scope)
	return err
}

// narrowed returns the part of a scope that is asked for, in the order of the original; all of it if
// nothing is asked for.
func narrowed(original, asked string) (string, error) {
	if asked == "" {
		return original, nil
	}
	have, want := strings.Fields(original), strings.Fields(asked)
	for _, one := range want {
		if !slices.Contains(have, one) {
			return "", ErrScope
		}
	}
	kept := slices.DeleteFunc(have, func(one string) bool { return !slices.Contains(want, one) })
	return strings.Join(kept, " "), nil
}

func (i *Issuer) exchange(ctx context.Context, r Renewal, claims token.Refresh, s storage.Session) (Pair, error) {
	rule, err := i.cfg.Rules.Rule(s.Product, s.Terminal)
	if err != nil {
		// The product or terminal was taken out of the configuration: nobody signs in there any more.
		return Pair{}, expired(r.Now)
	}
	jti := i.successor(claims.JTI)
	next, err := i.proposal(rule, jti, s, r.Now)
	if err != nil {
		return Pair{}, err
	}
	rotated, err := i.cfg.Sessions.Continue(ctx, storage.Rotation{
		Presented: hash(claims.JTI), Client: r.Client, Next: next, IdleTTL: rule.IdleTTL,
		KeepLeft: rule.AccessTTL / 2, Window: i.cfg.Window, Now: storage.Instant(r.Now),
	}, r.Address)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return Pair{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	case errors.Is(err, storage.ErrExpired):
		return Pair{}, expired(claims.Expires)
	case err != nil:
		return Pair{}, err
	}
	if rotated.Refresh.Hash != next.Hash {
		return Pair{}, errors.New("renew: the successor was made with another chain key")
	}
	return i.renewed(rotated, jti, r)
}

func (i *Issuer) proposal(rule product.Rule, jti string, s storage.Session, now time.Time) (storage.Refresh, error) {
	kid, err := i.cfg.Minter.KeyID(now)
	if err != nil {
		return storage.Refresh{}, fmt.Errorf("renew: %w", err)
	}
	times := rule.Refreshed(now, s.ExpiresAt)
	return storage.Refresh{
		Hash: hash(jti), KeyID: kid, IssuedAt: times.IssuedAt, ExpiresAt: times.IdleEnd,
		Access: storage.Stamp{JTI: randomText(accessBytes), KeyID: kid, IssuedAt: times.IssuedAt, ExpiresAt: times.AccessEnd},
	}, nil
}

func (i *Issuer) renewed(rotated storage.Rotated, jti string, r Renewal) (Pair, error) {
	scope, err := narrowed(rotated.Refresh.Scope, r.Scope)
	if err != nil {
		return Pair{}, err
	}
	if r.Allowed != nil {
		kept := slices.DeleteFunc(strings.Fields(scope), func(one string) bool { return !r.Allowed(one) })
		scope = strings.Join(kept, " ")
	}
	pair, err := i.access(rotated.Session, rotated.Refresh.Access, rotated.Refresh.Client, scope, r.Now)
	if err != nil {
		return Pair{}, err
	}
	return pair, i.refresh(&pair, rotated.Refresh, jti, r.Now)
}

func (i *Issuer) successor(jti string) string {
	mac := hmac.New(sha256.New, []byte(i.cfg.ChainKey.Reveal()))
	mac.Write([]byte("refresh token " + jti))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
