package workflow

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

func editorSchema(t *testing.T) *schema {
	t.Helper()
	s, err := compileSchema(JSONSchema())
	require.NoError(t, err)
	return s
}

func TestEditorsAcceptTheExamples(t *testing.T) {
	s := editorSchema(t)
	var files []string
	for _, pattern := range []string{"../examples/*.yaml", "../examples/*/workflow.yaml"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		files = append(files, found...)
	}
	require.NotEmpty(t, files)
	sources := [][]byte{[]byte(weather)}
	for _, f := range files {
		source, err := os.ReadFile(f)
		require.NoError(t, err)
		sources = append(sources, source)
	}
	for i, source := range sources {
		p, _, err := Load(source, nil, DefaultLimits())
		require.NoError(t, err, "source %d", i)
		raw, err := yaml.YAMLToJSON(source)
		require.NoError(t, err)
		require.Empty(t, s.check(raw, "workflow", "x"))
		require.Empty(t, s.check(p.Definition.Canonical(), "workflow", "x"))
	}
}

// What the schema refuses the parser refuses, too; the other way round the
// parser knows more (needs, expressions, names that must differ).
func TestEditorsAndParserAgree(t *testing.T) {
	s := editorSchema(t)
	task := func(more string) string { return `{"name":"w","tasks":[{"name":"a","type":"noop"` + more + `}]}` }
	for source, valid := range map[string]bool{
		task(``):                                            true,
		task(`,"if":true`):                                  true,
		task(`,"if":"${true}"`):                             true,
		task(`,"if":"true"`):                                false,
		task(`,"priority":9`):                               true,
		task(`,"priority":10`):                              false,
		task(`,"retry":{"delay":"0s"}`):                     true,
		task(`,"retry":{"delay":"soon"}`):                   false,
		task(`,"retry":{"max_attempts":1001}`):              false,
		task(`,"retry":{"jitter":2}`):                       false,
		task(`,"retry":{"non_retryable":["a","a"]}`):        false,
		task(`,"on_failure":"continue"`):                    true,
		task(`,"on_failure":"ignore"`):                      false,
		task(`,"for_each":{}`):                              false,
		task(`,"input_schema":true`):                        true,
		task(`,"input_schema":[]`):                          false,
		task(`,"with":[1,{"a":null}]`):                      true,
		`{"name":"w","tasks":[]}`:                           false,
		`{"tasks":[{"name":"a","type":"noop"}]}`:            false,
		`{"name":"W","tasks":[{"name":"a","type":"noop"}]}`: false,
		task(`,"for_each":{"items":[1]}`):                   true,
		task(`,"for_each":{"items":"${workflow.input}","key":"${item}","max_parallel":2,"on_item_failure":"stop"}`): true,
		task(`,"for_each":{"items":3}`): false,
		`{"name":"w","timeout":"1h","on_failure":[{"name":"h","type":"noop"}],"tasks":[{"name":"a","type":"group","tasks":[{"name":"b","type":"loop","until":"${true}","tasks":[{"name":"c","type":"noop"}]}]}]}`: true,
		`{"name":"w","tasks":[{"name":"a","type":"group","tasks":[{"name":"b","type":"noop","retries":3}]}]}`:                                                                                                     false,
		`{"name":"w","tasks":[{"name":"a.b","type":"x"}]}`: false,
	} {
		_, _, err := Load([]byte(source), nil, DefaultLimits())
		require.Equal(t, valid, err == nil, "%s: %v", source, err)
		require.Equal(t, valid, s.check(json.RawMessage(source), "", "x") == nil, source)
	}
}

func TestCatalogChecksWith(t *testing.T) {
	catalog := Catalog{
		"http": json.RawMessage(`{"type":"object","required":["url"],"additionalProperties":false,"properties":{"url":{"type":"string"},"method":{"enum":["GET","POST"]},"headers":{"type":"object"}}}`),
		"noop": nil,
	}
	load := func(with string) (Problems, error) {
		_, warnings, err := Load([]byte("name: w\ntasks:\n  - name: a\n    type: http\n    with: "+with+"\n"), catalog, DefaultLimits())
		return warnings, err
	}
	for _, with := range []string{"{url: x}", "{url: x, method: '${workflow.input.m}'}", "{url: 'a${workflow.id}', headers: '${workflow.input}'}", "'${workflow.input}'"} {
		warnings, err := load(with)
		require.NoError(t, err, with)
		require.Empty(t, warnings)
	}
	for with, field := range map[string]string{
		"{method: GET}":                    "tasks[0].with",
		"{url: 1}":                         "tasks[0].with.url",
		"{url: x, method: PUT}":            "tasks[0].with.method",
		"{url: '${workflow.id}', verb: x}": "tasks[0].with",
	} {
		_, err := load(with)
		problems := AsProblems(err)
		require.Len(t, problems, 1, with)
		require.Equal(t, field, problems[0].Field)
		require.Equal(t, CodeBadWith, problems[0].Code)
		require.Equal(t, 5, problems[0].Line)
	}
	_, warnings, err := Load([]byte("name: w\ntasks:\n  - name: a\n    type: nop\n"), catalog, DefaultLimits())
	require.NoError(t, err)
	require.Equal(t, CodeUnknownType, warnings[0].Code)
	require.Equal(t, 4, warnings[0].Line)
	require.Contains(t, warnings[0].Message, `did you mean "noop"?`)
}
