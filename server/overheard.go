package server

import (
	"encoding/json"
	"io"
)

// asked is what the audit takes out of a body, and nothing else.
type asked struct {
	Reason, Note string
	DryRun       bool
}

// overheard takes what the audit wants out of a body in JSON while somebody else reads it, wherever it stands: a bulk
// operation names its reason behind 100,000 ids.
type overheard struct {
	io.ReadCloser
	said asked

	depth   int
	text    bool // inside of a string
	escaped bool // behind a backslash
	named   bool // the outermost field has its name: a value comes
	field   string
	kept    []byte // of the name, or of the value that is wanted
	over    bool   // it ended, or is no object
}

// overhears is how many bytes of a value are kept: the longest reason that is allowed, each letter escaped.
const overhears = 16 << 10

func (o *overheard) Read(b []byte) (int, error) {
	n, err := o.ReadCloser.Read(b)
	for _, c := range b[:n] {
		if o.over {
			break
		}
		o.hear(c)
	}
	return n, err
}

func (o *overheard) hear(c byte) {
	if o.text {
		o.keep(c)
		switch {
		case o.escaped:
			o.escaped = false
		case c == '\\':
			o.escaped = true
		case c == '"':
			o.text = false
		}
		return
	}
	if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
		return
	}
	if o.depth == 0 {
		o.depth, o.over = 1, c != '{'
		return
	}
	switch c {
	case '{', '[':
		o.depth++
	case '}', ']':
		if o.depth--; o.depth == 0 {
			o.ended()
			o.over = true
			return
		}
	case ',', ':':
		if o.depth == 1 {
			o.between(c)
			return
		}
	case '"':
		o.text = true
	}
	o.keep(c)
}

// between is behind a name, or behind a value.
func (o *overheard) between(c byte) {
	if c == ',' {
		o.ended()
		o.named = false
	} else {
		_ = json.Unmarshal(o.kept, &o.field) // what is no name is refused by whoever reads the body
		o.named = true
	}
	o.kept = o.kept[:0]
}

func (o *overheard) keep(c byte) {
	if len(o.kept) < overhears && (!o.named || o.into() != nil) {
		o.kept = append(o.kept, c)
	}
}

// into is where the value of the field belongs; nil where nobody wants it.
func (o *overheard) into() any {
	switch o.field {
	case "reason":
		return &o.said.Reason
	case "note":
		return &o.said.Note
	case "dry_run":
		return &o.said.DryRun
	}
	return nil
}

func (o *overheard) ended() {
	if into := o.into(); o.named && into != nil {
		_ = json.Unmarshal(o.kept, into) // of another type, it is none
	}
}
