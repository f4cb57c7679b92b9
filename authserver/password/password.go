package password

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Defaults of a [Config].
const (
	DefaultMemory    = 19456 // KiB
	DefaultTime      = 2
	DefaultThreads   = 1
	DefaultQueue     = 64
	DefaultWait      = 5 * time.Second
	DefaultMinLength = 8
)

var (
	// ErrWrong says that the name and the password do not belong together, and no more.
	ErrWrong = errors.New("wrong user name or password")
	// ErrBarred says that the password is right and its user disabled or banned.
	ErrBarred = errors.New("the user may not sign in")
)

// Config is what a [Checker] needs. Zero values mean the defaults.
type Config struct {
	Users storage.Users
	// Memory (KiB), Time (passes) and Threads (lanes) are the costs of argon2id.
	Memory  uint32
	Time    uint32
	Threads uint8
	// Workers is how many hashes run at once; 0 means one for each core.
	Workers int
	// Queue is how many callers may wait for a worker, and Wait for how long.
	Queue int
	Wait  time.Duration
	// MinLength is the least number of characters of a password that somebody chooses.
	MinLength int
	// Keys are the keys of imported keyed hashes, by the name that stands in the hash.
	Keys map[string]secret.Text
	// Unsafe allows parameters below OWASP's minimum. It is for tests.
	Unsafe  bool
	Now     func() time.Time      // nil: time.Now
	Log     *slog.Logger          // nil: discards
	Metrics prometheus.Registerer // nil: none
}

