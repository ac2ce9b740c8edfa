package prefect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/server/problem"
)

// fault is one thing that is wrong with a request, as pydantic tells it.
type fault struct {
	Type  string         `json:"type"`
	Loc   []any          `json:"loc"`
	Msg   string         `json:"msg"`
	Input any            `json:"input"`
	Ctx   map[string]any `json:"ctx,omitempty"`
}

type invalid struct {
	Message string  `json:"exception_message"`
	Detail  []fault `json:"exception_detail"`
	Body    any     `json:"request_body"`
}

func unprocessable(body any, faults ...fault) refused {
	return refused{http.StatusUnprocessableEntity, invalid{"Invalid request received.", faults, body}}
}

// kind says what a field takes.
type kind struct {
	what     string // string, bytes, integer, number, boolean, object, list, sequence, texts, uuid, time, enum, literal, shape, any
	required bool
	null     bool // null is taken
	of       *kind
	shape    *shape
	enum     []string
	least    *float64
	most     *float64
}

// shape is an object of a request. An open one ignores what it does not know.
type shape struct {
	order  []string
	fields map[string]kind
	open   bool
	bare   bool // a body that FastAPI puts together: what is missing has no input
}

func shapeOf(pairs ...any) *shape {
	s := &shape{fields: map[string]kind{}}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		s.order = append(s.order, name)
		s.fields[name] = pairs[i+1].(kind)
	}
	return s
}

// read takes a body apart: what it may be says the shape, into is a pointer to what it is read into. No body is an empty
// object where the body is put together of fields.
func read(r *http.Request, s *shape, into any) error {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return problem.New(http.StatusRequestEntityTooLarge, "body_too_large", "the body is larger than %d bytes", large.Limit)
		}
		return fmt.Errorf("prefect: reading a body: %w", err)
	}
	return readText(text, kind{what: "shape", shape: s}, into)
}

func readText(text []byte, k kind, into any) error {
	var given any
	if len(strings.TrimSpace(string(text))) > 0 {
		var err error
		if given, err = decode(text); err != nil {
			said, at := "the body is nested too deeply", len(text)
			if !errors.Is(err, errNesting) {
				said, at = splitFault(jsonFault(string(text)))
			}
			return unprocessable(string(text), fault{
				Type: "json_invalid", Loc: []any{"body", at}, Msg: "JSON decode error", Input: struct{}{}, Ctx: map[string]any{"error": said},
			})
		}
	}
	body := given
	if body == nil {
		if k.shape == nil || !k.shape.bare {
			return unprocessable(nil, fault{Type: "missing", Loc: []any{"body"}, Msg: "Field required"})
		}
		body = newObject()
	}
	if faults := k.check(body, []any{"body"}); len(faults) > 0 {
		return unprocessable(given, faults...)
	}
	text, err := plain(k.strict(body))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return unprocessable(given, fault{Type: "value_error", Loc: []any{"body"}, Msg: "Value error, " + err.Error(), Input: given})
	}
	return nil
}

// splitFault takes the place off what Python says of a text that is no JSON.
func splitFault(said string) (text string, at int) {
	text, place, _ := strings.Cut(said, ": line ")
	_, char, _ := strings.Cut(place, "(char ")
	at, _ = strconv.Atoi(strings.TrimSuffix(char, ")")) // written by jsonFault
	return text, at
}

func (s *shape) check(o *object, loc []any) []fault {
	var faults []fault
	for _, name := range s.order {
		k, at := s.fields[name], append(slices.Clip(loc), name)
		v, there := o.get(name)
		switch {
		case k.required && (!there || v == nil && s.bare):
			f := fault{Type: "missing", Loc: at, Msg: "Field required", Input: o}
			if s.bare {
				f.Input = nil
			}
			faults = append(faults, f)
		case there && (v != nil || !s.bare): // null stands for nothing in a body that FastAPI puts together
			faults = append(faults, k.check(v, at)...)
		}
	}
	if s.open || s.bare {
		return faults
	}
	for _, name := range o.keys {
		if _, known := s.fields[name]; !known {
			faults = append(faults, fault{Type: "extra_forbidden", Loc: append(slices.Clip(loc), name), Msg: "Extra inputs are not permitted", Input: o.values[name]})
		}
	}
	return faults
}

func (k kind) check(v any, loc []any) []fault {
	wrong := func(kind, msg string) []fault { return []fault{{Type: kind, Loc: loc, Msg: msg, Input: v}} }
	text, isText := v.(string)
	switch {
	case v == nil && k.null || k.what == "any":
	case k.what == "string" && !isText:
		return wrong("string_type", "Input should be a valid string")
	case k.what == "bytes" && !isText:
		return wrong("bytes_type", "Input should be a valid bytes")
	case k.what == "boolean":
		if _, ok := truth(v); !ok {
			if _, number := v.(json.Number); isText || number {
				return wrong("bool_parsing", "Input should be a valid boolean, unable to interpret input")
			}
			return wrong("bool_type", "Input should be a valid boolean")
		}
	case k.what == "object":
		if _, ok := v.(*object); !ok {
			return wrong("dict_type", "Input should be a valid dictionary")
		}
	case k.what == "integer" || k.what == "number":
		return k.checkNumber(v, loc)
	case k.what == "uuid":
		return checkUUID(v, loc)
	case k.what == "time":
		if _, ok := lenientTime(v); !ok && isText {
			return []fault{{Type: "value_error", Loc: loc, Msg: "Value error, Unable to parse string [" + text + "]", Input: v, Ctx: map[string]any{"error": struct{}{}}}}
		} else if !ok {
			return wrong("value_error", "value is not a valid datetime")
		}
	case k.what == "enum" || k.what == "literal":
		return k.checkEnum(v, loc)
	case k.of != nil:
		return k.checkParts(v, loc)
	case k.what == "shape":
		return k.checkShape(v, loc)
	}
	return nil
}

