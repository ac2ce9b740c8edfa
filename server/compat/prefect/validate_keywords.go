package prefect

import (
	"encoding/json"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// rule checks a value against one keyword of a schema.
type rule func(c *checker, of, value any, schema *object) []*failing

// keyword is the rule of a keyword; nil = it checks nothing. The texts are those of Python's jsonschema.
func keyword(name string) rule {
	switch name {
	case "type":
		return checkType
	case "enum":
		return checkEnum
	case "const":
		return func(_ *checker, of, value any, _ *object) []*failing {
			return unless(equal(value, of), "%s was expected", repr(of))
		}
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		return checkBound(name)
	case "multipleOf":
		return checkMultiple
	case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
		return checkSize(name)
	case "uniqueItems":
		return checkUnique
	case "pattern":
		return checkPattern
	case "required":
		return checkRequired
	case "properties":
		return checkProperties
	case "patternProperties":
		return checkPatternProperties
	case "additionalProperties":
		return checkAdditional
	case "propertyNames":
		return checkNames
	case "dependentRequired", "dependentSchemas":
		return checkDependent
	case "items":
		return checkItems
	case "prefixItems":
		return checkPrefix
	case "contains":
		return checkContains
	case "$ref":
		return checkRef
	case "allOf":
		return checkAll
	case "anyOf":
		return checkAny
	case "oneOf":
		return checkOne
	case "not":
		return func(c *checker, of, value any, _ *object) []*failing {
			return unless(!c.valid(value, of), "%s should not be valid under %s", repr(value), repr(of))
		}
	case "if":
		return checkIf
	case "unevaluatedItems", "unevaluatedProperties", "$dynamicRef":
		return func(c *checker, _, _ any, _ *object) []*failing {
			c.err = schemaError{name + " is not checked by this server"}
			return nil
		}
	}
	return nil
}

func unless(ok bool, format string, args ...any) []*failing {
	if ok {
		return nil
	}
	return fails(format, args...)
}

func checkType(_ *checker, of, value any, _ *object) []*failing {
	types, list := of.([]any)
	if !list {
		types = []any{of}
	}
	for _, name := range types {
		if text, ok := name.(string); ok && isType(value, text) {
			return nil
		}
	}
	return fails("%s is not of type %s", repr(value), joined(types))
}

func checkEnum(_ *checker, of, value any, _ *object) []*failing {
	all, _ := of.([]any)
	return unless(slices.ContainsFunc(all, func(v any) bool { return equal(v, value) }), "%s is not one of %s", repr(value), repr(of))
}

func checkBound(name string) rule {
	return func(_ *checker, of, value any, _ *object) []*failing {
		n, ok := value.(json.Number)
		bound, has := of.(json.Number)
		if !ok || !has {
			return nil
		}
		order := compareNumbers(n, bound)
		switch {
		case name == "minimum" && order < 0:
			return fails("%s is less than the minimum of %s", repr(n), repr(bound))
		case name == "maximum" && order > 0:
			return fails("%s is greater than the maximum of %s", repr(n), repr(bound))
		case name == "exclusiveMinimum" && order <= 0:
			return fails("%s is less than or equal to the minimum of %s", repr(n), repr(bound))
		case name == "exclusiveMaximum" && order >= 0:
			return fails("%s is greater than or equal to the maximum of %s", repr(n), repr(bound))
		}
		return nil
	}
}

func checkMultiple(_ *checker, of, value any, _ *object) []*failing {
	n, ok := value.(json.Number)
	by, has := of.(json.Number)
	if !ok || !has {
		return nil
	}
	q := float(n) / float(by)
	whole := q == math.Trunc(q) && !math.IsInf(q, 0)
	if isInt(by) && isInt(n) {
		x, y := exact(n), exact(by)
		whole = y.Sign() != 0 && new(big.Rat).Quo(x, y).IsInt()
	}
	return unless(whole, "%s is not a multiple of %s", repr(n), repr(by))
}

func checkSize(name string) rule {
	kind := name[3:]
	return func(_ *checker, of, value any, _ *object) []*failing {
		size := -1
		switch v := value.(type) {
		case []any:
			if kind == "Items" {
				size = len(v)
			}
		case string:
			if kind == "Length" {
				size = utf8.RuneCountInString(v)
			}
		case *object:
			if kind == "Properties" {
				size = len(v.keys)
			}
		}
		bound, ok := of.(json.Number)
		if size < 0 || !ok {
			return nil
		}
		limit := float(bound)
		short, long := "is too short", "is too long"
		if kind == "Properties" {
			short, long = "does not have enough properties", "has too many properties"
		}
		if limit == 1 {
			short = "should be non-empty"
		}
		if limit == 0 {
			long = "is expected to be empty"
		}
		if name[:3] == "min" {
			return unless(float64(size) >= limit, "%s %s", repr(value), short)
		}
		return unless(float64(size) <= limit, "%s %s", repr(value), long)
	}
}

func checkUnique(_ *checker, of, value any, _ *object) []*failing {
	list, ok := value.([]any)
	if !ok || of != true {
		return nil
	}
	seen := map[string][]any{} // by what equal values have in common
	for _, v := range list {
		key := repr(v)
		if n, ok := v.(json.Number); ok {
			key = big.NewFloat(float(n)).String()
		}
		if _, nested := v.(*object); nested {
			key = "{"
		}
		if slices.ContainsFunc(seen[key], func(other any) bool { return equal(v, other) }) {
			return fails("%s has non-unique elements", repr(value))
		}
		seen[key] = append(seen[key], v)
	}
	return nil
}

// search looks for a pattern; what RE2 does not know makes the schema one that cannot be checked.
func (c *checker) search(pattern, text string) bool {
	r, err := regexp.Compile(pattern)
	if err != nil {
		c.err = schemaError{"the pattern " + reprString(pattern) + " is not checked by this server"}
		return false
	}
	return r.MatchString(text)
}

func checkPattern(c *checker, of, value any, _ *object) []*failing {
	text, ok := value.(string)
	pattern, has := of.(string)
	if !ok || !has {
		return nil
	}
	return unless(c.search(pattern, text), "%s does not match %s", repr(value), repr(of))
}

func checkRequired(_ *checker, of, value any, _ *object) []*failing {
	o, ok := value.(*object)
	names, _ := of.([]any)
	if !ok {
		return nil
	}
	var all []*failing
	for _, name := range names {
		if text, ok := name.(string); ok {
			if _, there := o.get(text); !there {
				all = append(all, fails("%s is a required property", repr(name))...)
			}
		}
	}
	return all
}

func checkProperties(c *checker, of, value any, _ *object) []*failing {
	o, ok := value.(*object)
	properties, has := of.(*object)
	if !ok || !has {
		return nil
	}
	var all []*failing
	for _, key := range properties.keys {
		if v, there := o.get(key); there {
			all = append(all, c.descend(v, properties.values[key], key)...)
		}
	}
	return all
}

func checkPatternProperties(c *checker, of, value any, _ *object) []*failing {
	o, ok := value.(*object)
	patterns, has := of.(*object)
	if !ok || !has {
		return nil
	}
	var all []*failing
	for _, pattern := range patterns.keys {
		for _, key := range o.keys {
			if c.search(pattern, key) {
				all = append(all, c.descend(o.values[key], patterns.values[pattern], key)...)
			}
		}
	}
	return all
}

func checkAdditional(c *checker, of, value any, schema *object) []*failing {
	o, ok := value.(*object)
	if !ok {
		return nil
	}
	known, _ := schema.values["properties"].(*object)
	patterns, _ := schema.values["patternProperties"].(*object)
	var extras []string
	for _, key := range o.keys {
		if known != nil {
			if _, there := known.get(key); there {
				continue
			}
		}
		if patterns == nil || !slices.ContainsFunc(patterns.keys, func(p string) bool { return c.search(p, key) }) {
			extras = append(extras, key)
		}
	}
	if sub, ok := of.(*object); ok {
		var all []*failing
		for _, key := range extras {
			all = append(all, c.descend(o.values[key], sub, key)...)
		}
		return all
	}
	if of != false || len(extras) == 0 {
		return nil
	}
	slices.Sort(extras)
	names := make([]any, len(extras))
	for i, key := range extras {
		names[i] = key
	}
	if patterns == nil {
		verb := "was"
		if len(names) > 1 {
			verb = "were"
		}
		return fails("Additional properties are not allowed (%s %s unexpected)", joined(names), verb)
	}
	verb := "does"
	if len(names) > 1 {
		verb = "do"
	}
	sorted := slices.Sorted(slices.Values(patterns.keys))
	for i, p := range sorted {
		sorted[i] = reprString(p)
	}
	return fails("%s %s not match any of the regexes: %s", joined(names), verb, strings.Join(sorted, ", "))
}
