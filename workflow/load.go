package workflow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
)

// Load reads a definition as an author wrote it, in YAML or JSON, and compiles it.
// The error is Problems, all of them at once. Warnings do not keep it from running.
// The catalog says which task types are known; nil means that nothing is known of them.
func Load(source []byte, catalog Catalog, limits Limits) (*Program, Problems, error) {
	return load(source, catalog, limits, false)
}

// LoadForeign is Load for a definition that was translated from another system's: the
// workflow's name may be any of 1 to 255 characters without a slash.
func LoadForeign(source []byte, catalog Catalog, limits Limits) (*Program, Problems, error) {
	return load(source, catalog, limits, true)
}

func load(source []byte, catalog Catalog, limits Limits, foreign bool) (*Program, Problems, error) {
	t, problems := parseSource(source, limits)
	if problems != nil {
		return nil, nil, problems
	}
	c := newCompiler(limits, catalog)
	c.foreign = foreign
	p := c.compile(t, false)
	if len(c.problems) > 0 {
		return nil, nil, c.sorted()
	}
	return p, c.warnings.sorted(), nil
}

// Open compiles what Canonical wrote. It was checked when it was published, so
// limits that were lowered since do not refuse it. The error is Problems.
func Open(canonical []byte, limits Limits) (*Program, error) {
	if !json.Valid(canonical) {
		return nil, Problems{{Code: CodeSyntax, Message: "the stored definition is not JSON"}}
	}
	if p := checkEncoding(canonical); p != nil {
		return nil, p
	}
	t, problems := parseJSON(canonical, Limits{Depth: math.MaxInt, Nodes: math.MaxInt})
	if problems != nil {
		return nil, problems
	}
	c := newCompiler(limits, nil)
	p := c.compile(t, true)
	if len(c.problems) > 0 {
		return nil, c.sorted()
	}
	return p, nil
}

// Canonical writes the definition as JSON: fields in a fixed order, keys of
// free-form values sorted, numbers as they were written. It is nil for a
// definition made in code whose free-form values are not JSON.
func (d *Definition) Canonical() []byte {
	c := *d
	c.InputSchema = canonicalValue(d.InputSchema)
	c.Output = canonicalValue(d.Output)
	c.Tasks = canonicalTasks(d.Tasks)
	c.OnFailure = canonicalTasks(d.OnFailure)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&c); err != nil {
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func canonicalTasks(tasks []Task) []Task {
	if tasks == nil {
		return nil
	}
	out := make([]Task, len(tasks))
	for i, t := range tasks {
		t.With = canonicalValue(t.With)
		t.InputSchema = canonicalValue(t.InputSchema)
		t.OutputSchema = canonicalValue(t.OutputSchema)
		t.Tasks = canonicalTasks(t.Tasks)
		if t.ForEach != nil {
			each := *t.ForEach
			each.Items = canonicalValue(each.Items)
			t.ForEach = &each
		}
		out[i] = t
	}
	return out
}

func hashOf(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// AsProblems answers the problems in an error of Load or Open, or nil.
func AsProblems(err error) Problems {
	var p Problems
	errors.As(err, &p)
	return p
}
