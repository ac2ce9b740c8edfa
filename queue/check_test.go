package queue

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckInfo(t *testing.T) {
	for what, c := range map[string]struct{ info, err, warning string }{
		"good":       {info: "redis_version:7.2.4\r\nmaxmemory_policy:noeviction\r\n"},
		"just new":   {info: "redis_version:6.2.0\r\nmaxmemory_policy:noeviction\r\n"},
		"newer":      {info: "redis_version:10.0.1\r\nmaxmemory_policy:noeviction\r\n"},
		"old":        {info: "redis_version:6.0.16\r\nmaxmemory_policy:noeviction\r\n", err: "redis 6.0.16 at redis://***@h is too old: 6.2 or newer is needed"},
		"very old":   {info: "redis_version:5.9.9\r\n", err: "too old"},
		"evicts":     {info: "redis_version:7.0.0\r\nmaxmemory_policy:volatile-lru\r\n", err: "set `maxmemory-policy noeviction` in redis.conf"},
		"no policy":  {info: "redis_version:7.0.0\r\n", warning: "maxmemory-policy"},
		"no version": {info: "maxmemory_policy:noeviction\r\n", warning: "6.2 or newer"},
	} {
		t.Run(what, func(t *testing.T) {
			var log bytes.Buffer
			r := &Redis{o: Options{URL: "redis://u:secret@h", Logger: slog.New(slog.NewTextHandler(&log, nil))}}
			err := r.checkInfo(c.info)
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
				require.NotContains(t, err.Error(), "secret")
			}
			if c.warning == "" {
				require.Empty(t, log.String())
			} else {
				require.Contains(t, log.String(), c.warning)
			}
		})
	}
}
