package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// style writes colours where a person looks, and plain text everywhere else.
type style struct{ color bool }

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	purple = "35"
	cyan   = "36"
	gray   = "90"
)

func (s style) paint(color, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string { return s.paint("1", text) }
func (s style) dim(text string) string  { return s.paint(gray, text) }

// look is how a status is shown: the symbol carries it where there is no colour.
type look struct{ symbol, color string }

var looks = map[string]look{
	"pending":   {"·", gray},
	"queued":    {"○", gray},
	"running":   {"▶", blue},
	"retrying":  {"↻", yellow},
	"waiting":   {"◷", purple},
	"paused":    {"‖", yellow},
	"canceling": {"◌", yellow},
	"succeeded": {"✔", green},
	"failed":    {"✘", red},
	"timed_out": {"⧗", red},
	"canceled":  {"⊘", yellow},
	"skipped":   {"↷", gray},
	"kept":      {"✔", gray}, // of an event only
}

// status is a status with its symbol, coloured.
func (s style) status(status string) string {
	l, known := looks[status]
	if !known {
		return status
	}
	return s.paint(l.color, l.symbol+" "+status)
}

// terminal reports whether w is a terminal, and how wide and high.
func terminal(w io.Writer) (width, height int, is bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0, false
	}
	// File descriptors are small; the conversion cannot overflow.
	fd := int(f.Fd())
	if !term.IsTerminal(fd) || os.Getenv("TERM") == "dumb" {
		return 0, 0, false
	}
	width, height, err := term.GetSize(fd)
	if err != nil || width < 20 || height < 5 {
		return 80, 24, true
	}
	return width, height, true
}

func styleFor(w io.Writer) style {
	if os.Getenv("NO_COLOR") != "" {
		return style{}
	}
	_, _, is := terminal(w)
	return style{color: is}
}
