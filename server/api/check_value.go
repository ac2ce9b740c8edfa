package api

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/redrive/redrive/workflow"
)

// patterns holds the compiled patterns of the specification, a fixed set.
var patterns sync.Map

func pattern(text string) *regexp.Regexp {
	if re, ok := patterns.Load(text); ok {
		return re.(*regexp.Regexp)
	}
	re := regexp.MustCompile(text)
	patterns.Store(text, re)
	return re
}

// checkValue checks a decoded JSON value against its schema. field is the path
// that led to it, "" for the body itself.
func checkValue(s *openapi3.Schema, field string, value any) workflow.Problems {
	if value == nil {
		if s.Nullable {
			return nil
		}
		return wrongType(field, s, "is null")
	}
	if len(s.OneOf) > 0 {
		return checkChoice(s, field, value)
	}
	switch schemaType(s) {
	case "object":
		object, ok := value.(map[string]any)
		if !ok {
			return wrongType(field, s, "is "+kindOf(value))
		}
		return checkObject(s, field, object)
	case "array":
		list, ok := value.([]any)
		if !ok {
			return wrongType(field, s, "is "+kindOf(value))
		}
		return checkArray(s, field, list)
	case "string":
		text, ok := value.(string)
		if !ok {
			return wrongType(field, s, "is "+kindOf(value))
		}
		return checkString(s, field, text)
	case "integer":
		number, ok := value.(json.Number)
		if !ok {
			return wrongType(field, s, "is "+kindOf(value))
		}
		n, err := strconv.ParseInt(number.String(), 10, 64)
		if err != nil {
			return wrongType(field, s, fmt.Sprintf("%s is not an integer", number))
		}
		return checkRange(s, field, float64(n))
	case "boolean":
		if _, ok := value.(bool); !ok {
			return wrongType(field, s, "is "+kindOf(value))
		}
	}
	return nil
}

// checkChoice checks a value that may be written in several ways.
func checkChoice(s *openapi3.Schema, field string, value any) workflow.Problems {
	for _, way := range s.OneOf {
		if len(checkValue(way.Value, field, value)) == 0 {
			return nil
		}
	}
	return wrongType(field, s, fmt.Sprintf("%v is not known", value))
}

func checkObject(s *openapi3.Schema, field string, object map[string]any) workflow.Problems {
	var wrong workflow.Problems
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			wrong = append(wrong, missing(join(field, name)))
		}
	}
	if s.MaxProps != nil && uint64(len(object)) > *s.MaxProps {
		wrong = append(wrong, workflow.Problem{Field: field, Code: "too_many", Message: fmt.Sprintf("has %d entries", len(object)), Allowed: fmt.Sprintf("at most %d", *s.MaxProps)})
	}
	for _, name := range sortedKeys(object) {
		path := join(field, name)
		switch property := s.Properties[name]; {
		case property != nil:
			wrong = append(wrong, checkValue(property.Value, path, object[name])...)
		case s.AdditionalProperties.Schema != nil:
			wrong = append(wrong, checkKey(path, name, longestKey(s))...)
			wrong = append(wrong, checkValue(s.AdditionalProperties.Schema.Value, path, object[name])...)
		case s.AdditionalProperties.Has != nil && !*s.AdditionalProperties.Has:
			wrong = append(wrong, unknown(path, "unknown_field", "field", sortedKeys(s.Properties)))
		}
	}
	return wrong
}

// maxKey bounds the names of labels and metadata, in bytes.
const maxKey = 255

// longestKey is the bound of the names in an object that says it by itself, or maxKey.
func longestKey(s *openapi3.Schema) int {
	if own, ok := s.Extensions["x-max-key"].(float64); ok {
		return int(own)
	}
	return maxKey
}

func checkKey(path, name string, longest int) workflow.Problems {
	if name == "" || len(name) > longest {
		return workflow.Problems{{Field: path, Code: "length", Message: fmt.Sprintf("has a name of %d bytes", len(name)), Allowed: fmt.Sprintf("1 to %d", longest)}}
	}
	return nil
}

func checkArray(s *openapi3.Schema, field string, list []any) workflow.Problems {
	var wrong workflow.Problems
	if s.MaxItems != nil && uint64(len(list)) > *s.MaxItems {
		return workflow.Problems{{Field: field, Code: "too_many", Message: fmt.Sprintf("has %d items", len(list)), Allowed: fmt.Sprintf("at most %d", *s.MaxItems)}}
	}
	for i, item := range list {
		wrong = append(wrong, checkValue(s.Items.Value, field+"["+strconv.Itoa(i)+"]", item)...)
	}
	return wrong
}

func wrongType(field string, s *openapi3.Schema, message string) workflow.Problems {
	allowed := schemaType(s)
	own, _ := s.Extensions["x-allowed"].(string)
	switch {
	case own != "":
		allowed = own
	case allowed == "":
		allowed = "any value but null"
	case len(s.Enum) > 0:
		allowed = enumText(s)
	case allowed == "integer":
		allowed = "an integer, " + rangeText(s)
	case allowed == "boolean":
		allowed = "true or false"
	case allowed == "object" && len(s.Properties) > 0:
		allowed = "an object with " + strings.Join(sortedKeys(s.Properties), ", ")
	default:
		allowed = map[string]string{"object": "an object", "array": "an array", "string": "a string"}[allowed]
	}
	if field == "" {
		field = "body"
	}
	return workflow.Problems{{Field: field, Code: "type", Message: message, Allowed: allowed}}
}

func join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

func kindOf(value any) string {
	switch value.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "an array"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "a boolean"
	}
	return "null"
}
