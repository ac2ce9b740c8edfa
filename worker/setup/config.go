package setup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/urfave/cli/v2"
)

// shared are the variables that other parts of Redrive read and a process must
// not stumble over; one that ends in "_" stands for all that begin so.
var shared = []string{
	"REDRIVE_SERVER", "REDRIVE_API_KEY", "REDRIVE_PROJECT", "REDRIVE_OUTPUT", "REDRIVE_REDIS", "REDRIVE_LISTEN",
	"REDRIVE_CONFIG", "REDRIVE_SECRET_",
	"REDRIVE_OPENAPI_DIR", // of the tests
}

// Config adds --config to the flags of a process, and returns what has to run
// before its action: it reads the file, fills in the flags that neither the
// command line nor the environment has set, and refuses what nobody knows.
func Config(flags []cli.Flag) ([]cli.Flag, cli.BeforeFunc) {
	flags = append(slices.Clip(flags), &cli.StringFlag{
		Name: "config", EnvVars: Env("config"), TakesFile: true,
		Usage: "`FILE` (YAML) with settings: the names of the flags, with _ for -",
	})
	return flags, func(c *cli.Context) error {
		if err := checkEnvironment(c.App, flags, os.Environ()); err != nil {
			return err
		}
		if file := c.String("config"); file != "" {
			return readFile(c, flags, file)
		}
		return nil
	}
}

// checkEnvironment refuses variables that look like settings and are none.
func checkEnvironment(app *cli.App, flags []cli.Flag, environment []string) error {
	known := slices.Clone(shared)
	add := func(flags []cli.Flag) {
		for _, f := range flags {
			known = append(known, envOf(f)...)
		}
	}
	add(flags)
	add(app.Flags)
	var walk func([]*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, c := range commands {
			add(c.Flags)
			walk(c.Subcommands)
		}
	}
	walk(app.Commands)
	var errs []error
	for _, e := range environment {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.ContainsFunc(known, func(k string) bool {
			return k == name || strings.HasSuffix(k, "_") && strings.HasPrefix(name, k)
		}) {
			continue
		}
		errs = append(errs, fmt.Errorf("the environment variable %s is unknown%s; correct it or unset it", name, Meant("", name, known)))
	}
	if err := errors.Join(errs...); err != nil {
		return &UsageError{err}
	}
	return nil
}

// readFile fills in the flags that nothing of higher rank has set.
func readFile(c *cli.Context, flags []cli.Flag, file string) error {
	source, err := os.ReadFile(file)
	if err != nil {
		return usagef("--config: reading the settings: %w", err)
	}
	parsed, err := parser.ParseBytes(source, 0)
	if err != nil {
		return usagef("%s is no YAML: %w", file, err)
	}
	byKey := make(map[string]cli.Flag, len(flags))
	var keys []string
	for _, f := range flags {
		if name := f.Names()[0]; name != "config" && name != "help" {
			byKey[key(name)] = f
			keys = append(keys, key(name))
		}
	}
	slices.Sort(keys)
	var errs []error
	for _, entry := range entries(parsed) {
		at := fmt.Sprintf("%s:%d: ", file, entry.Key.GetToken().Position.Line)
		name := entry.Key.GetToken().Value
		f, ok := byKey[name]
		if !ok {
			errs = append(errs, fmt.Errorf("%sthe setting %q is unknown%s; allowed: %s", at, name, Meant("", name, keys), strings.Join(keys, ", ")))
			continue
		}
		if err := set(c, f, entry.Value); err != nil {
			errs = append(errs, fmt.Errorf("%s%w", at, err))
		}
	}
	for _, d := range parsed.Docs {
		if d.Body != nil && d.Body.Type() != ast.MappingType && d.Body.Type() != ast.MappingValueType && d.Body.Type() != ast.NullType && d.Body.Type() != ast.CommentType {
			errs = append(errs, fmt.Errorf("%s:%d: expected settings of the form name: value", file, d.Body.GetToken().Position.Line))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &UsageError{err}
	}
	return nil
}

func entries(f *ast.File) []*ast.MappingValueNode {
	var all []*ast.MappingValueNode
	for _, d := range f.Docs {
		switch body := d.Body.(type) {
		case *ast.MappingNode:
			all = append(all, body.Values...)
		case *ast.MappingValueNode:
			all = append(all, body)
		}
	}
	return all
}

// set gives the flag the value of the file, unless it has one of higher rank.
func set(c *cli.Context, f cli.Flag, value ast.Node) error {
	name := f.Names()[0]
	values, err := valuesOf(value)
	if err != nil {
		return fmt.Errorf("%s: %w", key(name), err)
	}
	_, list := f.(*cli.StringSliceFlag)
	if !list {
		values = []string{strings.Join(values, ",")}
	}
	for _, v := range values {
		if allowed := Allowed(f, v); allowed != "" {
			return wrong(name, v, allowed)
		}
	}
	if c.IsSet(name) {
		return nil
	}
	for _, v := range values {
		if err := c.Set(name, v); err != nil {
			return fmt.Errorf("%s: %w", key(name), err)
		}
	}
	return nil
}

// valuesOf reads a scalar, a list of scalars, or names with values (a=1, b=2).
func valuesOf(n ast.Node) ([]string, error) {
	switch n := n.(type) {
	case *ast.SequenceNode:
		var all []string
		for _, item := range n.Values {
			text, err := scalar(item)
			if err != nil {
				return nil, err
			}
			all = append(all, text)
		}
		return all, nil
	case *ast.MappingNode:
		return pairs(n.Values)
	case *ast.MappingValueNode:
		return pairs([]*ast.MappingValueNode{n})
	}
	text, err := scalar(n)
	return []string{text}, err
}

func pairs(values []*ast.MappingValueNode) ([]string, error) {
	var all []string
	for _, v := range values {
		text, err := scalar(v.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, v.Key.GetToken().Value+"="+text)
	}
	return all, nil
}

func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value), nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.NullNode:
		return "", errors.New("has no value; give one, or leave the line out")
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	}
	return "", fmt.Errorf("line %d: expected a plain value, a list of them, or name: value", n.GetToken().Position.Line)
}

// nearest is the candidate with the smallest edit distance.
// mostEdits is how far what was meant may be from what was written.
const mostEdits = 2

// Meant asks about the candidate that the name was probably meant to be, as
// `; did you mean --wait?`; prefix goes before it. It is empty when none is near.
func Meant(prefix, name string, candidates []string) string {
	best, distance := "", mostEdits+1
	for _, c := range candidates {
		if d := edits(name, c); d < distance && d < len(name) {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + prefix + best + "?"
}

func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
