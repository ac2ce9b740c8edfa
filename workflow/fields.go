package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The tables of the language. What is not here is not allowed.

func workflowFields() []field[Definition] {
	return []field[Definition]{
		workflowNameField(),
		textField("description", "what it is for", func(d *Definition) *string { return &d.Description }),
		schemaField("input_schema", "JSON Schema of the input of an execution", func(d *Definition) *json.RawMessage { return &d.InputSchema }),
		boolField("fail_fast", "cancel everything else when a task fails for good", func(d *Definition) *bool { return &d.FailFast }),
		objectField("concurrency", "how many executions run at once; what the newest version says holds for all versions", concurrencyFields,
			func(d *Definition) **Concurrency { return &d.Concurrency }),
		objectField("defaults", "what holds for tasks that say nothing of their own", defaultsFields, func(d *Definition) **Defaults { return &d.Defaults }),
		durationField("timeout", "how long a whole execution may take; the time it is paused does not count", time.Millisecond, func(d *Definition, v Duration) { d.Timeout = v }),
		bodyField("tasks", "the tasks of the workflow", true, func(d *Definition) *[]Task { return &d.Tasks }),
		bodyField("on_failure", "tasks that run when an execution failed or timed out", false, func(d *Definition) *[]Task { return &d.OnFailure }),
		valueField("output", "the output of an execution; strings may hold ${...}", func(d *Definition) *json.RawMessage { return &d.Output }),
		annotationsField(),
	}
}

// maxAnnotations is how many a workflow may have; the limit of the whole definition bounds their size.
const maxAnnotations = 64

func annotationsField() field[Definition] {
	return field[Definition]{name: "annotations", doc: "texts that tools keep with the workflow, by name; nothing reads them here",
		shape: shape("type", "object", "maxProperties", maxAnnotations, "additionalProperties", map[string]any{"type": "string"}),
		read: func(r *reader, at place, d *Definition) {
			if !r.kinded(at, objectTree) {
				return
			}
			if n := len(at.tree.keys); n > maxAnnotations {
				r.add(at, CodeOutOfRange, fmt.Sprintf("at most %d", maxAnnotations), "there are %d annotations", n)
				return
			}
			d.Annotations = map[string]string{}
			for i, key := range at.tree.keys {
				child := place{path: joinKey(at.path, key.name), tree: at.tree.items[i], pos: at.tree.items[i].pos}
				d.Annotations[key.name] = r.text(child, r.limits.DefinitionBytes)
			}
		}}
}

// MaxRunning is the largest limit of executions of a workflow that run at once.
const MaxRunning = 100_000

func concurrencyFields() []field[Concurrency] {
	limit := intField("max_running", "executions that run or are paused, at most", func(Limits) (int, int) { return 1, MaxRunning }, func(c *Concurrency) *int { return &c.MaxRunning })
	limit.required = true
	return []field[Concurrency]{
		limit,
		choiceField("when_full", "what becomes of one more: it waits for its turn, or is refused", []WhenFull{WhenFullQueue, WhenFullReject}, func(c *Concurrency) *WhenFull { return &c.WhenFull }),
	}
}

func defaultsFields() []field[Defaults] {
	return []field[Defaults]{
		nameField("queue", "asynq queue", queueName, func(d *Defaults) *string { return &d.Queue }),
		durationField("timeout", "how long one attempt may take", time.Millisecond, func(d *Defaults, v Duration) { d.Timeout = v }),
		objectField("retry", "when and how often a failed attempt is tried again", retryFields, func(d *Defaults) **Retry { return &d.Retry }),
	}
}

