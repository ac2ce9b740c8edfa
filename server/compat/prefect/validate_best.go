package prefect

import (
	"cmp"
	"slices"
	"strings"
)

// bestMatch is the failure that is told, chosen as Python's jsonschema does: one that is as far out in
// the value as may be; of the alternatives of anyOf and oneOf the one that went furthest.
func bestMatch(all []*failing) *failing {
	if len(all) == 0 {
		return nil
	}
	best := all[0]
	for _, f := range all[1:] {
		if relevance(f, best) > 0 {
			best = f
		}
	}
	for len(best.context) > 0 {
		sorted := slices.Clone(best.context)
		slices.SortStableFunc(sorted, relevance)
		if len(sorted) > 1 && relevance(sorted[0], sorted[1]) == 0 {
			return best
		}
		best = sorted[0]
	}
	return best
}

// relevance compares failures: > 0 where a matters more.
func relevance(a, b *failing) int {
	return cmp.Or(
		cmp.Compare(len(b.path), len(a.path)),
		comparePaths(a.path, b.path),
		compareBools(!a.weak(), !b.weak()),
		compareBools(!a.matchesType(), !b.matchesType()),
	)
}

func (f *failing) weak() bool { return f.keyword == "anyOf" || f.keyword == "oneOf" }

func (f *failing) matchesType() bool {
	s, ok := f.schema.(*object)
	if !ok {
		return false
	}
	switch expected := s.values["type"].(type) {
	case string:
		return isType(f.instance, expected)
	case []any:
		return slices.ContainsFunc(expected, func(name any) bool {
			text, ok := name.(string)
			return ok && isType(f.instance, text)
		})
	}
	return false
}

func comparePaths(a, b []any) int {
	return slices.CompareFunc(a, b, func(x, y any) int {
		switch x := x.(type) {
		case int:
			if y, ok := y.(int); ok {
				return cmp.Compare(x, y)
			}
			return -1
		case string:
			if y, ok := y.(string); ok {
				return strings.Compare(x, y)
			}
		}
		return 1
	})
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
