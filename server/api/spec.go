package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
)

//go:embed openapi.yaml
var source []byte

// Spec is the specification, made ready for use.
type Spec struct {
	Document *openapi3.T
	JSON     []byte // what /openapi.json serves
	ops      map[string]*operation
}

// operation is what checks need to know of one operation.
type operation struct {
	id      string
	rule    auth.Rule
	params  []*openapi3.Parameter
	body    *openapi3.RequestBody      // nil: takes none
	aliases map[string]string          // media type -> the one it is read as
	most    int64                      // bytes of the body, where the operation allows more than others; 0 = it does not
	raw     bool                       // the handler reads the body as it came
	dry     struct{ query, body bool } // where it takes dry_run
}

// dryRun is the parameter, or the field of a body, that asks for a dry run.
const dryRun = "dry_run"

var pathParam = regexp.MustCompile(`\{([^}]+)\}`)

// LoadSpec reads the embedded specification.
func LoadSpec() (*Spec, error) {
	doc, err := openapi3.NewLoader().LoadFromData(source)
	if err != nil {
		return nil, fmt.Errorf("api: read openapi.yaml: %w", err)
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("api: write openapi.json: %w", err)
	}
	s := &Spec{Document: doc, JSON: append(text, '\n'), ops: map[string]*operation{}}
	for path, item := range doc.Paths.Map() {
		route := pathParam.ReplaceAllString(path, ":$1")
		for method, op := range item.Operations() {
			o, err := newOperation(item, op)
			if err != nil {
				return nil, fmt.Errorf("api: %s %s: %w", method, path, err)
			}
			s.ops[method+" "+route] = o
		}
	}
	return s, nil
}

// Rules are the access rules of the operations, by "METHOD /route/:param".
func (s *Spec) Rules() map[string]auth.Rule {
	rules := make(map[string]auth.Rule, len(s.ops))
	for key, o := range s.ops {
		rules[key] = o.rule
	}
	return rules
}

// OperationID is the name of the operation of a route, "" where there is none.
func (s *Spec) OperationID(method, route string) string {
	if o := s.ops[method+" "+route]; o != nil {
		return o.id
	}
	return ""
}

// DryRun says whether the operation of a route takes dry_run in its query and in its body; where there is no operation, nowhere.
func (s *Spec) DryRun(method, route string) (query, body bool) {
	if o := s.ops[method+" "+route]; o != nil {
		return o.dry.query, o.dry.body
	}
	return false, false
}

func newOperation(item *openapi3.PathItem, op *openapi3.Operation) (*operation, error) {
	scope, _ := op.Extensions["x-scope"].(string)
	fleet, _ := op.Extensions["x-fleet"].(bool)
	work, _ := op.Extensions["x-work"].(bool)
	o := &operation{id: op.OperationID, rule: auth.Rule{Scope: engine.Scope(scope), Fleet: fleet, Work: work}, aliases: map[string]string{}}
	switch o.rule.Scope {
	case engine.ScopeRead, engine.ScopeWrite, engine.ScopeAdmin:
	default:
		return nil, fmt.Errorf("x-scope is %q: want read, write or admin", scope)
	}
	for _, list := range []openapi3.Parameters{item.Parameters, op.Parameters} {
		for _, p := range list {
			o.params = append(o.params, p.Value)
			o.dry.query = o.dry.query || p.Value.In == openapi3.ParameterInQuery && p.Value.Name == dryRun
		}
	}
	if op.RequestBody == nil {
		return o, nil
	}
	o.body = op.RequestBody.Value
	for media, content := range o.body.Content {
		o.aliases[media] = media
		o.dry.body = o.dry.body || content.Schema != nil && content.Schema.Value.Properties[dryRun] != nil
	}
	if most, ok := o.body.Extensions["x-max-bytes"].(float64); ok {
		o.most = int64(most)
	}
	aliases, _ := o.body.Extensions["x-content-aliases"].(map[string]any)
	for from, to := range aliases {
		o.aliases[from] = fmt.Sprint(to)
		o.raw = true
	}
	return o, nil
}

// schemaType is the single type of a schema, "" for any.
func schemaType(s *openapi3.Schema) string {
	if s.Type == nil {
		return ""
	}
	return strings.Join(s.Type.Slice(), "|")
}
