package prefect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
)

// A run input is a text under a key of a flow run. The schema and the description of an open approval are
// there, too, under the keys of its keyset; they are read from the approval.

var (
	createInputShape = shapeOf("key", aString.must(), "value", someBytes.must(), "sender", aString.orNull()).embedded()
	filterInputShape = shapeOf("prefix", aString.must(), "limit", anInt.from(0), "exclude_keys", listOf(aString)).embedded()

	keyOfInput = regexp.MustCompile(`^[a-z0-9-]{1,200}$`)

	noInput = refused{http.StatusNotFound, detail{"Flow run input not found"}}
)

func badKey(key string) error {
	return unprocessable(map[string]string{"key": key}, fault{
		Type: "string_pattern_mismatch", Loc: []any{"body", "key"}, Msg: "String should match pattern '^[a-z0-9-]{1,200}$'", Input: key,
		Ctx: map[string]any{"pattern": "^[a-z0-9-]{1,200}$"},
	})
}

// storedInput is what the memo of a run input holds.
type storedInput struct {
	Value  string  `json:"value"`
	Sender *string `json:"sender,omitempty"`
}

type createInputRequest struct {
	Key    string  `json:"key"`
	Value  string  `json:"value"`
	Sender *string `json:"sender"`
}

func (h *handlers) createInput(c *gin.Context) error {
	var q createInputRequest
	if err := read(c.Request, createInputShape, &q); err != nil {
		return err
	}
	r, err := h.run(c, notFound)
	if err != nil {
		return err
	}
	if !keyOfInput.MatchString(q.Key) {
		return badKey(q.Key)
	}
	exists := refused{http.StatusConflict, detail{"A flow run input with this key already exists."}}
	if r.ofGate(q.Key) != nil {
		return exists
	}
	note, err := memoOf(inputMemo+q.Key, storedInput{q.Value, q.Sender}, 0)
	if err != nil {
		return err
	}
	err = h.engine.WriteMemos(c.Request.Context(), r.x.ID, note)
	if raced(err) {
		return exists
	}
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, null)
}

// ofGate is what a run input of the open approval says; nil = the key is none of its.
func (r *run) ofGate(key string) *runInput {
	if r.gate == nil {
		return nil
	}
	set, value := keyset(pauseKey(r.gate)), "{}"
	switch {
	case key == set["description"]:
		value = r.gate.Message
	case key != set["schema"]:
		return nil
	case r.gate.Schema != nil:
		value = string(r.gate.Schema)
	}
	at := moment{r.gate.Since}
	return &runInput{ID: stateID(r.x.ID, "input", key), Created: at, Updated: at, FlowRunID: r.x.ID, Key: key, Value: value}
}

func (h *handlers) inputs(ctx context.Context, r *run, keys ...string) (map[string]runInput, error) {
	all := map[string]runInput{}
	var of []string
	for _, key := range keys {
		of = append(of, inputMemo+key)
	}
	memos, err := h.engine.Memos(ctx, r.x.ID, of...)
	if err != nil {
		return nil, err
	}
	for name, m := range memos {
		key, ok := strings.CutPrefix(name, inputMemo)
		if !ok {
			continue
		}
		var v storedInput
		if err := json.Unmarshal([]byte(m.Text), &v); err != nil {
			return nil, fmt.Errorf("prefect: the memo %s of %s cannot be read: %w", name, r.x.ID, err)
		}
		at := moment{m.At}
		all[key] = runInput{ID: stateID(r.x.ID, "input", key), Created: at, Updated: at, FlowRunID: r.x.ID, Key: key, Value: v.Value, Sender: v.Sender}
	}
	if r.gate != nil {
		for _, key := range keyset(pauseKey(r.gate)) {
			if in := r.ofGate(key); in != nil && (keys == nil || slices.Contains(keys, key)) {
				all[key] = *in
			}
		}
	}
	return all, nil
}

