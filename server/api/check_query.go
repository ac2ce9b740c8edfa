package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/redrive/redrive/workflow"
)

// checkQuery checks the query and rewrites "a=x,y" of a list to "a=x&a=y".
func checkQuery(op *operation, r *http.Request) workflow.Problems {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return workflow.Problems{{Field: "query", Code: "syntax", Message: "cannot be read: " + err.Error(), Allowed: "name=value pairs, percent-encoded"}}
	}
	known := map[string]*openapi3.Schema{}
	for _, p := range op.params {
		if p.In == "query" {
			known[p.Name] = p.Schema.Value
		}
	}
	var wrong workflow.Problems
	for _, p := range op.params {
		if p.In == "query" && p.Required && len(query[p.Name]) == 0 {
			wrong = append(wrong, missing(p.Name))
		}
	}
	split := false
	for _, name := range sortedKeys(query) {
		schema, ok := known[name]
		if !ok {
			wrong = append(wrong, unknown(name, "unknown_parameter", "parameter", sortedKeys(known)))
			continue
		}
		if schemaType(schema) == "array" {
			query[name] = strings.Split(strings.Join(query[name], ","), ",")
			split = true
			for _, item := range query[name] {
				wrong = append(wrong, checkText(schema.Items.Value, name, item)...)
			}
			if schema.MaxItems != nil && uint64(len(query[name])) > *schema.MaxItems {
				wrong = append(wrong, workflow.Problem{Field: name, Code: "too_many", Message: "has too many values", Allowed: fmt.Sprintf("at most %d", *schema.MaxItems)})
			}
			continue
		}
		if len(query[name]) > 1 {
			wrong = append(wrong, workflow.Problem{Field: name, Code: "repeated", Message: "is given more than once", Allowed: "one value"})
			continue
		}
		wrong = append(wrong, checkText(schema, name, query[name][0])...)
	}
	if split {
		r.URL.RawQuery = query.Encode()
	}
	return wrong
}

// checkText checks a parameter, which comes as text, against its schema.
func checkText(s *openapi3.Schema, field, text string) workflow.Problems {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return workflow.Problems{{Field: field, Code: "invalid_text", Message: "holds invalid UTF-8 or control characters", Allowed: "printable UTF-8"}}
	}
	switch schemaType(s) {
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || (text[0] < '0' || text[0] > '9') {
			return wrongType(field, s, fmt.Sprintf("%q is not an integer", text))
		}
		return checkRange(s, field, float64(n))
	case "boolean":
		if text != "true" && text != "false" {
			return wrongType(field, s, fmt.Sprintf("%q is not a boolean", text))
		}
		return nil
	}
	wrong := checkString(s, field, text)
	if s.Format == "date-time" && len(wrong) > 0 {
		wrong[0].Allowed += " (write + as %2B)"
	}
	return wrong
}

func checkString(s *openapi3.Schema, field, text string) workflow.Problems {
	if s.Format == "date-time" {
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			return workflow.Problems{{Field: field, Code: "format", Message: fmt.Sprintf("%q is not a time", text), Allowed: "RFC 3339, as 2026-01-31T08:00:00Z"}}
		}
		return nil
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, any(text)) {
		return workflow.Problems{{Field: field, Code: "enum", Message: fmt.Sprintf("%q is not known", text), Allowed: enumText(s)}}
	}
	n := uint64(utf8.RuneCountInString(text))
	if n < s.MinLength || (s.MaxLength != nil && n > *s.MaxLength) {
		allowed := fmt.Sprintf("%d characters or more", s.MinLength)
		if s.MaxLength != nil {
			allowed = fmt.Sprintf("%d to %d characters", s.MinLength, *s.MaxLength)
		}
		return workflow.Problems{{Field: field, Code: "length", Message: fmt.Sprintf("has %d characters", n), Allowed: allowed}}
	}
	if s.Pattern != "" && !pattern(s.Pattern).MatchString(text) {
		return workflow.Problems{{Field: field, Code: "pattern", Message: fmt.Sprintf("%q is not written as it must be", text), Allowed: "what matches " + s.Pattern}}
	}
	return nil
}

func checkRange(s *openapi3.Schema, field string, n float64) workflow.Problems {
	if (s.Min != nil && n < *s.Min) || (s.Max != nil && n > *s.Max) {
		return workflow.Problems{{Field: field, Code: "range", Message: fmt.Sprintf("%.0f is out of range", n), Allowed: rangeText(s)}}
	}
	return nil
}

func rangeText(s *openapi3.Schema) string {
	switch {
	case s.Min != nil && s.Max != nil:
		return fmt.Sprintf("%.0f to %.0f", *s.Min, *s.Max)
	case s.Min != nil:
		return fmt.Sprintf("%.0f or more", *s.Min)
	case s.Max != nil:
		return fmt.Sprintf("%.0f or less", *s.Max)
	}
	return "an integer"
}

func enumText(s *openapi3.Schema) string {
	names := make([]string, len(s.Enum))
	for i, v := range s.Enum {
		names[i] = fmt.Sprint(v)
	}
	return strings.Join(names, ", ")
}

func unknown(field, code, what string, allowed []string) workflow.Problem {
	names := strings.Join(allowed, ", ")
	if names == "" {
		names = "none"
	}
	return workflow.Problem{Field: field, Code: code, Message: "is no known " + what, Allowed: names}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
