package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

const (
	maxSafe        = 1<<53 - 1 // the largest integer that a JavaScript number holds exactly
	maxScriptValue = 1 << 20
	maxScriptDepth = 1000
)

var promiseType = reflect.TypeFor[*goja.Promise]()

// readValue makes JSON a value of the machine. Integers that its numbers cannot hold become BigInts, so that none changes unseen.
func readValue(vm *goja.Runtime, text json.RawMessage) (goja.Value, error) {
	if len(text) == 0 {
		return goja.Null(), nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return readNext(vm, d)
}

func readNext(vm *goja.Runtime, d *json.Decoder) (goja.Value, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '[' {
			return readList(vm, d)
		}
		return readObject(vm, d)
	case json.Number:
		return readNumber(vm, v.String())
	case nil:
		return goja.Null(), nil
	}
	return vm.ToValue(token), nil
}

func readList(vm *goja.Runtime, d *json.Decoder) (goja.Value, error) {
	items := []any{}
	for d.More() {
		v, err := readNext(vm, d)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	_, err := d.Token()
	return vm.NewArray(items...), err
}

func readObject(vm *goja.Runtime, d *json.Decoder) (goja.Value, error) {
	o := vm.NewObject()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("%v is no name of a field", key)
		}
		v, err := readNext(vm, d)
		if err != nil {
			return nil, err
		}
		if err := o.DefineDataProperty(name, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return o, err
}

func readNumber(vm *goja.Runtime, text string) (goja.Value, error) {
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("the number %s: %w", clip(text, 40), err)
		}
		return vm.ToValue(f), nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && -maxSafe <= n && n <= maxSafe {
		return vm.ToValue(n), nil
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return nil, fmt.Errorf("%s is no number", clip(text, 40))
	}
	return vm.ToValue(n), nil
}

// valueWriter writes a value of the machine as JSON.stringify does, BigInts as integers.
type valueWriter struct {
	vm   *goja.Runtime
	b    bytes.Buffer
	open map[*goja.Object]bool // on the way down
}

// root writes what a script answered; undefined is null, a promise what it was fulfilled with.
func (w *valueWriter) root(v goja.Value) error {
	if o, ok := v.(*goja.Object); ok && o.ExportType() == promiseType { // exporting an array would make all of it
		if p, ok := o.Export().(*goja.Promise); ok {
			switch p.State() {
			case goja.PromiseStateFulfilled:
				v = p.Result()
			case goja.PromiseStateRejected:
				return fmt.Errorf("the promise was rejected: %s", p.Result())
			default:
				return errors.New("the promise that it answered can never be fulfilled: nothing goes on when the script has ended")
			}
		}
	}
	wrote, err := w.value(v, "")
	if err == nil && !wrote {
		w.b.WriteString("null")
	}
	return err
}

// value writes a value, or reports that JSON has nothing for it.
func (w *valueWriter) value(v goja.Value, key string) (wrote bool, err error) {
	if w.b.Len() > maxScriptValue {
		return false, fmt.Errorf("its value has more than %d bytes as JSON", maxScriptValue)
	}
	if o, ok := v.(*goja.Object); ok {
		if toJSON, ok := goja.AssertFunction(o.Get("toJSON")); ok {
			if v, err = toJSON(o, w.vm.ToValue(key)); err != nil {
				return false, err
			}
		}
	}
	switch v := v.(type) {
	case nil, *goja.Symbol:
		return false, nil
	case *goja.Object:
		return w.object(v)
	}
	if goja.IsUndefined(v) {
		return false, nil
	}
	return true, w.primitive(v)
}

func (w *valueWriter) primitive(v goja.Value) error {
	switch x := v.Export().(type) {
	case nil:
		w.b.WriteString("null")
	case bool:
		w.b.WriteString(strconv.FormatBool(x))
	case string:
		return w.text(x)
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			w.b.WriteString("null")
			return nil
		}
		w.b.WriteString(v.String())
	case int64, *big.Int:
		w.b.WriteString(v.String())
	default:
		return fmt.Errorf("a value of type %T has no form in JSON", x)
	}
	return nil
}

func (w *valueWriter) text(s string) error {
	e := json.NewEncoder(&w.b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return err
	}
	w.b.Truncate(w.b.Len() - 1) // the line's end
	return nil
}

func (w *valueWriter) object(o *goja.Object) (bool, error) {
	switch o.ClassName() {
	case "Function":
		return false, nil
	case "Number":
		return true, w.primitive(o.ToNumber())
	case "String":
		return true, w.text(o.String())
	case "Boolean":
		return true, w.primitive(w.vm.ToValue(o.Export()))
	}
	if _, callable := goja.AssertFunction(o); callable {
		return false, nil
	}
	if w.open[o] {
		return false, errors.New("its value contains itself")
	}
	if len(w.open) >= maxScriptDepth {
		return false, fmt.Errorf("its value is nested deeper than %d", maxScriptDepth)
	}
	w.open[o] = true
	defer delete(w.open, o)
	if o.ClassName() == "Array" {
		return true, w.list(o)
	}
	return true, w.fields(o)
}

func (w *valueWriter) list(o *goja.Object) error {
	w.b.WriteByte('[')
	for i := range o.Get("length").ToInteger() {
		if i > 0 {
			w.b.WriteByte(',')
		}
		name := strconv.FormatInt(i, 10)
		wrote, err := w.value(o.Get(name), name)
		if err != nil {
			return err
		}
		if !wrote {
			w.b.WriteString("null")
		}
	}
	w.b.WriteByte(']')
	return nil
}

func (w *valueWriter) fields(o *goja.Object) error {
	w.b.WriteByte('{')
	first := true
	for _, name := range o.Keys() {
		before := w.b.Len()
		if !first {
			w.b.WriteByte(',')
		}
		if err := w.text(name); err != nil {
			return err
		}
		w.b.WriteByte(':')
		wrote, err := w.value(o.Get(name), name)
		if err != nil {
			return err
		}
		if !wrote {
			w.b.Truncate(before)
			continue
		}
		first = false
	}
	w.b.WriteByte('}')
	return nil
}
