package workflow

import (
	"fmt"
	"strings"
)

// maxSchemaWeight bounds how many schemas one value may be checked against.
// Without it a few lines of allOf over $ref double the work with each line.
const maxSchemaWeight = 10_000

// schemaWeight counts, for the heaviest subschema, the schemas that apply to the
// same value: through allOf and its like, and through $ref within the document.
type schemaWeight struct {
	root    any
	anchors map[string]any
	known   map[string]int // by $ref
	open    map[string]bool
	most    int
}

func checkSchemaWeight(doc any) error {
	w := &schemaWeight{root: doc, anchors: map[string]any{}, known: map[string]int{}, open: map[string]bool{}}
	w.collect(doc)
	w.everywhere(doc)
	if w.most > maxSchemaWeight {
		return fmt.Errorf("one value would be checked against more than %d schemas, through allOf, anyOf, oneOf and $ref", maxSchemaWeight)
	}
	return nil
}

// collect finds the anchors that a $ref may name.
func (w *schemaWeight) collect(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range []string{"$anchor", "$dynamicAnchor"} {
			if name, ok := v[k].(string); ok {
				w.anchors[name] = v
			}
		}
		for _, child := range v {
			w.collect(child)
		}
	case []any:
		for _, child := range v {
			w.collect(child)
		}
	}
}

func (w *schemaWeight) everywhere(v any) {
	switch v := v.(type) {
	case map[string]any:
		w.most = max(w.most, w.of(v))
		for _, child := range v {
			w.everywhere(child)
		}
	case []any:
		for _, child := range v {
			w.everywhere(child)
		}
	}
}

// of answers the weight of one schema, saturated above the limit.
func (w *schemaWeight) of(v any) int {
	s, ok := v.(map[string]any)
	if !ok {
		return 1
	}
	total := 1
	for _, k := range []string{"not", "if", "then", "else"} {
		if s[k] != nil {
			total += w.of(s[k])
		}
	}
	for _, k := range []string{"allOf", "anyOf", "oneOf"} {
		each, _ := s[k].([]any)
		for _, child := range each {
			total += w.of(child)
		}
	}
	dependent, _ := s["dependentSchemas"].(map[string]any)
	for _, child := range dependent {
		total += w.of(child)
	}
	for _, k := range []string{"$ref", "$dynamicRef", "$recursiveRef"} {
		if ref, ok := s[k].(string); ok {
			total += w.ofRef(ref)
		}
	}
	return min(total, maxSchemaWeight+1)
}

// ofRef answers the weight of what a $ref names; a circle ends where it closes.
func (w *schemaWeight) ofRef(ref string) int {
	if n, ok := w.known[ref]; ok {
		return n
	}
	if w.open[ref] {
		return 0
	}
	w.open[ref] = true
	n := w.of(w.resolve(ref))
	delete(w.open, ref)
	w.known[ref] = n
	return n
}

func (w *schemaWeight) resolve(ref string) any {
	_, fragment, _ := strings.Cut(ref, "#")
	if !strings.HasPrefix(fragment, "/") {
		if v, ok := w.anchors[fragment]; ok {
			return v
		}
		if fragment == "" {
			return w.root
		}
		return nil
	}
	v := w.root
	for step := range strings.SplitSeq(fragment[1:], "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			var i int
			if _, err := fmt.Sscanf(step, "%d", &i); err != nil || i < 0 || i >= len(at) {
				return nil
			}
			v = at[i]
		}
	}
	return v
}
