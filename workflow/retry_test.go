package workflow

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestNextTry(t *testing.T) {
	failed := &Error{Code: "http_503", Retryable: true}
	policy := RetryPolicy{MaxAttempts: 5, Delay: time.Second, Backoff: BackoffExponential, MaxDelay: 5 * time.Second}
	with := func(change func(*RetryPolicy)) RetryPolicy {
		p := policy
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		policy RetryPolicy
		try    int
		err    *Error
		random float64
		delay  time.Duration
		again  bool
	}{
		"first":                 {policy, 1, failed, 0, time.Second, true},
		"second":                {policy, 2, failed, 0, 2 * time.Second, true},
		"capped":                {policy, 4, failed, 0, 5 * time.Second, true},
		"tries used up":         {policy, 5, failed, 0, 0, false},
		"more than allowed":     {policy, 9, failed, 0, 0, false},
		"not retryable":         {policy, 1, &Error{Code: "x"}, 0, 0, false},
		"no error":              {policy, 1, nil, 0, 0, false},
		"listed code":           {with(func(p *RetryPolicy) { p.NonRetryable = []string{"http_503"} }), 1, failed, 0, 0, false},
		"linear":                {with(func(p *RetryPolicy) { p.Backoff = BackoffLinear }), 3, failed, 0, 3 * time.Second, true},
		"fixed":                 {with(func(p *RetryPolicy) { p.Backoff = BackoffFixed }), 3, failed, 0, time.Second, true},
		"no delay":              {with(func(p *RetryPolicy) { p.Delay, p.Jitter = 0, 1 }), 3, failed, 0.5, 0, true},
		"half of it is chance":  {with(func(p *RetryPolicy) { p.Jitter = 0.5 }), 2, failed, 0.5, 1500 * time.Millisecond, true},
		"all of it is chance":   {with(func(p *RetryPolicy) { p.Jitter = 1 }), 1, failed, 0.9999999, time.Millisecond, true},
		"very many tries":       {with(func(p *RetryPolicy) { p.MaxAttempts = math.MaxInt }), math.MaxInt - 1, failed, 0, 5 * time.Second, true},
		"longest of all delays": {with(func(p *RetryPolicy) { p.Delay, p.MaxDelay = math.MaxInt64, math.MaxInt64 }), 3, failed, 0, time.Duration(math.MaxInt64 / 2).Truncate(time.Millisecond), true},
	} {
		t.Run(name, func(t *testing.T) {
			delay, again := c.policy.Next(c.try, c.err, c.random)
			require.Equal(t, c.again, again)
			require.Equal(t, c.delay, delay)
		})
	}
}

func TestPausesStayInTheirBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := RetryPolicy{
			MaxAttempts: 1000, Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
			Delay:    time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "delay")),
			MaxDelay: time.Duration(rapid.Int64Range(1e6, 1e13).Draw(t, "max")),
			Backoff:  rapid.SampledFrom([]Backoff{BackoffFixed, BackoffLinear, BackoffExponential}).Draw(t, "backoff"),
		}
		random := rapid.Float64Range(0, 0.999999).Draw(t, "random")
		delay, again := p.Next(rapid.IntRange(1, 999).Draw(t, "try"), &Error{Retryable: true}, random)
		require.True(t, again)
		require.LessOrEqual(t, delay, p.MaxDelay)
		require.Zero(t, delay%time.Millisecond)
		require.Equal(t, p.Delay == 0, delay == 0)
	})
}

func TestFingerprints(t *testing.T) {
	same := [][2]string{
		{`connect 10.0.0.1:5432 refused after 12ms`, `connect 10.0.0.22:6000 refused after 3ms`},
		{`no row "alice" in 'users'`, `no row "bob" in 'orders'`},
		{`job 0b3e0b7a-3c1f-4a53-9d2e-1c2d3e4f5a6b failed`, `job 11111111-2222-3333-4444-555566667777 failed`},
		{`at 0xc000123 in 2026-01-02T03:04:05Z`, `at 0xff in 2027-11-12T13:14:15Z`},
		{`GET https://a.example/x?y=1: EOF`, `GET https://b.example/z: EOF`},
		{`commit deadbeef12345678 missing`, `commit 0123456789abcdef missing`},
		{"Timed  Out\nafter 3 tries", "timed out after 4 tries"},
	}
	for _, pair := range same {
		one := Fingerprint("http", "each[eu].load", &Error{Code: "c", Message: pair[0]})
		other := Fingerprint("http", "each[us].load", &Error{Code: "c", Message: pair[1]})
		require.Equal(t, one, other, pair)
		require.Regexp(t, "^[0-9a-f]{16}$", one)
	}
	base := Fingerprint("http", "load", &Error{Code: "c", Message: "refused"})
	require.NotEqual(t, base, Fingerprint("exec", "load", &Error{Code: "c", Message: "refused"}))
	require.NotEqual(t, base, Fingerprint("http", "save", &Error{Code: "c", Message: "refused"}))
	require.NotEqual(t, base, Fingerprint("http", "load", &Error{Code: "d", Message: "refused"}))
	require.NotEqual(t, base, Fingerprint("http", "load", &Error{Code: "c", Message: "not found"}))
	require.Empty(t, Fingerprint("http", "load", nil))
}
