package workflow

import (
	"fmt"
	"math"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// CEL counts what a call costs once it has returned. These functions can make
// more of their arguments in one call than a process survives, so what they will
// make, or compare, is estimated before.
var guarded = map[string]func(args []ref.Val) float64{
	"replace":         replaceWork,
	"regex.replace":   func(a []ref.Val) float64 { return (length(a[0]) + 1) * (length(a[2]) + 1) },
	"join":            joinWork,
	"format":          formatWork,
	"indexOf":         product,
	"lastIndexOf":     product,
	"distinct":        func(a []ref.Val) float64 { return length(a[0]) * length(a[0]) },
	"reverse":         func(a []ref.Val) float64 { return length(a[0]) },
	"flatten":         func(a []ref.Val) float64 { return length(a[0]) },
	"slice":           func(a []ref.Val) float64 { return length(a[0]) },
	"sets.contains":   product,
	"sets.equivalent": product,
	"sets.intersects": product,
	"hasOnly":         product,
	"hasAny":          product,
	"hasAll":          product,
	"hasExactly":      product,
}

// timeCost is what a time of a cron expression is charged: the search may take a millisecond or two.
const timeCost = 1000

// callCost charges for what a call made where CEL, not knowing the types of its
// arguments, would charge 1: text by its length, also that of JSON, joined lists by theirs, times of cron expressions by the search.
type callCost struct{}

func (callCost) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	if function == "time.last" || function == "time.next" {
		charge := uint64(timeCost) // also where there is no such time: it went through years of days to know
		return &charge
	}
	made := 0.0
	switch result.(type) {
	case *types.Optional:
		if function == "json.parse" {
			made = length(args[0]) / 10
		}
	case types.String, types.Bytes:
		made = length(result)
		for _, a := range args {
			made += length(a)
		}
		made /= 10
	case traits.Lister:
		if function == operators.Add && length(args[0]) > 1 && length(args[1]) > 1 {
			made = length(result) / 100
		}
	}
	if made < 10 {
		return nil // what CEL charges will do
	}
	charge := uint64(min(made, math.MaxInt32))
	return &charge
}

const maxWork = 16 << 20 // characters made, or pairs compared, in one call

// guards answers the options that put the estimate before each guarded function.
func guards(base *cel.Env) ([]cel.EnvOption, error) {
	var options []cel.EnvOption
	for name, work := range guarded {
		f := base.Functions()[name]
		if f == nil || f.HasSingletonBinding() {
			return nil, fmt.Errorf("guard %s: CEL has no such function", name)
		}
		bindings, err := f.Bindings()
		if err != nil {
			return nil, fmt.Errorf("guard %s: %w", name, err)
		}
		byID := map[string]*functions.Overload{}
		for _, b := range bindings {
			byID[b.Operator] = b
		}
		var overloads []cel.FunctionOpt
		for _, o := range f.OverloadDecls() {
			overloads = append(overloads, guardOverload(o, byID[o.ID()], work))
		}
		options = append(options, cel.Function(name, overloads...))
	}
	return options, nil
}

func guardOverload(o *decls.OverloadDecl, b *functions.Overload, work func([]ref.Val) float64) cel.FunctionOpt {
	check := func(args ...ref.Val) ref.Val {
		if work(args) > maxWork {
			return types.NewErr("the call would make or compare more than %d values; compute it in a task", maxWork)
		}
		return nil
	}
	var binding cel.OverloadOpt
	switch {
	case b.Unary != nil:
		binding = cel.UnaryBinding(func(v ref.Val) ref.Val {
			if err := check(v); err != nil {
				return err
			}
			return b.Unary(v)
		})
	case b.Binary != nil:
		binding = cel.BinaryBinding(func(l, r ref.Val) ref.Val {
			if err := check(l, r); err != nil {
				return err
			}
			return b.Binary(l, r)
		})
	default:
		binding = cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			if err := check(args...); err != nil {
				return err
			}
			return b.Function(args...)
		})
	}
	if o.IsMemberFunction() {
		return cel.MemberOverload(o.ID(), o.ArgTypes(), o.ResultType(), binding)
	}
	return cel.Overload(o.ID(), o.ArgTypes(), o.ResultType(), binding)
}

// length is the size of a string in bytes, of a list in items; 1 of anything else.
func length(v ref.Val) float64 {
	switch v := v.(type) {
	case types.String:
		return float64(len(v))
	case types.Bytes:
		return float64(len(v))
	case traits.Lister:
		if n, ok := v.Size().(types.Int); ok {
			return float64(n)
		}
	}
	return 1
}

func product(args []ref.Val) float64 { return length(args[0]) * length(args[1]) }

func replaceWork(args []ref.Val) float64 {
	text, ok1 := args[0].(types.String)
	old, ok2 := args[1].(types.String)
	if !ok1 || !ok2 {
		return 0
	}
	n := strings.Count(string(text), string(old))
	if len(args) > 3 {
		if most, ok := args[3].(types.Int); ok && most >= 0 {
			n = min(n, int(min(int64(most), math.MaxInt32)))
		}
	}
	return length(text) + float64(n)*length(args[2])
}

func joinWork(args []ref.Val) float64 {
	total := 0.0
	if len(args) > 1 {
		total = length(args[0]) * length(args[1])
	}
	return total + textIn(args[0], 0)
}

// formatWork takes every verb to print the longest argument.
func formatWork(args []ref.Val) float64 {
	verbs := float64(strings.Count(fmt.Sprint(args[0].Value()), "%"))
	return length(args[0]) + verbs*textIn(args[1], 0)
}

// textIn is how much text there is in a value, its items included.
func textIn(v ref.Val, depth int) float64 {
	l, ok := v.(traits.Lister)
	if !ok || depth > maxResultDepth {
		if m, ok := v.(traits.Mapper); ok && depth <= maxResultDepth {
			total := 0.0
			for it := m.Iterator(); it.HasNext() == types.True && total <= maxWork; {
				k := it.Next()
				total += length(k) + textIn(m.Get(k), depth+1)
			}
			return total
		}
		return length(v)
	}
	total := 0.0
	for it := l.Iterator(); it.HasNext() == types.True && total <= maxWork; {
		total += 1 + textIn(it.Next(), depth+1)
	}
	return total
}
