package cognite

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// exact carries the numbers of a definition through JavaScript, which keeps some 16 digits of one: each that it would change
// is a text meanwhile, marked with a token that nobody can know.
type exact struct {
	token string
	back  *regexp.Regexp
}

func newExact() exact {
	token := "number-" + rand.Text() + ":"
	return exact{token, regexp.MustCompile(`\\*"` + token + `([-+.0-9eE]+)\\*"`)}
}

// guard is JSON whose numbers JavaScript does not change.
func (e exact) guard(text json.RawMessage) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(e.marked(v))
}

func (e exact) marked(v any) any {
	switch v := v.(type) {
	case json.Number:
		if !survives(v.String()) {
			return e.token + v.String()
		}
	case []any:
		for i := range v {
			v[i] = e.marked(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = e.marked(v[key])
		}
	}
	return v
}

// restore puts the numbers back, in literals of expressions, too.
func (e exact) restore(text string) string { return e.back.ReplaceAllString(text, "$1") }

// survives reports whether a number is the same when JavaScript has read and written it.
func survives(text string) bool {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return false
	}
	if _, exponent, found := strings.Cut(strings.ToLower(text), "e"); found && len(strings.TrimLeft(exponent, "+-0")) > 3 {
		return false // it is 0 as a float, and would take long to compare
	}
	given, ok := new(big.Rat).SetString(text)
	written, fine := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	return ok && fine && given.Cmp(written) == 0
}
