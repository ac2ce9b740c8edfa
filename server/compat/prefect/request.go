package prefect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	what     string // string, integer, number, boolean, object, list, uuid, time, enum, shape, any
	required bool
	null     bool // null is taken
	of       *kind
	shape    *shape
	enum     []string
	least    *float64
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

// read takes a body apart: what it may be says the shape, into is a pointer to what it is read into. An empty body is an empty object.
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
	if len(strings.TrimSpace(string(text))) == 0 {
		text = []byte("{}")
	}
	body, err := decode(text)
	if err != nil {
		said, at := "the body is nested too deeply", len(text)
		if !errors.Is(err, errNesting) {
			said, at = splitFault(jsonFault(string(text)))
		}
		return unprocessable(string(text), fault{
			Type: "json_invalid", Loc: []any{"body", at}, Msg: "JSON decode error", Input: struct{}{}, Ctx: map[string]any{"error": said},
		})
	}
	if body == nil && k.shape != nil && k.shape.bare {
		body = newObject()
	}
	if faults := k.check(body, []any{"body"}); len(faults) > 0 {
		return unprocessable(body, faults...)
	}
	text, err = plain(body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return unprocessable(body, fault{Type: "value_error", Loc: []any{"body"}, Msg: "Value error, " + err.Error(), Input: body})
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
		case !there && k.required:
			f := fault{Type: "missing", Loc: at, Msg: "Field required", Input: o}
			if s.bare {
				f.Input = nil
			}
			faults = append(faults, f)
		case there && (v != nil || k.required): // clients send null for what they leave out
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
	if v == nil && k.null || k.what == "any" {
		return nil
	}
	switch k.what {
	case "string":
		if _, ok := v.(string); !ok {
			return wrong("string_type", "Input should be a valid string")
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return wrong("bool_parsing", "Input should be a valid boolean, unable to interpret input")
		}
	case "object":
		if _, ok := v.(*object); !ok {
			return wrong("dict_type", "Input should be a valid dictionary")
		}
	case "integer", "number":
		return k.checkNumber(v, loc)
	case "uuid":
		if text, ok := v.(string); !ok || !isUUID(text) {
			return wrong("uuid_parsing", "Input should be a valid UUID")
		}
	case "time":
		text, ok := v.(string)
		if _, fine := parseTime(text); !ok || !fine {
			return wrong("datetime_parsing", "Input should be a valid datetime")
		}
	case "enum":
		return k.checkEnum(v, loc)
	case "list":
		list, ok := v.([]any)
		if !ok {
			return wrong("list_type", "Input should be a valid list")
		}
		var faults []fault
		for i, item := range list {
			faults = append(faults, k.of.check(item, append(slices.Clip(loc), i))...)
		}
		return faults
	case "shape":
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
		return wrong("model_attributes_type", "Input should be a valid dictionary or object to extract fields from")
	}
	return nil
}

func isUUID(text string) bool {
	_, ok := parseID(text)
	return ok
}

func (k kind) checkNumber(v any, loc []any) []fault {
	n, ok := v.(json.Number)
	switch {
	case !ok && k.what == "integer":
		return []fault{{Type: "int_type", Loc: loc, Msg: "Input should be a valid integer", Input: v}}
	case !ok:
		return []fault{{Type: "float_type", Loc: loc, Msg: "Input should be a valid number", Input: v}}
	case k.what == "integer" && (!isInt(n) || len(n) > 18):
		return []fault{{Type: "int_from_float", Loc: loc, Msg: "Input should be a valid integer, got a number with a fractional part", Input: v}}
	case k.least != nil && float(n) < *k.least:
		return []fault{{
			Type: "greater_than_equal", Loc: loc, Msg: "Input should be greater than or equal to " + strconv.FormatFloat(*k.least, 'f', -1, 64),
			Input: v, Ctx: map[string]any{"ge": *k.least},
		}}
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
	return []fault{{Type: "enum", Loc: loc, Msg: "Input should be " + expected, Input: v, Ctx: map[string]any{"expected": expected}}}
}

// The kinds of fields.
var (
	aString  = kind{what: "string"}
	anInt    = kind{what: "integer"}
	aNumber  = kind{what: "number"}
	aBool    = kind{what: "boolean"}
	anObject = kind{what: "object"}
	aUUID    = kind{what: "uuid"}
	aTime    = kind{what: "time"}
	anything = kind{what: "any"}
)

func (k kind) must() kind          { k.required = true; return k }
func (k kind) orNull() kind        { k.null = true; return k }
func (k kind) from(n float64) kind { k.least = &n; return k }
func listOf(k kind) kind           { return kind{what: "list", of: &k} }
func oneOf(names ...string) kind   { return kind{what: "enum", enum: names} }
func shaped(s *shape) kind         { return kind{what: "shape", shape: s} }

func (s *shape) embedded() *shape { s.bare = true; return s }
func (s *shape) opened() *shape   { s.open = true; return s }
