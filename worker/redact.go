package worker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const (
	hidden = "[secret]"
	// shortestHidden keeps a value such as "1" from garbling all that is said.
	shortestHidden = 4
	// shortestEncoded is that for a part of an encoded value, which says less.
	shortestEncoded = 8
)

// redactor keeps the secrets that a run was given out of its log, its failure
// and its output: the values, each of their lines, and both as they look in
// JSON, in URLs, in base64 (alone or within more, as in basic auth) and in hex.
// nil hides nothing.
type redactor struct{ replacer *strings.Replacer }

func newRedactor(r *engine.Run) *redactor {
	var forms []string
	for _, value := range r.Secrets {
		forms = append(forms, formsOf(value)...)
		if strings.ContainsAny(value, "\r\n") { // what exec prints is logged by the line
			for line := range strings.Lines(value) {
				forms = append(forms, formsOf(strings.TrimSpace(line))...)
			}
		}
	}
	if len(forms) == 0 {
		return nil
	}
	slices.SortFunc(forms, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) // whole secrets before their parts
	})
	forms = slices.Compact(forms)
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, hidden)
	}
	return &redactor{strings.NewReplacer(pairs...)}
}

// formsOf are the ways in which a secret is written.
func formsOf(value string) []string {
	if len(value) < shortestHidden {
		return nil
	}
	b := []byte(value)
	forms := []string{value, inJSON(value, true), inJSON(value, false), strconv.Quote(value)[1 : len(strconv.Quote(value))-1],
		url.QueryEscape(value), url.PathEscape(value), strings.ReplaceAll(url.QueryEscape(value), "+", "%20")}
	for _, text := range []string{hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b))} {
		if len(text) >= shortestEncoded {
			forms = append(forms, text)
		}
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		forms = append(forms, encoding.EncodeToString(b), encoding.WithPadding(base64.NoPadding).EncodeToString(b))
		for before := range 3 {
			if part := withinBase64(encoding, b, before); len(part) >= shortestEncoded {
				forms = append(forms, part)
			}
		}
	}
	return forms
}

// withinBase64 is what a text that holds b looks like in base64 whatever stands
// around it, when the bytes before b are a multiple of three and `before` more.
func withinBase64(encoding *base64.Encoding, b []byte, before int) string {
	text := encoding.WithPadding(base64.NoPadding).EncodeToString(append(make([]byte, before), b...))
	from, bits := (before*8+5)/6, (before+len(b))*8
	return text[min(from, bits/6) : bits/6] // without the characters that share bits with what is around
}

func inJSON(s string, html bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	if e.Encode(s) != nil { // a string: cannot happen
		return s
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(b.String()), `"`), `"`)
}

func (x *redactor) failure(f *workflow.Error) *workflow.Error {
	if x == nil || f == nil {
		return f
	}
	clean := *f
	clean.Code, clean.Message = x.replacer.Replace(f.Code), x.replacer.Replace(f.Message)
	return &clean
}

// output hides secrets in the strings and numbers of a JSON value; all else
// stays as it was written.
func (x *redactor) output(value json.RawMessage) json.RawMessage {
	if x == nil {
		return value
	}
	var out []byte // nil as long as nothing was hidden
	done := 0
	for at := 0; at < len(value); {
		end := literal(value, at)
		if end == at {
			at++
			continue
		}
		if clean, changed := x.literal(value[at:end]); changed {
			out = append(append(out, value[done:at]...), clean...)
			done = end
		}
		at = end
	}
	if out == nil {
		return value
	}
	return append(out, value[done:]...)
}

// literal answers where the string or number ends that begins at `at`, or at.
func literal(value []byte, at int) int {
	end := at
	switch c := value[at]; {
	case c == '"':
		for end++; end < len(value) && value[end] != '"'; end++ {
			if value[end] == '\\' {
				end++
			}
		}
		return min(end+1, len(value))
	case c == '-' || c >= '0' && c <= '9':
		for end < len(value) && strings.IndexByte("+-.0123456789eE", value[end]) >= 0 {
			end++
		}
	}
	return end
}

func (x *redactor) literal(raw []byte) (clean []byte, changed bool) {
	text := string(raw)
	if raw[0] == '"' && json.Unmarshal(raw, &text) != nil {
		return raw, false
	}
	hid := x.replacer.Replace(text)
	if hid == text {
		return raw, false
	}
	return []byte(`"` + inJSON(hid, false) + `"`), true
}

func (x *redactor) log(log *slog.Logger) *slog.Logger {
	if x == nil {
		return log
	}
	return slog.New(&redacting{log.Handler(), x})
}

func (x *redactor) attr(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(x.replacer.Replace(a.Key), x.replacer.Replace(v.String()))
	case slog.KindGroup:
		return slog.Attr{Key: x.replacer.Replace(a.Key), Value: slog.GroupValue(x.attrs(v.Group())...)}
	default:
		for _, text := range written(v) {
			if clean := x.replacer.Replace(text); clean != text {
				return slog.String(x.replacer.Replace(a.Key), clean)
			}
		}
	}
	return slog.Attr{Key: x.replacer.Replace(a.Key), Value: a.Value}
}

// written are the ways in which handlers of logs write a value.
func written(v slog.Value) []string {
	if v.Kind() != slog.KindAny {
		return []string{v.String()}
	}
	if b, ok := v.Any().([]byte); ok {
		return []string{string(b)}
	}
	texts := []string{fmt.Sprintf("%+v", v.Any())}
	if b, err := json.Marshal(v.Any()); err == nil {
		texts = append(texts, string(b))
	}
	return texts
}

func (x *redactor) attrs(list []slog.Attr) []slog.Attr {
	clean := make([]slog.Attr, len(list))
	for i, a := range list {
		clean[i] = x.attr(a)
	}
	return clean
}

// redacting is the handler of a log that secrets are kept out of.
type redacting struct {
	slog.Handler
	secrets *redactor
}

func (h *redacting) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, h.secrets.replacer.Replace(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.secrets.attr(a))
		return true
	})
	return h.Handler.Handle(ctx, clean)
}

func (h *redacting) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &redacting{h.Handler.WithAttrs(h.secrets.attrs(attrs)), h.secrets}
}

func (h *redacting) WithGroup(name string) slog.Handler {
	return &redacting{h.Handler.WithGroup(h.secrets.replacer.Replace(name)), h.secrets}
}
