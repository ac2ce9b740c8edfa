package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		output, version string
		enough          bool
	}{
		{"Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "7.0.15", true},
		{"Redis server v=6.2.0 sha=0", "6.2.0", true},
		{"Redis server v=6.0.16 sha=0", "6.0.16", false},
		{"Redis server v=10.0 sha=0", "10.0", true},
		{"Redis server v=5.9.9 sha=0", "5.9.9", false},
	} {
		version, err := parseVersion(c.output)
		require.NoError(t, err)
		require.Equal(t, c.version, version)
		require.Equal(t, c.enough, newEnough(version), c.version)
	}
	_, err := parseVersion("something else")
	require.ErrorContains(t, err, "cannot read a version")
}
