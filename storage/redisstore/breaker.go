package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"net"
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
// It is a hook of the client, so that no command can forget it. Followers have a client without it:
// they wait by themselves.
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
	case errors.Is(err, context.Canceled):
		// Says nothing about Redis.
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

// DialHook implements redis.Hook.
func (b *breaker) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (b *breaker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !b.allow() {
			cmd.SetErr(errBroken)
			return errBroken
		}
		err := next(ctx, cmd)
		b.report(err)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (b *breaker) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !b.allow() {
			for _, cmd := range cmds {
				cmd.SetErr(errBroken)
			}
			return errBroken
		}
		err := next(ctx, cmds)
		b.report(err)
		return err
	}
}
