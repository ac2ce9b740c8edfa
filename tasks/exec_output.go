package tasks

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
)

const (
	maxLine = 4 << 10
	maxTail = 2 << 10
)

// capture takes one stream of a command: it keeps the first bytes as output,
// the last ones for the error message, and logs line by line.
type capture struct {
	ctx   context.Context
	log   *slog.Logger
	level slog.Level
	limit int

	head []byte
	tail []byte
	line []byte
	cut  int64
}

// Write never fails: a command must not die of its own chatter.
func (c *capture) Write(p []byte) (int, error) {
	keep := min(len(p), c.limit-len(c.head))
	c.head = append(c.head, p[:keep]...)
	c.cut += int64(len(p) - keep)
	c.tail = append(c.tail, p...)
	if len(c.tail) > 2*maxTail {
		c.tail = append(c.tail[:0], c.tail[len(c.tail)-maxTail:]...)
	}
	for rest := p; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest)
		}
		c.addLine(rest[:end])
		if end == len(rest) {
			break
		}
		c.flush()
		rest = rest[end+1:]
	}
	return len(p), nil
}

// addLine adds to the unfinished line, and logs it in pieces when it is long.
func (c *capture) addLine(p []byte) {
	for len(p) > 0 {
		n := min(len(p), maxLine-len(c.line))
		c.line = append(c.line, p[:n]...)
		p = p[n:]
		if len(c.line) == maxLine {
			c.flush()
		}
	}
}

// flush logs the line so far.
func (c *capture) flush() {
	if line := strings.TrimRight(string(c.line), "\r"); line != "" {
		c.log.Log(c.ctx, c.level, strings.ToValidUTF8(line, "\uFFFD"))
	}
	c.line = c.line[:0]
}

func (c *capture) text() string { return strings.ToValidUTF8(string(c.head), "\uFFFD") }

// lastLines is the end of the stream, beginning at a line.
func (c *capture) lastLines() string {
	t := c.tail
	if len(t) > maxTail {
		t = t[len(t)-maxTail:]
		if i := bytes.IndexByte(t, '\n'); i >= 0 {
			t = t[i+1:]
		}
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(t), "\uFFFD"))
}