func taskFields() []field[Task] {
	return []field[Task]{
		taskNameField(),
		textField("description", "what it is for", func(t *Task) *string { return &t.Description }),
		typeField(),
		needsField(),
		conditionField("if", "condition as one ${...}; false = skipped", func(t *Task) *string { return &t.If }),
		valueField("with", "the input; strings may hold ${...}", func(t *Task) *json.RawMessage { return &t.With }),
		nameField("queue", "asynq queue", queueName, func(t *Task) *string { return &t.Queue }),
		intField("priority", "1 (lowest) to 9 (highest); without it the execution's", func(Limits) (int, int) { return 1, 9 }, func(t *Task) *int { return &t.Priority }),
		objectField("retry", "when and how often a failed attempt is tried again", retryFields, func(t *Task) **Retry { return &t.Retry }),
		durationField("timeout", "how long one attempt may take", time.Millisecond, func(t *Task, v Duration) { t.Timeout = v }),
		choiceField("on_failure", "what a final failure means for the tasks that need it", []OnFailure{OnFailureFail, OnFailureContinue}, func(t *Task) *OnFailure { return &t.OnFailure }),
		choiceField("effects", "what running it twice does to the outside world", []Effects{EffectsIdempotent, EffectsKeyed, EffectsUnsafe}, func(t *Task) *Effects { return &t.Effects }),
		schemaField("input_schema", "JSON Schema of the resolved input", func(t *Task) *json.RawMessage { return &t.InputSchema }),
		schemaField("output_schema", "JSON Schema of the output", func(t *Task) *json.RawMessage { return &t.OutputSchema }),
		objectField("for_each", "one run per item of a list", forEachFields, func(t *Task) **ForEach { return &t.ForEach }),
		bodyField("tasks", "the body of a group or loop", false, func(t *Task) *[]Task { return &t.Tasks }),
		conditionField("until", "when a loop ends, as one ${...}; evaluated after each iteration", func(t *Task) *string { return &t.Until }),
		intField("max_iterations", "the bound of a loop", func(l Limits) (int, int) { return 1, l.Iterations }, func(t *Task) *int { return &t.MaxIterations }),
	}
}

func forEachFields() []field[ForEach] {
	return []field[ForEach]{
		itemsField(),
		textField("key", "names an item in its ref; without it a scalar item itself, else its index", func(f *ForEach) *string { return &f.Key }),
		intField("max_parallel", "how many items run at once", func(l Limits) (int, int) { return 1, l.Items }, func(f *ForEach) *int { return &f.MaxParallel }),
		choiceField("on_item_failure", "what the failure of an item means for those that have not begun", []OnItemFailure{OnItemFailureFinish, OnItemFailureStop}, func(f *ForEach) *OnItemFailure { return &f.OnItemFailure }),
	}
}

func retryFields() []field[Retry] {
	return []field[Retry]{
		intField("max_attempts", "tries in all; 1 = no retry", func(l Limits) (int, int) { return 1, l.Attempts }, func(r *Retry) *int { return &r.MaxAttempts }),
		durationField("delay", "pause before the second try; 0s = none", 0, func(r *Retry, v Duration) { r.Delay = &v }),
		choiceField("backoff", "how the pause grows", []Backoff{BackoffFixed, BackoffLinear, BackoffExponential}, func(r *Retry) *Backoff { return &r.Backoff }),
		durationField("max_delay", "the longest pause", time.Millisecond, func(r *Retry, v Duration) { r.MaxDelay = v }),
		fractionField("jitter", "the share of a pause that is left to chance", func(r *Retry, v float64) { r.Jitter = &v }),
		namesField("non_retryable", "error codes that are never tried again", func(r *Retry) *[]string { return &r.NonRetryable }),
	}
}

func shape(pairs ...any) func(Limits) map[string]any {
	m := map[string]any{}
	for pair := range slices.Chunk(pairs, 2) {
		m[pair[0].(string)] = pair[1]
	}
	return func(Limits) map[string]any { return m }
}

const maxDescription = 16 << 10

func textField[T any](name, doc string, to func(*T) *string) field[T] {
	return field[T]{name: name, doc: doc, shape: shape("type", "string", "maxLength", maxDescription),
		read: func(r *reader, at place, t *T) { *to(t) = r.text(at, maxDescription) }}
}

func nameField[T any](name, doc string, rule rule, to func(*T) *string) field[T] {
	return field[T]{name: name, doc: doc, shape: shape("type", "string", "pattern", rule.pattern.String()),
		read: func(r *reader, at place, t *T) { *to(t) = r.name(at, rule) }}
}

