package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/bsm/redislock"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Defaults of [Config].
const (
	DefaultPrefix  = "tallystick:"
	DefaultLockTTL = time.Minute
)

const maxPrefix = 64

// Config is what a store needs. URL is required.
type Config struct {
	// URL says where Redis is; see the package's doc for its forms.
	URL secret.Text
	// Prefix begins every key. All processes of an installation share it.
	Prefix string
	// LockTTL is after how long a lock frees itself whose holder died.
	LockTTL time.Duration
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if c.LockTTL == 0 {
		c.LockTTL = DefaultLockTTL
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	if c.URL.Empty() {
		faults = append(faults, errors.New("redis: URL is required"))
	}
	printable := !strings.ContainsFunc(c.Prefix, func(r rune) bool { return r <= ' ' || r > '~' || r == '{' || r == '}' })
	if len(c.Prefix) > maxPrefix || !printable {
		faults = append(faults, fmt.Errorf("redis: Prefix must be at most %d printable ASCII characters other than braces", maxPrefix))
	}
	if c.LockTTL < time.Second {
		faults = append(faults, errors.New("redis: LockTTL must be at least a second"))
	}
	return errors.Join(faults...)
}

// Store keeps the hurried contracts: it is a [storage.Announcer] and a [storage.Locker], and follows
// what other processes announce.
type Store struct {
	client  redis.UniversalClient
	options *redis.UniversalOptions
	prefix  string
	log     *slog.Logger
	metrics *metrics
	breaker *breaker
	queue   *Queue

	announced chan storage.Event
	lifecycle sync.Mutex
	stopping  chan struct{}
	started   bool
	stopped   bool
	running   sync.WaitGroup
}

// Open builds a store. It fails on a bad configuration and not because Redis is away: what it does
// may be away at any time. [Store.Ping] tells.
func Open(_ context.Context, c Config) (*Store, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	options, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	m := newMetrics()
	s := &Store{
		client: redis.NewUniversalClient(options), options: options,
		prefix: c.Prefix, log: c.Log, metrics: m, breaker: newBreaker(c.Log),
		announced: make(chan storage.Event, maxAnnounced), stopping: make(chan struct{}),
	}
	s.queue = NewQueue(&locks{
		client: redislock.New(&scripts{s.client, s.breaker}), key: s.lockKey, ttl: c.LockTTL, log: c.Log, metrics: m,
	}, c.LockTTL)
	if err := m.register(c.Metrics, s); err != nil {
		return nil, errors.Join(err, s.client.Close())
	}
	return s, nil
}

// Ping says whether Redis answers.
func (s *Store) Ping(ctx context.Context) error {
	// Not through the breaker: the question is about now.
	if err := s.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping redis: %w", errors.Join(storage.ErrUnavailable, err))
	}
	return nil
}

// Lock waits for a user's lock: first in this process's queue, then for Redis. See [storage.Locker].
func (s *Store) Lock(ctx context.Context, user storage.UserID, wait time.Duration) (storage.Lease, error) {
	return s.queue.Lock(ctx, user, wait)
}

// Close stops the store if it is running, and closes its connections.
func (s *Store) Close() error {
	s.Stop()
	if err := s.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("close redis: %w", err)
	}
	return nil
}

// Keys. Every key is made here. The part in braces is what a cluster places by: keys that one script
// or pipeline touches share it. A prefix cannot hold braces.

func (s *Store) streamKey() string { return s.prefix + "{events}" }

func (s *Store) lockKey(user storage.UserID) string { return s.prefix + "lock:{" + string(user) + "}" }

func (s *Store) paceKey(key string) string { return s.prefix + "pace:{" + key + "}" }

func (s *Store) brakeKey(kind, digest string) string {
	return s.prefix + "{brake}:" + kind + ":" + digest
}
