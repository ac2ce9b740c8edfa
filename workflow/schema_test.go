package workflow

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSchemasThatDoubleTheirWorkAreRefused(t *testing.T) {
	double := func(key, ref string) string {
		var defs []string
		for i := range 40 {
			defs = append(defs, fmt.Sprintf(`"a%d":{"$anchor":"a%d","%s":[{"$ref":"%s%d"},{"$ref":"%s%d"}]}`, i, i, key, ref, i+1, ref, i+1))
		}
		return `{"$ref":"` + ref + `0","$defs":{` + strings.Join(defs, ",") + `,"a40":{"$anchor":"a40","type":"integer"}}}`
	}
	for _, s := range []string{double("allOf", "#/$defs/a"), double("anyOf", "#/$defs/a"), double("oneOf", "#a")} {
		_, err := compileSchema(json.RawMessage(s))
		require.ErrorContains(t, err, "more than 10000 schemas")
	}
	for _, s := range []string{
		`{"type":"object","properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}}}`,
		`{"$ref":"#/$defs/n","$defs":{"n":{"type":"array","items":{"$ref":"#/$defs/n"}}}}`,
		`true`,
	} {
		_, err := compileSchema(json.RawMessage(s))
		require.NoError(t, err)
	}
}

func TestSchemasCheckWithoutReadingFiles(t *testing.T) {
	for _, ref := range []string{"file:///etc/passwd", "http://localhost/x", "other.json", "urn:x"} {
		_, err := compileSchema(json.RawMessage(`{"$ref":"` + ref + `"}`))
		require.ErrorContains(t, err, "references to other documents are not followed", ref)
	}
	_, err := compileSchema(json.RawMessage(`{"$schema":"http://localhost/meta"}`))
	require.Error(t, err)
}

func TestInputProblemsNameTheirField(t *testing.T) {
	p := mustLoad(t, `
name: w
input_schema:
  type: object
  required: [csv]
  additionalProperties: false
  properties: { csv: {type: string}, years: {type: array, items: {type: integer}}, "odd key": {anyOf: [{type: string}, {type: integer}]} }
tasks: [{name: a, type: noop}]
`)
	problems := p.CheckInput(json.RawMessage(`{"csv":1,"years":[2012,"x"],"odd key":true,"zz":0}`))
	var fields []string
	for _, p := range problems {
		fields = append(fields, p.Field)
		require.Equal(t, CodeInputInvalid, p.Code)
		require.NotEmpty(t, p.Message)
	}
	require.Equal(t, []string{"input.csv", `input["odd key"]`, "input.years[1]", "input.zz"}, fields)
	missing := p.CheckInput(json.RawMessage(`{}`))
	require.Equal(t, "input.csv: is required", missing[0].String())
	require.Empty(t, p.CheckInput(json.RawMessage(`{"csv":"x","years":[12345678901234567890]}`)))
	require.Equal(t, "input", p.CheckInput(json.RawMessage(`nonsense`))[0].Field)
}

func TestTheExampleOfTheLanguagePageLoads(t *testing.T) {
	page, err := os.ReadFile("../docs/language.md")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	source, _, found := strings.Cut(rest, "```")
	require.True(t, found)
	p := mustLoad(t, source)
	require.Len(t, p.Nodes, 3)
	for _, f := range append(append(fieldNames(workflowFields()), fieldNames(taskFields())...), fieldNames(retryFields())...) {
		require.Contains(t, string(page), "`"+f+"`")
	}
}