func boolField[T any](name, doc string, to func(*T) *bool) field[T] {
	return field[T]{name: name, doc: doc, shape: shape("type", "boolean"),
		read: func(r *reader, at place, t *T) { *to(t) = r.kinded(at, boolTree) && at.tree.text == "true" }}
}

func intField[T any](name, doc string, bounds func(Limits) (int, int), to func(*T) *int) field[T] {
	return field[T]{name: name, doc: doc,
		shape: func(l Limits) map[string]any {
			least, most := bounds(l)
			return map[string]any{"type": "integer", "minimum": least, "maximum": most}
		},
		read: func(r *reader, at place, t *T) {
			least, most := bounds(r.limits)
			*to(t) = r.integer(at, least, most)
		}}
}

func fractionField[T any](name, doc string, set func(*T, float64)) field[T] {
	return field[T]{name: name, doc: doc, shape: shape("type", "number", "minimum", 0, "maximum", 1),
		read: func(r *reader, at place, t *T) { set(t, r.fraction(at)) }}
}

func durationField[T any](name, doc string, least time.Duration, set func(*T, Duration)) field[T] {
	return field[T]{name: name, doc: doc, shape: shape("type", "string", "pattern", durationPattern, "examples", []string{"500ms", "30s", "1h30m"}),
		read: func(r *reader, at place, t *T) { set(t, r.duration(at, least)) }}
}

func choiceField[T any, S ~string](name, doc string, choices []S, to func(*T) *S) field[T] {
	names := make([]string, len(choices))
	for i, c := range choices {
		names[i] = string(c)
	}
	return field[T]{name: name, doc: doc, shape: shape("enum", names),
		read: func(r *reader, at place, t *T) {
			if !r.kinded(at, stringTree) {
				return
			}
			if !slices.Contains(names, at.tree.text) {
				r.add(at, CodeNotAllowed, list(names), "%s cannot be %q%s", name, clip(at.tree.text), Suggest(at.tree.text, names))
				return
			}
			*to(t) = S(at.tree.text)
		}}
}

func schemaField[T any](name, doc string, to func(*T) *json.RawMessage) field[T] {
	return field[T]{name: name, doc: doc, shape: shape("type", []string{"object", "boolean"}),
		read: func(r *reader, at place, t *T) {
			if at.tree.kind != objectTree && at.tree.kind != boolTree {
				r.add(at, CodeWrongType, "a JSON Schema: an object or a boolean", "this is %s", at.tree.kind)
				return
			}
			*to(t) = r.raw(at)
		}}
}

func valueField[T any](name, doc string, to func(*T) *json.RawMessage) field[T] {
	return field[T]{name: name, doc: doc, shape: shape(),
		read: func(r *reader, at place, t *T) { *to(t) = r.raw(at) }}
}

func namesField[T any](name, doc string, to func(*T) *[]string) field[T] {
	return field[T]{name: name, doc: doc,
		shape: shape("type", "array", "uniqueItems", true, "items", map[string]any{"type": "string", "pattern": codeName.pattern.String()}),
		read:  func(r *reader, at place, t *T) { *to(t) = r.names(at, codeName, CodeNotAllowed, "code") }}
}

func objectField[T, U any](name, doc string, fields func() []field[U], to func(*T) **U) field[T] {
	return field[T]{name: name, doc: doc,
		shape: func(l Limits) map[string]any { return objectShape(l, fields()) },
		read: func(r *reader, at place, t *T) {
			*to(t) = new(U)
			readObject(r, at, name, fields(), *to(t))
		}}
}

func workflowNameField() field[Definition] {
	return field[Definition]{name: "name", doc: "its name, unique in its project", required: true,
		shape: shape("type", "string", "pattern", workflowName.pattern.String()),
		read: func(r *reader, at place, d *Definition) {
			rule := workflowName
			if r.trusted || r.foreign {
				rule = anyName // dialects publish names of their own
			}
			d.Name = r.name(at, rule)
		}}
}

func taskNameField() field[Task] {
	f := nameField("name", "its name, unique in the workflow", taskName, func(t *Task) *string { return &t.Name })
	f.required = true
	return f
}

