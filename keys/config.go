package keys

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tallystick/tallystick/keys/secret"
)

// What a Config gets where it says nothing.
const (
	DefaultPublish = 10 * time.Minute
	DefaultRefresh = 5 * time.Second
)

// minRefresh keeps a misread unit in a configuration from turning into a storm of reads.
const minRefresh = 10 * time.Millisecond

// Config is what a ring needs.
type Config struct {
	// Store keeps the keys. Required.
	Store Store
	// EncryptionKey is the base64 of 32 random bytes under which private keys are sealed. Required.
	EncryptionKey secret.Text
	// Algorithm is that of keys to be made: EdDSA (the default), ES256 or RS256. Keys that exist keep
	// theirs.
	Algorithm string
	// Publish is how long a new key is published before it signs; DefaultPublish if zero. It must
	// not be shorter than Refresh, and should not be shorter than anyone caches the JWKS. The very first
	// key signs at once, since there is nobody yet who could know of another.
	Publish time.Duration
	// Keep is the longest life of any token: a key can be retired without force only so long after it
	// stopped signing. Required.
	Keep time.Duration
	// Refresh is how often the store is read again; DefaultRefresh if zero.
	Refresh time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// use is that of the keys: signature or encryption. [Open] and [OpenEncryption] set it.
	use string
	// Log is told of rotations and of trouble with the store; nil means nobody.
	Log *slog.Logger
}

// withDefaults returns a copy with defaults filled in, and every fault at once.
func (c Config) withDefaults() (Config, error) {
	if c.Algorithm == "" {
		c.Algorithm = EdDSA
	}
	if c.Publish == 0 {
		c.Publish = DefaultPublish
	}
	if c.Refresh == 0 {
		c.Refresh = DefaultRefresh
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, c.validate()
}

func (c Config) validate() error {
	var faults []error
	if c.Store == nil {
		faults = append(faults, errors.New("store: there is none"))
	}
	if err := fits(c.use, c.Algorithm); err != nil {
		faults = append(faults, err)
	}
	if c.Keep <= 0 {
		faults = append(faults, fmt.Errorf("keep %v: it must be the longest life of any token", c.Keep))
	}
	if c.Refresh < minRefresh {
		faults = append(faults, fmt.Errorf("refresh %v: it must be at least %v", c.Refresh, minRefresh))
	}
	if c.Publish < c.Refresh {
		faults = append(faults, fmt.Errorf("publish %v: it must not be shorter than refresh (%v), or processes sign before others know the key",
			c.Publish, c.Refresh))
	}
	return errors.Join(faults...)
}
