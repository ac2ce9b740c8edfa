package server

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/server/api"
)

//go:embed docs.html
var docsTemplate string

//go:embed docs.css
var docsStyle string

// pages are the open pages about the API, rendered once.
type pages struct {
	json   []byte
	html   []byte
	policy string
}

func newPages(spec *api.Spec) (pages, error) {
	t, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return pages{}, fmt.Errorf("server: docs page: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, newDocs(spec.Document)); err != nil {
		return pages{}, fmt.Errorf("server: docs page: %w", err)
	}
	sum := sha256.Sum256([]byte(docsStyle))
	return pages{
		json: spec.JSON, html: out.Bytes(),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
	}, nil
}

func (p pages) spec(c *gin.Context) {
	c.Data(http.StatusOK, "application/json", p.json)
}

func (p pages) docs(c *gin.Context) {
	c.Header("Content-Security-Policy", p.policy)
	c.Data(http.StatusOK, "text/html; charset=utf-8", p.html)
}

// docs is what the page shows.
type docs struct {
	Title, Description string
	Style              template.CSS
	Groups             []docGroup
	Schemas            []docSchema
}

type docGroup struct {
	Name, Description string
	Operations        []docOperation
}

type docOperation struct {
	ID, Method, Path, Summary, Description, Scope, Curl string
	Fleet                                               bool
	Parameters                                          []docField
	Body                                                *docBody
	Answers                                             []docAnswer
}

type docBody struct {
	Required bool
	Media    string
	Fields   []docField
}

type docAnswer struct{ Status, Description, Schema string }

type docSchema struct {
	Name   string
	Fields []docField
}

type docField struct {
	Name, In, Type, Description string
	Required                    bool
}

func newDocs(doc *openapi3.T) docs {
	d := docs{Title: doc.Info.Title, Description: doc.Info.Description, Style: template.CSS(docsStyle)} //nolint:gosec // our own file
	for _, tag := range doc.Tags {
		g := docGroup{Name: tag.Name, Description: tag.Description}
		for _, path := range doc.Paths.InMatchingOrder() {
			item := doc.Paths.Value(path)
			for method, op := range item.Operations() {
				if slices.Contains(op.Tags, tag.Name) {
					g.Operations = append(g.Operations, newDocOperation(method, path, item, op))
				}
			}
		}
		slices.SortFunc(g.Operations, func(a, b docOperation) int {
			return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
		})
		d.Groups = append(d.Groups, g)
	}
	for name, s := range doc.Components.Schemas {
		if len(s.Value.Properties) > 0 {
			d.Schemas = append(d.Schemas, docSchema{Name: name, Fields: fieldsOf(s.Value)})
		}
	}
	slices.SortFunc(d.Schemas, func(a, b docSchema) int { return strings.Compare(a.Name, b.Name) })
	return d
}

func newDocOperation(method, path string, item *openapi3.PathItem, op *openapi3.Operation) docOperation {
	o := docOperation{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Description: op.Description}
	o.Scope, _ = op.Extensions["x-scope"].(string)
	o.Fleet, _ = op.Extensions["x-fleet"].(bool)
	for _, p := range slices.Concat(item.Parameters, op.Parameters) {
		o.Parameters = append(o.Parameters, docField{
			Name: p.Value.Name, In: p.Value.In, Type: typeOf(p.Value.Schema), Description: p.Value.Description, Required: p.Value.Required,
		})
	}
	var example any
	if op.RequestBody != nil {
		o.Body, example = newDocBody(op.RequestBody.Value)
	}
	for _, status := range op.Responses.Keys() {
		r := op.Responses.Value(status).Value
		a := docAnswer{Status: status, Description: *r.Description}
		for _, content := range r.Content {
			if content.Schema != nil && content.Schema.Ref != "" {
				a.Schema = refName(content.Schema.Ref)
			}
		}
		o.Answers = append(o.Answers, a)
	}
	slices.SortFunc(o.Answers, func(a, b docAnswer) int { return strings.Compare(a.Status, b.Status) })
	o.Curl = curl(o, example)
	return o
}

func newDocBody(b *openapi3.RequestBody) (*docBody, any) {
	for _, media := range []string{"application/yaml", "application/json"} {
		content := b.Content[media]
		if content == nil {
			continue
		}
		return &docBody{Required: b.Required, Media: media, Fields: fieldsOf(content.Schema.Value)}, content.Example
	}
	return nil, nil
}

func fieldsOf(s *openapi3.Schema) []docField {
	fields := make([]docField, 0, len(s.Properties))
	for name, p := range s.Properties {
		fields = append(fields, docField{Name: name, Type: typeOf(p), Description: p.Value.Description, Required: slices.Contains(s.Required, name)})
	}
	slices.SortFunc(fields, func(a, b docField) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

// typeOf says in words what a value may be.
func typeOf(ref *openapi3.SchemaRef) string {
	s := ref.Value
	text := "any JSON"
	switch {
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			words[i] = fmt.Sprint(v)
		}
		text = strings.Join(words, " | ")
	case len(s.OneOf) > 0:
		words := make([]string, len(s.OneOf))
		for i, v := range s.OneOf {
			words[i] = typeOf(v)
		}
		text = strings.Join(words, " or ")
	case len(s.AllOf) == 1:
		text = typeOf(s.AllOf[0])
	case s.Type.Is("array"):
		text = "list of " + typeOf(s.Items)
	case s.Type.Is("object") && ref.Ref != "" && len(s.Properties) > 0:
		text = refName(ref.Ref)
	case s.Format == "date-time":
		text = "time (RFC 3339)"
	case s.Type != nil:
		text = strings.Join(s.Type.Slice(), " or ")
	}
	if s.Min != nil && s.Max != nil {
		text += fmt.Sprintf(", %.0f to %.0f", *s.Min, *s.Max)
	}
	if s.Default != nil {
		text += fmt.Sprintf(", default %v", s.Default)
	}
	if s.Nullable && s.Type != nil {
		text += " or null"
	}
	return text
}

func refName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// curl is a call one can paste.
func curl(o docOperation, example any) string {
	path := strings.NewReplacer("{project}", "default", "{id}", "42", "{ref}", "load", "{name}", "hello", "{version}", "1", "{queue}", "default", "{key}", "KEY_ID").Replace(o.Path)
	var b strings.Builder
	b.WriteString("curl -H \"Authorization: Bearer $REDRIVE_API_KEY\"")
	if o.Method != http.MethodGet {
		b.WriteString(" -X " + o.Method)
	}
	if o.ID == "streamEvents" {
		b.WriteString(" -N")
	}
	address := "http://127.0.0.1:8080" + path
	var query []string
	for _, p := range o.Parameters {
		if p.In == "query" && p.Required {
			query = append(query, p.Name+"="+strings.ToUpper(p.Name))
		}
	}
	if len(query) > 0 {
		address = "'" + address + "?" + strings.Join(query, "&") + "'" // the quotes keep the & from the shell
	}
	b.WriteString(" \\\n  " + address)
	switch e := example.(type) {
	case nil:
	case string:
		b.WriteString(" \\\n  -H 'Content-Type: " + o.Body.Media + "' --data-binary @- <<'END'\n" + e + "END")
	default:
		if text, err := json.Marshal(e); err == nil {
			b.WriteString(" \\\n  -H 'Content-Type: " + o.Body.Media + "' -d '" + string(text) + "'")
		}
	}
	return b.String()
}