func needsField() field[Task] {
	return field[Task]{name: "needs", doc: "names of the tasks that must end well before it",
		shape: shape("type", "array", "uniqueItems", true, "items", map[string]any{"type": "string", "pattern": taskName.pattern.String()}),
		read:  func(r *reader, at place, t *Task) { t.Needs = r.names(at, taskName, CodeDuplicateNeed, "task") }}
}

func typeField() field[Task] {
	f := nameField("type", "what runs: http, exec, transform, script, log, noop, fail, a control type (group, loop, workflow, wait, approval), or a registered type", typeName, func(t *Task) *string { return &t.Type })
	f.required = true
	f.shape = shape("type", "string", "pattern", typeName.pattern.String(),
		"examples", append([]string{"http", "exec", "transform", "script", "log", "noop", "fail"}, controlTypes...))
	return f
}

func itemsField() field[ForEach] {
	const allowed = `a list, or one expression that gives a list, such as "${workflow.input.years}"`
	return field[ForEach]{name: "items", doc: "the list: " + allowed, required: true,
		shape: shape("anyOf", []any{map[string]any{"type": "string", "pattern": ifPattern}, map[string]any{"type": "array"}}),
		read: func(r *reader, at place, f *ForEach) {
			if at.tree.kind != listTree && at.tree.kind != stringTree {
				r.add(at, CodeWrongType, allowed, "this is %s", at.tree.kind)
				return
			}
			f.Items = r.raw(at)
		}}
}

// ifPattern is what editors check: the text is one expression.
const ifPattern = `^\s*\$\{[\s\S]*\}\s*$`

func conditionField(name, doc string, to func(*Task) *string) field[Task] {
	return field[Task]{name: name, doc: doc,
		shape: shape("anyOf", []any{map[string]any{"type": "string", "pattern": ifPattern}, map[string]any{"type": "boolean"}}),
		read: func(r *reader, at place, t *Task) {
			switch at.tree.kind {
			case boolTree:
				*to(t) = "${" + at.tree.text + "}"
			case stringTree:
				*to(t) = strings.TrimSpace(at.tree.text)
				if *to(t) == "" {
					r.add(at, CodeBadExpression, ifAllowed, "the condition is empty")
				}
			default:
				r.add(at, CodeWrongType, ifAllowed, "this is %s", at.tree.kind)
			}
		}}
}

const ifAllowed = `exactly one expression such as "${tasks.load.output.rows > 0}", or true or false`

func bodyField[T any](name, doc string, required bool, to func(*T) *[]Task) field[T] {
	return field[T]{name: name, doc: doc, required: required,
		shape: func(l Limits) map[string]any {
			return map[string]any{"type": "array", "minItems": 1, "maxItems": l.Tasks, "items": map[string]any{"$ref": "#/$defs/task"}}
		},
		read: func(r *reader, at place, t *T) {
			if !r.kinded(at, listTree) {
				return
			}
			n := len(at.tree.items)
			if n == 0 {
				r.add(at, CodeRequired, "at least one task", "%s has no tasks", name)
			}
			if r.tasks += n; r.tasks > r.limits.Tasks && !r.trusted {
				if r.tasks-n <= r.limits.Tasks {
					r.add(at, CodeTooLarge, fmt.Sprintf("at most %d tasks, those in groups and loops counted too", r.limits.Tasks), "the workflow has %d tasks or more", r.tasks)
				}
				return
			}
			fields := taskFields()
			tasks := make([]Task, n)
			for i := range tasks {
				readObject(r, at.index(i), "a task", fields, &tasks[i])
			}
			*to(t) = tasks
		}}
}

// objectShape is the JSON Schema of an object with these fields and no others.
func objectShape[T any](l Limits, fields []field[T]) map[string]any {
	properties := map[string]any{}
	var required []string
	for _, f := range fields {
		s := map[string]any{"description": f.doc}
		maps.Copy(s, f.shape(l))
		properties[f.name] = s
		if f.required {
			required = append(required, f.name)
		}
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if required != nil {
		s["required"] = required
	}
	return s
}
