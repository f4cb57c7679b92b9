package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// breakAfter is how many commands in a row must fail before the next ones do not try.
	breakAfter = 3
	// breakFor is how long they do not try; then one does, for all.
	breakFor = time.Second
)

// errBroken is what a command gets that was not tried.
var errBroken = errors.New("redis was away a moment ago")

// breaker refuses commands at once while Redis is away, so that not every transfer has to wait for
// a connection that does not come.
//
//	closed ── breakAfter failures in a row ──► open ── breakFor ──► probing: one command is tried
//	   ▲                                         ▲                     │            │
//	   └──────────── it succeeds ────────────────┼─────────────────────┘            │
//	                                             └──────────── it fails ────────────┘
//
// It is no hook of the client: go-redis sends what a new connection begins with through the same
// hooks, and an open breaker would refuse its own probe. Followers do without it and wait by
// themselves.
type breaker struct {
	log *slog.Logger

	mu      sync.Mutex
	failed  int
	open    bool
	retryAt time.Time
}

func newBreaker(log *slog.Logger) *breaker { return &breaker{log: log} }

// allow says whether to try. While open, it says yes to one caller in each breakFor.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true
	}
	now := time.Now()
	if now.Before(b.retryAt) {
		return false
	}
	b.retryAt = now.Add(breakFor)
	return true
}

func (b *breaker) report(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !away(err):
		if b.open {
			b.log.Info("redis is back")
		}
		b.failed, b.open = 0, false
	default:
		b.failed++
		if b.failed >= breakAfter && !b.open {
			b.open = true
			b.log.Warn("redis is away", "err", err)
		}
		if b.open {
			b.retryAt = time.Now().Add(breakFor)
		}
	}
}

func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// away says that an error means that nobody answered. An answer that says no is an answer.
func away(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) {
		return false
	}
	_, answered := errors.AsType[redis.Error](err)
	return !answered
}

// run runs f, which sends one command or one pipeline, unless it is no use. That a caller had no
// time to wait, for a free connection say, tells nothing about Redis; that a command took all of its
// own time does.
func (b *breaker) run(ctx context.Context, f func() error) error {
	if !b.allow() {
		return errBroken
	}
	began := time.Now()
	err := f()
	if ctx.Err() == nil || !away(err) || time.Since(began) >= min(dialTimeout, ioTimeout) {
		b.report(err)
	}
	return err
}

// scripts is how redislock sees Redis: each of its commands by itself passes the breaker, rather
// than a wait for a lock, which may consist of many.
type scripts struct {
	redis.Scripter
	breaker *breaker
}

// Eval implements redis.Scripter.
func (s *scripts) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return s.run(ctx, func() *redis.Cmd { return s.Scripter.Eval(ctx, script, keys, args...) })
}

// EvalSha implements redis.Scripter.
func (s *scripts) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return s.run(ctx, func() *redis.Cmd { return s.Scripter.EvalSha(ctx, sha, keys, args...) })
}

func (s *scripts) run(ctx context.Context, f func() *redis.Cmd) *redis.Cmd {
	var answer *redis.Cmd
	err := s.breaker.run(ctx, func() error {
		answer = f()
		return answer.Err()
	})
	if answer == nil {
		return redis.NewCmdResult(nil, err)
	}
	return answer
}
