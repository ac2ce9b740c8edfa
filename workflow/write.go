package workflow

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// valueWriter writes a CEL value as JSON.
type valueWriter struct {
	out   []byte
	limit int
}

const maxResultDepth = 200

func (w *valueWriter) value(v ref.Val, depth int) error {
	if depth > maxResultDepth {
		return fmt.Errorf("the result is nested deeper than %d levels", maxResultDepth)
	}
	if len(w.out) > w.limit {
		return errTooLarge
	}
	switch v := v.(type) {
	case types.Null:
		w.out = append(w.out, "null"...)
	case types.Bool:
		w.out = strconv.AppendBool(w.out, bool(v))
	case types.Int:
		w.out = strconv.AppendInt(w.out, int64(v), 10)
	case types.Uint:
		w.out = strconv.AppendUint(w.out, uint64(v), 10)
	case bigInt:
		w.out = append(w.out, v.literal...)
	case types.Double:
		return w.double(float64(v))
	case types.String:
		w.out = appendQuoted(w.out, string(v))
	case types.Timestamp:
		w.out = appendQuoted(w.out, v.Time.UTC().Format(time.RFC3339Nano))
	case types.Duration:
		w.out = appendQuoted(w.out, v.String())
	case *types.Optional:
		if !v.HasValue() {
			return errors.New("the result is an optional without a value; say what holds then with orValue(...)")
		}
		return w.value(v.GetValue(), depth)
	case types.Bytes:
		return errors.New("the result is bytes, which JSON cannot hold; use base64.encode(...) or string(...)")
	case traits.Mapper:
		return w.object(v, depth)
	case traits.Lister:
		return w.list(v, depth)
	default:
		return fmt.Errorf("the result is of type %s, which JSON cannot hold", v.Type().TypeName())
	}
	return nil
}

// double writes a double so that it reads as a double again: 2.0, not 2.
func (w *valueWriter) double(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("the result is %v, which JSON cannot hold", f)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	text := strconv.FormatFloat(f, format, -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	w.out = append(w.out, text...)
	return nil
}

func (w *valueWriter) list(l traits.Lister, depth int) error {
	w.out = append(w.out, '[')
	comma := false
	for it := l.Iterator(); it.HasNext() == types.True; comma = true {
		if comma {
			w.out = append(w.out, ',')
		}
		if err := w.value(it.Next(), depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *valueWriter) object(m traits.Mapper, depth int) error {
	var keys []string
	for it := m.Iterator(); it.HasNext() == types.True; {
		k, ok := it.Next().(types.String)
		if !ok {
			return errors.New("the result is a map with keys that are not strings; use string(key)")
		}
		keys = append(keys, string(k))
	}
	slices.Sort(keys)
	w.out = append(w.out, '{')
	for i, k := range keys {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = append(appendQuoted(w.out, k), ':')
		if err := w.value(m.Get(types.String(k)), depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}
