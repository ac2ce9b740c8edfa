package setup

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// redisLog sends what the Redis client says to the process's log. Without one,
// as in a command, it says nothing: the error says it all.
type redisLog struct{ to atomic.Pointer[slog.Logger] }

var redisSays redisLog

func (l *redisLog) Printf(ctx context.Context, format string, args ...any) {
	if to := l.to.Load(); to != nil {
		to.WarnContext(ctx, fmt.Sprintf(format, args...), "from", "redis client")
	}
}

// CatchRedisLog takes the log of the Redis client, which is one for the whole
// program, before anything uses it. What Logger made last gets it.
func CatchRedisLog() { redis.SetLogger(&redisSays) }