func (c Config) withDefaults() Config {
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.Time == 0 {
		c.Time = DefaultTime
	}
	if c.Threads == 0 {
		c.Threads = DefaultThreads
	}
	if c.Workers == 0 {
		c.Workers = runtime.NumCPU()
	}
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	if c.Wait == 0 {
		c.Wait = DefaultWait
	}
	if c.MinLength == 0 {
		c.MinLength = DefaultMinLength
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate returns every fault.
func (c Config) validate() error {
	var faults []error
	fault := func(bad bool, text string) {
		if bad {
			faults = append(faults, errors.New("password: "+text))
		}
	}
	p := parameters{c.Memory, c.Time, c.Threads}
	fault(c.Users == nil, "no users")
	fault(!c.Unsafe && !p.minimum(), fmt.Sprintf("argon2id with %d KiB and %d passes is below the minimum of OWASP (19456 KiB and 2 passes, or an equivalent)", c.Memory, c.Time))
	fault(c.Memory > maxMemory || c.Time > maxPasses || uint64(c.Memory)*uint64(c.Time) > maxWork || c.Threads > maxLanes,
		fmt.Sprintf("argon2id is limited to %d KiB, %d passes, %d KiB over all passes, %d threads", maxMemory, maxPasses, maxWork, maxLanes))
	fault(c.Memory < 8*uint32(c.Threads), "argon2id needs 8 KiB for each thread")
	fault(c.Workers < 0 || c.Queue < 0 || c.Wait < 0, "workers, queue and wait must not be below zero")
	fault(c.MinLength < 1 || c.MinLength > MaxLength/4, fmt.Sprintf("the least length of a password must be between 1 and %d", MaxLength/4))
	fault(!c.Unsafe && c.MinLength < DefaultMinLength, fmt.Sprintf("the least length of a password must be %d or more", DefaultMinLength))
	for id, key := range c.Keys {
		fault(id == "" || key.Empty(), fmt.Sprintf("the key %q for keyed hashes has no name or is empty", id))
	}
	return errors.Join(faults...)
}

// Checker verifies and makes password hashes.
type Checker struct {
	users     storage.Users
	params    parameters
	gate      *gate
	minLength int
	keys      map[string]secret.Text
	worst     map[string]struct{}
	now       func() time.Time
	log       *slog.Logger
	metrics   *metrics
}

// New builds a checker. It refuses argon2id parameters below OWASP's minimum.
func New(c Config) (*Checker, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	k := &Checker{
		users:     c.Users,
		params:    parameters{c.Memory, c.Time, c.Threads},
		minLength: c.MinLength,
		keys:      c.Keys,
		worst:     worst(),
		now:       c.Now,
		log:       c.Log,
	}
	k.gate = newGate(c.Workers, c.Queue, c.Wait, func(cause string) { k.metrics.shed.WithLabelValues(cause).Inc() })
	var err error
	k.metrics, err = newMetrics(c.Metrics, func() float64 { return float64(k.gate.waiting.Load()) })
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Verify proves a user by name and password, and returns the user as read before the proof. The name
// need not be normalised.
//
// It gives [ErrWrong] for an unknown user, a wrong password and a user without one, after equal
// work; [ErrBarred] for a disabled or banned user whose password is right; [*OverloadError] when
// nobody could look at the password in time; and the error of the store or of ctx. A right password
// whose hash is foreign or weaker than the configured one is hashed again and stored; the returned
// user then has the new hash.
func (c *Checker) Verify(ctx context.Context, username string, pw secret.Text) (storage.User, error) {
	user, stored, err := c.lookUp(ctx, username)
	if err != nil {
		return storage.User{}, err
	}
	right, fresh, err := c.prove(ctx, stored, pw)
	if err != nil {
		return storage.User{}, err
	}
	if !right {
		return storage.User{}, ErrWrong
	}
	now := c.now()
	if user.Barred(now) {
		return storage.User{}, ErrBarred
	}
	if fresh != "" {
		c.upgrade(ctx, &user, stored.algorithm(), fresh, now)
	}
	return user, nil
}

// Matches says whether pw is what a stored hash was made of, through the same queue. It serves
// secrets that are not of users.
func (c *Checker) Matches(ctx context.Context, h storage.PasswordHash, pw secret.Text) (bool, error) {
	stored, err := c.parse(h)
	if err != nil {
		return false, err
	}
	if len(pw.Reveal()) > MaxLength {
		return false, nil
	}
	if err := c.gate.enter(ctx); err != nil {
		return false, err
	}
	defer c.gate.leave()
	return c.compare(stored, []byte(pw.Reveal())), nil
}

// Hash makes a hash with the configured parameters. It does not judge the password: see
// [Checker.Acceptable]. It gives a [*PolicyError] only for what no hash can be made of: the empty
// password, and one over [MaxLength]; and an [*OverloadError] like [Checker.Verify].
func (c *Checker) Hash(ctx context.Context, pw secret.Text) (storage.PasswordHash, error) {
	if n := len(pw.Reveal()); n == 0 || n > MaxLength {
		return "", &PolicyError{fmt.Sprintf("the password must have between 1 and %d bytes", MaxLength)}
	}
	if err := c.gate.enter(ctx); err != nil {
		return "", err
	}
	defer c.gate.leave()
	return c.derive([]byte(pw.Reveal())), nil
}

// lookUp finds the user and parses the hash; the hash is nil where there is none to compare with.
func (c *Checker) lookUp(ctx context.Context, username string) (storage.User, hash, error) {
	name, err := NormalizeUsername(username)
	if err != nil {
		return storage.User{}, nil, nil //nolint:nilerr // nobody has such a name; that must cost as much as any other
	}
	user, err := c.users.UserByName(ctx, name)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.User{}, nil, nil
	}
	if err != nil {
		return storage.User{}, nil, fmt.Errorf("verify password: %w", err)
	}
	if user.Password == "" {
		return user, nil, nil
	}
	stored, err := c.parse(user.Password)
	if err != nil {
		c.log.ErrorContext(ctx, "stored password hash is not usable", "sub", string(user.ID), "err", err)
		return user, nil, nil
	}
	return user, stored, nil
}

// prove compares, and does one argon2id with the configured parameters whatever the outcome: as the
// comparison itself where the stored hash is one, and else as the hash that would replace it, which
// is returned for a right password.
func (c *Checker) prove(ctx context.Context, stored hash, pw secret.Text) (bool, storage.PasswordHash, error) {
	given := []byte(pw.Reveal())
	if len(given) > MaxLength {
		stored, given = nil, nil
	}
	if err := c.gate.enter(ctx); err != nil {
		return false, "", err
	}
	defer c.gate.leave()
	if ours, ok := stored.(*argon2Hash); ok && ours.upToDate(c.params) {
		return c.compare(stored, given), "", nil
	}
	fresh := c.derive(given)
	if stored == nil || !c.compare(stored, given) {
		return false, "", nil
	}
	return true, fresh, nil
}

func (c *Checker) compare(stored hash, pw []byte) bool {
	c.metrics.hashes.WithLabelValues(string(stored.algorithm())).Inc()
	return stored.matches(pw)
}

func (c *Checker) derive(pw []byte) storage.PasswordHash {
	c.metrics.hashes.WithLabelValues(string(Argon2id)).Inc()
	return c.params.derive(pw)
}

// upgrade stores the fresh hash. Its failure does not concern the sign-in: the next one tries again.
func (c *Checker) upgrade(ctx context.Context, user *storage.User, from Algorithm, fresh storage.PasswordHash, now time.Time) {
	err := c.users.UpgradeHash(ctx, user.ID, user.Password, fresh, now)
	switch {
	case err == nil:
		user.Password = fresh
		c.metrics.upgrades.WithLabelValues(string(from)).Inc()
	case errors.Is(err, storage.ErrStale): // somebody else did, or the password changed: theirs stands
	default:
		c.log.WarnContext(ctx, "password hash not upgraded", "sub", string(user.ID), "err", err)
	}
}
