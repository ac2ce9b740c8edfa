package workflow

import "encoding/json"

// SchemaURL names the JSON Schema of the language in its $id.
const SchemaURL = "https://redrive.dev/schemas/workflow.json"

// JSONSchema answers the JSON Schema of a definition, for editors. It is made
// from the tables that the parser reads by.
func JSONSchema() []byte {
	s := objectShape(DefaultLimits(), workflowFields())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$id"] = SchemaURL
	s["title"] = "Redrive workflow"
	s["$defs"] = map[string]any{"task": objectShape(DefaultLimits(), taskFields())}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil
	}
	return append(raw, '\n')
}
