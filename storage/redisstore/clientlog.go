package redisstore

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// CaptureLog sends what the Redis client library has to say to log, at the level debug, instead of
// to standard error. The library has one logger for the whole process, so whoever assembles the
// process calls this once, before [Open].
func CaptureLog(log *slog.Logger) { redis.SetLogger(captured{log}) }

type captured struct{ log *slog.Logger }

// Printf implements the library's logger.
func (c captured) Printf(ctx context.Context, format string, v ...any) {
	c.log.DebugContext(ctx, "redis client", "said", fmt.Sprintf(format, v...))
}
