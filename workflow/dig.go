package workflow

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// dig is the function dig(value, path): what lies at the path of keys and indexes in the
// value, and null where there is no such thing. Negative indexes count from the end.
func dig() cel.EnvOption {
	return cel.Function("dig", cel.Overload("dig_dyn_list",
		[]*cel.Type{cel.DynType, cel.ListType(cel.DynType)}, cel.DynType,
		cel.BinaryBinding(func(value, path ref.Val) ref.Val {
			steps, ok := path.(traits.Lister)
			if !ok {
				return types.MaybeNoSuchOverloadErr(path)
			}
			for it := steps.Iterator(); it.HasNext() == types.True; {
				if value = digStep(value, it.Next()); value == nil {
					return types.NullValue
				}
			}
			return value
		})))
}

// digStep answers what lies at one key or index; nil = nothing.
func digStep(value, at ref.Val) ref.Val {
	switch v := value.(type) {
	case traits.Mapper:
		if found, ok := v.Find(at); ok {
			return found
		}
	case traits.Lister:
		i, isInt := at.(types.Int)
		size, _ := v.Size().(types.Int)
		if i < 0 {
			i += size
		}
		if isInt && i >= 0 && i < size {
			return v.Get(i)
		}
	}
	return nil
}