// checkParts is of lists, and of objects whose values are of one kind.
func (k kind) checkParts(v any, loc []any) []fault {
	var faults []fault
	list, isList := v.([]any)
	o, isObject := v.(*object)
	switch {
	case k.what == "texts" && !isObject:
		return []fault{{Type: "dict_type", Loc: loc, Msg: "Input should be a valid dictionary", Input: v}}
	case k.what == "texts":
		for _, name := range o.keys {
			faults = append(faults, k.of.check(o.values[name], append(slices.Clip(loc), name))...)
		}
		return faults
	case k.what == "sequence" && !isList:
		return []fault{{Type: "is_instance_of", Loc: loc, Msg: "Input should be an instance of Sequence", Input: v, Ctx: map[string]any{"class": "Sequence"}}}
	case !isList:
		return []fault{{Type: "list_type", Loc: loc, Msg: "Input should be a valid list", Input: v}}
	}
	for i, item := range list {
		faults = append(faults, k.of.check(item, append(slices.Clip(loc), i))...)
	}
	return faults
}

func (k kind) checkShape(v any, loc []any) []fault {
	o, ok := v.(*object)
	switch {
	case ok:
		return k.shape.check(o, loc)
	case k.shape.bare: // it is put together of fields, and has none of them
		var faults []fault
		for _, name := range k.shape.order {
			faults = append(faults, fault{Type: "missing", Loc: append(slices.Clip(loc), name), Msg: "Field required"})
		}
		return faults
	}
	return []fault{{Type: "model_attributes_type", Loc: loc, Msg: "Input should be a valid dictionary or object to extract fields from", Input: v}}
}

func (k kind) checkNumber(v any, loc []any) []fault {
	wrong := func(kind, msg string) []fault { return []fault{{Type: kind, Loc: loc, Msg: msg, Input: v}} }
	whole := k.what == "integer"
	_, isText := v.(string)
	n, ok := lenientNumber(v, whole)
	bounded := func(kind, than string, bound *float64, key string) []fault {
		return []fault{{
			Type: kind, Loc: loc, Msg: "Input should be " + than + " than or equal to " + strconv.FormatFloat(*bound, 'f', -1, 64),
			Input: v, Ctx: map[string]any{key: *bound},
		}}
	}
	switch {
	case !ok && isText && whole:
		return wrong("int_parsing", "Input should be a valid integer, unable to parse string as an integer")
	case !ok && isText:
		return wrong("float_parsing", "Input should be a valid number, unable to parse string as a number")
	case !ok && whole:
		return wrong("int_type", "Input should be a valid integer")
	case !ok:
		return wrong("float_type", "Input should be a valid number")
	case whole && math.IsInf(float(n), 0):
		return wrong("finite_number", "Input should be a finite number")
	case whole && !isInt(n):
		return wrong("int_from_float", "Input should be a valid integer, got a number with a fractional part")
	case whole && len(n) > 18:
		return wrong("int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size")
	case k.least != nil && float(n) < *k.least:
		return bounded("greater_than_equal", "greater", k.least, "ge")
	case k.most != nil && float(n) > *k.most:
		return bounded("less_than_equal", "less", k.most, "le")
	}
	return nil
}

func (k kind) checkEnum(v any, loc []any) []fault {
	text, ok := v.(string)
	quoted := make([]string, len(k.enum))
	for i, name := range k.enum {
		if ok && name == text {
			return nil
		}
		quoted[i] = "'" + name + "'"
	}
	last := len(quoted) - 1
	expected := strings.Join(quoted[:last], ", ") + " or " + quoted[last]
	kind := "enum"
	if k.what == "literal" {
		kind = "literal_error"
	}
	return []fault{{Type: kind, Loc: loc, Msg: "Input should be " + expected, Input: v, Ctx: map[string]any{"expected": expected}}}
}

// The kinds of fields.
var (
	aString   = kind{what: "string"}
	anInt     = kind{what: "integer"}
	aNumber   = kind{what: "number"}
	aBool     = kind{what: "boolean"}
	anObject  = kind{what: "object"}
	aUUID     = kind{what: "uuid"}
	someBytes = kind{what: "bytes"}
	aTime     = kind{what: "time"}
	anything  = kind{what: "any"}
)

func (k kind) must() kind          { k.required = true; return k }
func (k kind) orNull() kind        { k.null = true; return k }
func (k kind) from(n float64) kind { k.least = &n; return k }
func (k kind) upTo(n float64) kind { k.most = &n; return k }
func listOf(k kind) kind           { return kind{what: "list", of: &k} }
func oneOf(names ...string) kind   { return kind{what: "enum", enum: names} }
func shaped(s *shape) kind         { return kind{what: "shape", shape: s} }

func (s *shape) embedded() *shape { s.bare = true; return s }
func (s *shape) opened() *shape   { s.open = true; return s }
