package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
)

// What tasks and authors wrote is coloured on a terminal, and cannot steer it.
func TestTextOfUsersOnATerminal(t *testing.T) {
	s := &session{printer: &printer{style: style{color: true}}}
	e := client.LogEntry{At: time.Now(), Level: client.LogLevelError, Ref: "load", Attempt: 2, Message: "it broke\nbadly\x1b[2J"}
	line := s.logLine(e)
	require.Contains(t, line, "\x1b[31merror\x1b[0m \x1b[36mload#2\x1b[0m \x1b[31mit broke\n    badly\uFFFD[2J\x1b[0m")
	e.Level, e.Message = client.LogLevelInfo, "fine"
	require.Regexp(t, "\x1b\\[32minfo \x1b\\[0m .* fine$", s.logLine(e))
	require.Equal(t, "\x1b[32m+ a\uFFFDb\x1b[0m", s.diffLine("+ a\u009bb"))
	require.Equal(t, "\x1b[31m- a\x1b[0m", s.diffLine("- a"))
	require.Equal(t, "\x1b[1m--- one version 1\x1b[0m", s.diffLine("--- one version 1"))
	require.Equal(t, "\x1b[36m@@ -1 +1 @@\x1b[0m", s.diffLine("@@ -1 +1 @@"))
	s.style.color = false
	require.Equal(t, "+ a", s.diffLine("+ a"))
}
