package prefect

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestValidationSpeaksAsPrefectDoes: what Prefect 3.9.1 itself said of these values and schemas. "circular" and
// "schema" are its CircularSchemaRefError and jsonschema's SchemaError, 500 what it broke at.
func TestValidationSpeaksAsPrefectDoes(t *testing.T) {
	text, err := os.ReadFile("testdata/validation.json")
	require.NoError(t, err)
	all, err := decode(text)
	require.NoError(t, err)
	cases := all.([]any)
	require.Greater(t, len(cases), 70)
	for _, c := range cases {
		o := c.(*object)
		want := o.values["says"].(string)
		if strings.HasPrefix(want, "500") {
			continue
		}
		said, err := validate(o.values["value"], o.values["schema"])
		var bad schemaError
		switch {
		case errors.Is(err, errCircular):
			said = "circular"
		case errors.As(err, &bad):
			said = "schema"
		default:
			require.NoError(t, err)
			if said != "" {
				said = "Reason: " + said
			}
		}
		require.Equal(t, want, said, "%s against %s", repr(o.values["value"]), repr(o.values["schema"]))
	}
}

func TestWhatIsNotCheckedIsSaid(t *testing.T) {
	for _, schema := range []string{`{"unevaluatedProperties":false}`, `{"properties":{"a":{"pattern":"(?=x)"}}}`, `{"$dynamicRef":"#a"}`} {
		s, err := decode([]byte(schema))
		require.NoError(t, err)
		v, err := decode([]byte(`{"a":"x"}`))
		require.NoError(t, err)
		_, err = validate(v, s)
		require.ErrorAs(t, err, new(schemaError), schema)
	}
}

// TestHydrationSpeaksAsPrefectDoes: what Prefect 3.9.1 itself made of these inputs.
func TestHydrationSpeaksAsPrefectDoes(t *testing.T) {
	text, err := os.ReadFile("testdata/hydration.json")
	require.NoError(t, err)
	all, err := decode(text)
	require.NoError(t, err)
	for _, c := range all.([]any) {
		o := c.(*object)
		got, err := hydrate(o.values["input"].(*object))
		if strings.Contains(repr(o.values["input"]), "{{") {
			require.ErrorContains(t, err, "Invalid jinja: ", repr(o.values["input"]))
			continue
		}
		if says, fails := o.get("says"); fails {
			require.Error(t, err, says)
			require.Equal(t, says, "Error hydrating run input: "+err.Error())
			continue
		}
		require.NoError(t, err, repr(o.values["input"]))
		require.Equal(t, repr(o.values["gives"]), repr(got), repr(o.values["input"]))
	}
}

func TestReprIsPythons(t *testing.T) {
	for in, want := range map[string]string{
		`1`: "1", `-0`: "0", `1.0`: "1.0", `-0.0`: "-0.0", `1e5`: "100000.0", `1e16`: "1e+16", `0.0001`: "0.0001", `0.00001`: "1e-05", `1e999`: "inf", `123456.789`: "123456.789",
		`"a"`: "'a'", `"it's"`: `"it's"`, `"it's \"x\""`: `'it\'s "x"'`, `null`: "None", `true`: "True", `[]`: "[]", `{}`: "{}", `{"b":[1],"a":false}`: "{'b': [1], 'a': False}",
	} {
		v, err := decode([]byte(in))
		require.NoError(t, err)
		require.Equal(t, want, repr(v), in)
	}
}

func TestValuesKeepTheirOrder(t *testing.T) {
	const text = `{"z":1,"a":{"<":12345678901234567890.10,"b":[]}}`
	v, err := decode([]byte(text))
	require.NoError(t, err)
	out, err := plain(v)
	require.NoError(t, err)
	require.Equal(t, text, string(out))
	for _, bad := range []string{``, `{`, `1 2`, strings.Repeat("[", maxNesting+2), `{"a":}`} {
		_, err := decode([]byte(bad))
		require.Error(t, err, bad)
	}
}

func FuzzValidate(f *testing.F) {
	f.Add(`{"a":1}`, `{"type":"object","properties":{"a":{"$ref":"#"}}}`)
	f.Add(`{"a":[1,"x",null]}`, `{"anyOf":[{"required":["b"]},{"properties":{"a":{"items":{"type":"integer"}}}}]}`)
	f.Add(`{"__prefect_kind":"json","value":"[1,"}`, `{"oneOf":[true,false],"multipleOf":0}`)
	f.Fuzz(func(t *testing.T, value, schema string) {
		v, err := decode([]byte(value))
		if err != nil {
			if !json.Valid([]byte(value)) {
				_ = jsonFault(value)
			}
			return
		}
		if o, ok := v.(*object); ok {
			if h, err := hydrate(o); err == nil {
				v = h
			}
		}
		if s, err := decode([]byte(schema)); err == nil {
			_, _ = validate(v, s)
		}
	})
}
