package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "in.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"big": 12345678901234567890, "a": {"b": 1}}`), 0o600))
	for _, c := range []struct {
		name, input string
		sets        []string
		want, err   string
	}{
		{name: "nothing", want: ""},
		{name: "as it is", input: `{"a": 1.0}`, want: `{"a": 1.0}`},
		{name: "any JSON", input: `[1]`, want: `[1]`},
		{name: "JSON and text", sets: []string{"years=[2012]", "name=Ada", "on=true", "s=\"1\""}, want: `{"name":"Ada","on":true,"s":"1","years":[2012]}`},
		{name: "over a file", input: "@" + file, sets: []string{"a.c=x=y"}, want: `{"a":{"b":1,"c":"x=y"},"big":12345678901234567890}`},
		{name: "standard input", input: "@-", want: `{"from":"stdin"}`},
		{name: "not JSON", input: "{", err: "--input is not JSON"},
		{name: "no object", input: "[1]", sets: []string{"a=1"}, err: "--input is none"},
		{name: "through a value", input: `{"a":1}`, sets: []string{"a.b=1"}, err: "a is not an object"},
		{name: "no value", sets: []string{"a"}, err: "want PATH=VALUE"},
		{name: "empty name", sets: []string{"a..b=1"}, err: "an empty name"},
		{name: "no file", input: "@/does/not/exist", err: "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := testProgram()
			p.in = strings.NewReader(`{"from":"stdin"}` + "\n")
			got, err := p.input(c.input, c.sets)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				code, _ := explain(err)
				require.Equal(t, exitUsage, code)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, string(got))
		})
	}
}
