package workflow

import (
	"encoding/json"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// jsonFunctions are json.encode(value) and json.parse(text), an optional value. Those of CEL write the keys of an
// object in another order each time and round large numbers, charge more than any limit, and know none themselves.
func jsonFunctions() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Function("json.encode", cel.Overload("json_encode_dyn", []*cel.Type{cel.DynType}, cel.StringType, cel.UnaryBinding(jsonEncode))),
		cel.Function("json.parse", cel.Overload("json_parse_string", []*cel.Type{cel.StringType}, cel.OptionalType(cel.DynType), cel.UnaryBinding(jsonParse))),
	}
}

func jsonEncode(v ref.Val) ref.Val {
	w := &valueWriter{limit: maxWork}
	if err := w.value(v, 0); err != nil {
		return types.NewErr("json.encode: %v", err)
	}
	return types.String(w.out)
}

func jsonParse(v ref.Val) ref.Val {
	text, ok := v.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	if !json.Valid([]byte(text)) {
		return types.OptionalNone
	}
	made, err := decodeValue(json.RawMessage(text))
	if err != nil {
		return types.OptionalNone
	}
	return types.OptionalOf(made)
}
