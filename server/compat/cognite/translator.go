package cognite

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dop251/goja"

	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

//go:embed translate.js
var translatorSource string

// translating is how long a translation may take.
const translating = 5 * time.Second

// maxCalls is how deep calls may be nested: a definition may be nested so deep that it would take the process down.
const maxCalls = 1000

var translatorProgram = sync.OnceValue(func() *goja.Program {
	return goja.MustCompile("translate.js", translatorSource, false)
})

// translator runs translate.js. The same text runs in workers, for dynamic tasks: so there is one translation.
type translator struct {
	vm  *goja.Runtime
	lib *goja.Object
}

func newTranslator() (*translator, error) {
	vm := goja.New()
	vm.SetMaxCallStackSize(maxCalls)
	lib, err := vm.RunProgram(translatorProgram())
	if err != nil {
		return nil, fmt.Errorf("cognite: the translator: %w", err)
	}
	return &translator{vm, lib.ToObject(vm)}, nil
}

// workflowName is the native name of a workflow.
func workflowName(externalID string) (string, error) {
	t, err := newTranslator()
	if err != nil {
		return "", err
	}
	v, err := t.call("workflowName", externalID)
	if err != nil {
		return "", err
	}
	return v.String(), nil
}

func (t *translator) call(name string, args ...any) (goja.Value, error) {
	f, ok := goja.AssertFunction(t.lib.Get(name))
	if !ok {
		return nil, fmt.Errorf("cognite: the translator has no %s", name)
	}
	timer := time.AfterFunc(translating, func() { t.vm.Interrupt("it took too long") })
	defer timer.Stop()
	values := make([]goja.Value, len(args))
	for i, a := range args {
		values[i] = t.vm.ToValue(a)
	}
	return f(goja.Undefined(), values...)
}

// options are what a translation rests on besides the definition.
type options struct {
	Name       string              `json:"name"`
	ExternalID string              `json:"externalId"`
	Version    string              `json:"version"`
	Workflow   workflowRecord      `json:"workflow"`
	Created    int64               `json:"created,omitempty"`
	Updated    int64               `json:"updated,omitempty"`
	Base       string              `json:"base,omitempty"`
	Source     string              `json:"source"`
	Versions   map[string]resolved `json:"versions,omitempty"`
}

// resolved is the native version that a version of a workflow was stored as.
type resolved struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Nests   bool   `json:"nests,omitempty"` // it has tasks that hold others
}

// translate makes the native definition. What is wrong with Cognite's is a problem of the request.
func translate(definition json.RawMessage, o options) (json.RawMessage, error) {
	t, err := newTranslator()
	if err != nil {
		return nil, err
	}
	o.Source = strings.TrimSpace(translatorSource)
	text, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("cognite: encoding options: %w", err)
	}
	numbers := newExact()
	guarded, err := numbers.guard(definition)
	if err != nil {
		return nil, problem.Invalid("definition_invalid", "workflowDefinition cannot be read: "+err.Error())
	}
	d, err := t.parse(guarded)
	if err != nil {
		return nil, err
	}
	with, err := t.parse(text)
	if err != nil {
		return nil, err
	}
	made, err := t.call("definition", d, with)
	if err != nil {
		return nil, refusal(err)
	}
	out, err := t.stringify(made)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(numbers.restore(out)), nil
}

// refusal is what the translator threw, as a problem of a field.
func refusal(err error) error {
	thrown, ok := err.(*goja.Exception) //nolint:errorlint // goja wraps nothing
	if !ok {
		return problem.Invalid("definition_invalid", "workflowDefinition cannot be translated: "+err.Error())
	}
	text := thrown.Value().String()
	if o, isObject := thrown.Value().(*goja.Object); isObject {
		text = o.Get("message").String()
	}
	field, message, found := strings.Cut(text, ": ")
	if !found {
		field, message = "tasks", text
	}
	message, allowed, _ := strings.Cut(message, "; allowed: ")
	return problem.Invalid("definition_invalid", "the version cannot be stored", workflow.Problem{Field: "workflowDefinition." + field, Code: "invalid", Message: message, Allowed: allowed})
}

func (t *translator) parse(text json.RawMessage) (goja.Value, error) {
	return t.json("parse", t.vm.ToValue(string(text)))
}

func (t *translator) stringify(v goja.Value) (string, error) {
	s, err := t.json("stringify", v)
	if err != nil {
		return "", err
	}
	return s.String(), nil
}

func (t *translator) json(name string, v goja.Value) (goja.Value, error) {
	f, _ := goja.AssertFunction(t.vm.Get("JSON").ToObject(t.vm).Get(name))
	out, err := f(goja.Undefined(), v)
	if err != nil {
		return nil, fmt.Errorf("cognite: JSON.%s: %w", name, err)
	}
	return out, nil
}
