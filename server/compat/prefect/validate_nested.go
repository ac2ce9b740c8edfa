package prefect

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// The keywords that apply schemas to a value or its parts.

func checkNames(c *checker, of, value any, _ *object) []*failing {
	o, ok := value.(*object)
	if !ok {
		return nil
	}
	var all []*failing
	for _, key := range o.keys {
		all = append(all, c.descend(key, of)...)
	}
	return all
}

// checkDependent is for dependentRequired, where a list hangs on a property, and dependentSchemas, where a schema does.
func checkDependent(c *checker, of, value any, _ *object) []*failing {
	o, ok := value.(*object)
	dependencies, has := of.(*object)
	if !ok || !has {
		return nil
	}
	var all []*failing
	for _, key := range dependencies.keys {
		if _, there := o.get(key); !there {
			continue
		}
		names, list := dependencies.values[key].([]any)
		if !list {
			all = append(all, c.descend(value, dependencies.values[key])...)
			continue
		}
		for _, name := range names {
			if text, ok := name.(string); ok {
				if _, there := o.get(text); !there {
					all = append(all, fails("%s is a dependency of %s", repr(name), repr(key))...)
				}
			}
		}
	}
	return all
}

func checkItems(c *checker, of, value any, schema *object) []*failing {
	list, ok := value.([]any)
	prefix, _ := schema.values["prefixItems"].([]any)
	if !ok || len(list) <= len(prefix) {
		return nil
	}
	if of == false {
		extra := len(list) - len(prefix)
		var rest any = list[len(prefix):]
		if extra == 1 {
			rest = list[len(prefix)]
		}
		word := "items"
		if len(prefix) == 1 {
			word = "item"
		}
		return fails("Expected at most %d %s but found %d extra: %s", len(prefix), word, extra, repr(rest))
	}
	var all []*failing
	for i := len(prefix); i < len(list); i++ {
		all = append(all, c.descend(list[i], of, i)...)
	}
	return all
}

func checkPrefix(c *checker, of, value any, _ *object) []*failing {
	list, ok := value.([]any)
	prefix, _ := of.([]any)
	if !ok {
		return nil
	}
	var all []*failing
	for i := range min(len(list), len(prefix)) {
		all = append(all, c.descend(list[i], prefix[i], i)...)
	}
	return all
}

func checkContains(c *checker, of, value any, schema *object) []*failing {
	list, ok := value.([]any)
	if !ok {
		return nil
	}
	least, most := 1.0, float64(len(list))
	if n, ok := schema.values["minContains"].(json.Number); ok {
		least = float(n)
	}
	if n, ok := schema.values["maxContains"].(json.Number); ok {
		most = float(n)
	}
	matches := 0.0
	for _, v := range list {
		if !c.valid(v, of) {
			continue
		}
		if matches++; matches > most {
			return fails("Too many items match the given schema (expected at most %s)", strconv.FormatFloat(most, 'f', -1, 64))
		}
	}
	switch {
	case matches >= least:
		return nil
	case matches == 0:
		return fails("%s does not contain items matching the given schema", repr(value))
	}
	return fails("Too few items match the given schema (expected at least %s but only %v matched)", strconv.FormatFloat(least, 'f', -1, 64), matches)
}

func checkRef(c *checker, of, value any, _ *object) []*failing {
	ref, ok := of.(string)
	if !ok {
		return nil
	}
	schema, found := c.follow(ref)
	if !found {
		if pointer, local := strings.CutPrefix(ref, "#"); local && c.unresolved == "" {
			c.unresolved = "PointerToNowhere: " + repr(pointer) + " does not exist within " + repr(c.root)
		} else if c.unresolved == "" {
			c.unresolved = "Unresolvable: " + ref
		}
		return nil
	}
	return c.descend(value, schema)
}

func checkAll(c *checker, of, value any, _ *object) []*failing {
	schemas, _ := of.([]any)
	var all []*failing
	for _, s := range schemas {
		all = append(all, c.descend(value, s)...)
	}
	return all
}

func checkAny(c *checker, of, value any, _ *object) []*failing {
	_, all := c.first(of, value)
	return all
}

// first answers which of several schemas is the first that fits, or why none does.
func (c *checker) first(of, value any) (int, []*failing) {
	schemas, _ := of.([]any)
	var context []*failing
	for i, s := range schemas {
		each := c.descend(value, s)
		if len(each) == 0 {
			return i, nil
		}
		context = append(context, each...)
	}
	none := fails("%s is not valid under any of the given schemas", repr(value))
	none[0].context = context
	for _, f := range context {
		f.parent = none[0]
	}
	return len(schemas), none
}

func checkOne(c *checker, of, value any, _ *object) []*failing {
	schemas, _ := of.([]any)
	i, none := c.first(of, value)
	if none != nil {
		return none
	}
	var more []string
	for _, s := range schemas[min(i+1, len(schemas)):] {
		if c.valid(value, s) {
			more = append(more, repr(s))
		}
	}
	if more == nil {
		return nil
	}
	more = slices.Concat(more, []string{repr(schemas[i])})
	return fails("%s is valid under each of %s", repr(value), strings.Join(more, ", "))
}

func checkIf(c *checker, of, value any, schema *object) []*failing {
	branch := "else"
	if c.valid(value, of) {
		branch = "then"
	}
	if s, there := schema.get(branch); there {
		return c.descend(value, s)
	}
	return nil
}
