package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestDiffJSON(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"equal", `{"a": 1, "b": [1, 2]}`, `{"b":[1,2],"a":1}`, ``},
		{"nothing and null", ``, `null`, ``},
		{"nothing and something", ``, `{"a":1}`, `[{"value":{"a":1},"op":"add","path":""}]`},
		{"something and nothing", `[1]`, ``, `[{"value":null,"op":"add","path":""}]`},
		{"a field", `{"a":1}`, `{"a":2}`, `[{"value":2,"op":"replace","path":"/a"}]`},
		{"a field that becomes null", `{"a":1}`, `{"a":null}`, `[{"value":null,"op":"replace","path":"/a"}]`},
		{"a field that goes", `{"a":1}`, `{}`, `[{"op":"remove","path":"/a"}]`},
		{"another type", `{"a":1}`, `{"a":"1"}`, `[{"value":"1","op":"replace","path":"/a"}]`},
		{"an item in front", `[1,2,3]`, `[0,1,2,3]`, `[{"value":0,"op":"add","path":"/0"}]`},
		{"an item that goes", `[1,2,3]`, `[1,3]`, `[{"op":"remove","path":"/1"}]`},
		{"keys with slashes", `{"a/b~c":1}`, `{"a/b~c":2}`, `[{"value":2,"op":"replace","path":"/a~1b~0c"}]`},
		{"an empty key", `{"":{}}`, `{"":{"a":1}}`, `[{"value":1,"op":"add","path":"//a"}]`},
		{"large integers", `9007199254740993`, `9007199254740992`, `[{"value":9007199254740992,"op":"replace","path":""}]`},
		{"large integers inside", `{"n":[1,9007199254740992]}`, `{"n":[1,9007199254740993]}`, `[{"value":9007199254740993,"op":"replace","path":"/n/1"}]`},
		{"a large integer added", `{}`, `{"n":{"m":9007199254740993}}`, `[{"value":{"m":9007199254740993},"op":"add","path":"/n"}]`},
		{"digits beyond a double", `0.1000000000000000055`, `0.1`, `[{"value":0.1,"op":"replace","path":""}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			patch, err := DiffJSON(json.RawMessage(c.from), json.RawMessage(c.to))
			require.NoError(t, err)
			require.Equal(t, c.want == "", SameJSON(json.RawMessage(c.from), json.RawMessage(c.to)))
			if c.want == "" {
				require.Nil(t, patch)
				return
			}
			require.JSONEq(t, c.want, string(patch))
			require.Equal(t, strings.Count(c.want, "9007199254740993"), strings.Count(string(patch), "9007199254740993"))
		})
	}
}

func TestDiffAndMergeRefuseWhatIsNotJSON(t *testing.T) {
	for _, bad := range []string{`{`, `1 2`, `{"a":1}]`} {
		_, err := DiffJSON(json.RawMessage(bad), json.RawMessage(`1`))
		require.ErrorContains(t, err, "the first value")
		_, err = DiffJSON(json.RawMessage(`1`), json.RawMessage(bad))
		require.ErrorContains(t, err, "the second value")
		_, err = MergeJSON(json.RawMessage(bad), json.RawMessage(`1`))
		require.ErrorContains(t, err, "the value")
		_, err = MergeJSON(json.RawMessage(`1`), json.RawMessage(bad))
		require.ErrorContains(t, err, "the patch")
		require.False(t, SameJSON(json.RawMessage(bad), json.RawMessage(`1`)))
	}
}

// TestADiffLeadsThere applies patches with another library than the one that makes them.
func TestADiffLeadsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := anyJSON(3).Draw(t, "from"), anyJSON(3).Draw(t, "to")
		raw, err := DiffJSON(json.RawMessage(from), json.RawMessage(to))
		require.NoError(t, err)
		require.Equal(t, raw == nil, SameJSON(json.RawMessage(from), json.RawMessage(to)))
		if raw == nil {
			require.JSONEq(t, from, to)
			return
		}
		patch, err := jsonpatch.DecodePatch(raw)
		require.NoError(t, err)
		// The library takes only lists and objects for documents, so both stand in one.
		for i, op := range patch {
			path, err := op.Path()
			require.NoError(t, err)
			moved := json.RawMessage(fmt.Sprintf("%q", "/in"+path))
			patch[i]["path"] = &moved
		}
		got, err := patch.Apply([]byte(`{"in":` + from + `}`))
		require.NoError(t, err, "%s", raw)
		require.JSONEq(t, `{"in":`+to+`}`, string(got), "%s", raw)
	})
}

func anyJSON(depth int) *rapid.Generator[string] {
	scalar := rapid.SampledFrom([]string{`null`, `true`, `0`, `1`, `9007199254740993`, `""`, `"a"`, `"<&>"`})
	if depth == 0 {
		return scalar
	}
	list := rapid.Custom(func(t *rapid.T) string {
		return "[" + strings.Join(rapid.SliceOfN(anyJSON(depth-1), 0, 5).Draw(t, "items"), ",") + "]"
	})
	object := rapid.Custom(func(t *rapid.T) string {
		var fields []string
		for key, value := range rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "x/y", "~"}), anyJSON(depth-1), 0, 4).Draw(t, "fields") {
			fields = append(fields, fmt.Sprintf("%q:%s", key, value))
		}
		return "{" + strings.Join(fields, ",") + "}"
	})
	return rapid.OneOf(scalar, list, object)
}

func TestALongListIsComparedInLittleTime(t *testing.T) {
	list := func(first, n int) string {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprint(first + i)
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	began := time.Now()
	patch, err := DiffJSON(json.RawMessage(list(0, 100_000)), json.RawMessage(list(1, 100_000)))
	require.NoError(t, err)
	require.NotNil(t, patch)
	require.Less(t, time.Since(began), 20*time.Second)
}

func TestADiffWithEndlessPathsReplacesTheWhole(t *testing.T) {
	value := func(n int) string {
		return `{"` + strings.Repeat("k", 100_000) + `":[` + strings.TrimSuffix(strings.Repeat(fmt.Sprint(n)+",", 50_000), ",") + `]}`
	}
	patch, err := DiffJSON(json.RawMessage(value(1)), json.RawMessage(value(2)))
	require.NoError(t, err)
	require.JSONEq(t, `[{"op":"replace","path":"","value":`+value(2)+`}]`, string(patch))
}

func TestMergeJSON(t *testing.T) {
	for _, c := range [][3]string{
		// RFC 7396, appendix A.
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		// What the appendix leaves out.
		{``, `{"a":1,"b":null}`, `{"a":1}`},
		{`{"a":1}`, ``, `null`},
		{`{}`, `{"a":[{"b":null}]}`, `{"a":[{"b":null}]}`},
		{`{"n":9007199254740993,"f":1.0}`, `{"m":{"o":9007199254740993}}`, `{"f":1.0,"m":{"o":9007199254740993},"n":9007199254740993}`},
		{`{"t":"<&>"}`, `{"b":1,"a":1}`, `{"a":1,"b":1,"t":"<&>"}`},
	} {
		got, err := MergeJSON(json.RawMessage(c[0]), json.RawMessage(c[1]))
		require.NoError(t, err)
		require.Equal(t, c[2], string(got), "%s merged into %s", c[1], c[0])
	}
}