// input reads the run input that a path names.
func (h *handlers) input(c *gin.Context) (*run, *runInput, error) {
	r, err := h.run(c, func(string) refused { return noInput })
	if err != nil {
		return nil, nil, err
	}
	key := c.Param("key")
	if !keyOfInput.MatchString(key) {
		return nil, nil, noInput
	}
	all, err := h.inputs(c.Request.Context(), r, key)
	if err != nil {
		return nil, nil, err
	}
	in, there := all[key]
	if !there {
		return nil, nil, noInput
	}
	return r, &in, nil
}

func (h *handlers) getInput(c *gin.Context) error {
	_, in, err := h.input(c)
	if err != nil {
		return err
	}
	c.Writer.Header().Set("Content-Type", "text/plain; charset=utf-8")
	c.Writer.WriteHeader(http.StatusOK)
	_, _ = c.Writer.WriteString(in.Value) // the caller went away: nobody to tell
	return nil
}

func (h *handlers) deleteInput(c *gin.Context) error {
	r, in, err := h.input(c)
	if err != nil {
		return err
	}
	if r.ofGate(in.Key) != nil {
		return refused{http.StatusConflict, detail{"this belongs to an approval that is open"}}
	}
	if err := h.engine.WriteMemos(c.Request.Context(), r.x.ID, engine.MemoWrite{Key: inputMemo + in.Key, Drop: true, Expect: engine.AnyVersion}); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

type filterInputRequest struct {
	Prefix  string   `json:"prefix"`
	Limit   *int     `json:"limit"`
	Exclude []string `json:"exclude_keys"`
}

// filterInputs lists run inputs by when they came; of a flow run that is not there, none.
func (h *handlers) filterInputs(c *gin.Context) error {
	q := filterInputRequest{}
	if err := read(c.Request, filterInputShape, &q); err != nil {
		return err
	}
	id, ok := parseID(c.Param("id"))
	if !ok {
		return notThere
	}
	found := []runInput{}
	r, err := h.load(c.Request.Context(), id)
	if compat.IsMissing(err) {
		return answer(c, http.StatusOK, found)
	}
	if err != nil {
		return err
	}
	all, err := h.inputs(c.Request.Context(), r)
	if err != nil {
		return err
	}
	for key, in := range all {
		if strings.HasPrefix(key, q.Prefix) && !slices.Contains(q.Exclude, key) {
			found = append(found, in)
		}
	}
	slices.SortFunc(found, func(a, b runInput) int {
		if by := a.Created.Compare(b.Created.Time); by != 0 {
			return by
		}
		return strings.Compare(a.Key, b.Key)
	})
	limit := 1
	if q.Limit != nil {
		limit = *q.Limit
	}
	return answer(c, http.StatusOK, found[:min(limit, len(found))])
}

// fitting is a run input with the values that it stands for, once it fits the schema under a key; said is why it does not.
func (h *handlers) fitting(ctx context.Context, r *run, schemaKey string, given json.RawMessage) (input *object, said string, err error) {
	input = newObject()
	if len(given) > 0 {
		v, err := decode(given)
		if err != nil {
			return nil, "", err
		}
		if o, ok := v.(*object); ok {
			input = o
		}
	}
	if input, err = hydrate(input); err != nil {
		return nil, "Error hydrating run input: " + err.Error(), nil //nolint:nilerr // it is what is said
	}
	all, err := h.inputs(ctx, r, schemaKey)
	if err != nil {
		return nil, "", err
	}
	stored, there := all[schemaKey]
	if !there {
		return nil, "Run input schema not found.", nil
	}
	schema, err := decode([]byte(stored.Value))
	if err != nil {
		return nil, "Run input schema is not valid JSON.", nil //nolint:nilerr // it is what is said
	}
	said, err = validate(input, schema)
	var bad schemaError
	switch {
	case errors.Is(err, errCircular):
		return nil, "Invalid schema: " + err.Error(), nil
	case errors.As(err, &bad):
		return nil, "Invalid schema: " + bad.text, nil
	case err != nil:
		return nil, "", err
	case said != "":
		return nil, "Reason: " + said, nil
	}
	return input, "", nil
}
