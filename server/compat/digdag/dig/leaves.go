package dig

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// made is a task of a type with an input, which is given as pairs.
func made(kind string, pairs ...any) workflow.Task {
	with := &value{kind: object}
	for ; len(pairs) > 1; pairs = pairs[2:] {
		if v, _ := pairs[1].(*value); v != nil {
			with.put(pairs[0].(string), v)
		}
	}
	return workflow.Task{Type: kind, With: raw(with)}
}

func (c *compiler) echo(t *place, _, command *value, _ *Task) (workflow.Task, map[string]string) {
	return made("log", "message", c.native(t, command, 0)), nil
}

func (c *compiler) fail(t *place, _, command *value, _ *Task) (workflow.Task, map[string]string) {
	return made("fail", "message", c.words(t, command)), nil
}

// sh runs a command with a shell. In its environment are the variables whose name stands in the command, and of the
// params of the attempt those that it names as a shell does.
func (c *compiler) sh(t *place, config, command *value, _ *Task) (workflow.Task, map[string]string) {
	if command.kind != text || strings.TrimSpace(command.text) == "" {
		c.wrong(t, "a command as text", "the command is %s", command.kind)
		return workflow.Task{}, nil
	}
	args := &value{kind: list}
	shell := config.get("shell")
	switch {
	case shell == nil:
		args.items = append(args.items, &value{kind: text, text: "sh"})
	case shell.kind == list && len(shell.items) > 0 && !slices.ContainsFunc(shell.items, func(v *value) bool { return v.kind != text }):
		args.items = slices.Clone(shell.items)
	default:
		c.wrong(t, "a list of words, as [bash, -e]", "shell: cannot be this")
	}
	args.items = append(args.items, &value{kind: text, text: "-c"}, c.words(t, command))
	return made("exec", "command", args, "env", c.environment(t, config, command.text)), nil
}

func (c *compiler) environment(t *place, config *value, command string) *value {
	env := &value{kind: object}
	own := config.get("_env")
	if own != nil && own.kind != object {
		c.wrong(t, "an object, as _env: {NAME: value}", "_env: cannot be this")
		own = nil
	}
	for _, word := range slices.Compact(slices.Sorted(slices.Values(shells.FindAllString(command, -1)))) {
		if own.get(word) != nil || !c.isSet(t, word) || t.scope.storedUnder(word) != "" || word == "task_name" && t.scope.inLoop() {
			continue
		}
		if found, ok := c.lookup(t, []step{{key: word}}); ok && (found.cel != "" || found.value.kind != object && found.value.kind != list) {
			env.put(word, c.shown(t, found))
		}
	}
	if own != nil {
		for i, key := range own.keys {
			env.put(key, c.words(t, own.items[i]))
		}
	}
	for _, m := range shellNames.FindAllStringSubmatch(command, -1) {
		if name := m[1]; !slices.Contains(env.keys, name) && !c.isSet(t, name) {
			const there = `${workflow.input != null && %[1]s in workflow.input && workflow.input[%[1]s] != null ? dyn("%%s".format([workflow.input[%[1]s]])) : null}`
			env.put(name, &value{kind: text, text: fmt.Sprintf(there, literal(name))})
		}
	}
	if len(env.keys) == 0 {
		return nil
	}
	return env
}

// shown is a variable as text.
func (c *compiler) shown(t *place, m meant) *value {
	if m.cel == "" {
		return c.words(t, m.value)
	}
	return &value{kind: text, text: "${\"%s\".format([" + m.cel + "])}"}
}

func (c *compiler) wait(t *place, _, command *value, _ *Task) (workflow.Task, map[string]string) {
	const allowed = "a duration, as 30s, 10m, 1h 30m or 1d, up to 30 days"
	v := c.native(t, command, 0)
	if v.kind != text {
		c.wrong(t, allowed, "the duration is %s", v.kind)
		return workflow.Task{}, nil
	}
	if !strings.Contains(v.text, "${") {
		d, ok := durationOf(v.text)
		if !ok || d > 720*time.Hour {
			c.wrong(t, allowed, "%q is not understood", clip(v.text))
			return workflow.Task{}, nil
		}
		v = &value{kind: text, text: d.String()}
	}
	return made(workflow.TypeWait, "duration", v), nil
}

var httpParams = []string{"method", "content", "content_format", "content_type", "headers", "query", "store_content", "timeout", "retry"}

// http calls an address. Idempotent methods are tried again, as Digdag does.
func (c *compiler) http(t *place, config, command *value, into *Task) (workflow.Task, map[string]string) {
	method := "GET"
	if m := config.get("method"); m != nil {
		method = strings.ToUpper(m.text)
	}
	headers := c.headers(t, config.get("headers"))
	body := config.get("content")
	format := ""
	if f := config.get("content_format"); f != nil {
		format = f.text
	}
	switch {
	case format != "" && format != "text" && format != "json":
		c.wrong(t, "text, json", "content_format: cannot be %q", clip(format))
	case body != nil && format == "json" && body.kind == text:
		headers = typed(headers, &value{kind: text, text: "application/json"})
	}
	var sent *value
	if body != nil {
		if sent = c.native(t, body, 0); format == "text" {
			sent = c.words(t, body)
		}
	}
	if kind := config.get("content_type"); kind != nil {
		headers = typed(headers, c.words(t, kind))
	}
	var query *value
	if q := config.get("query"); q != nil {
		if query = c.native(t, q, 0); query.kind != object {
			c.wrong(t, "an object, as query: {name: value}", "query: cannot be this")
		}
	}
	task := made("http", "method", &value{kind: text, text: method}, "url", c.words(t, command), "headers", headers, "query", query, "body", sent)
	if v := config.get("timeout"); v != nil {
		n, ok := whole(v, 1, 720*3600)
		if !ok {
			c.wrong(t, "seconds, 1 to 2592000", "timeout: cannot be this")
		}
		task.Timeout = workflow.Duration(time.Duration(n) * time.Second)
	}
	again := config.get("retry")
	if truth(again) || again == nil && slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, method) {
		task.Retry = &workflow.Retry{MaxAttempts: 10}
	}
	stores := map[string]string{lastStatus: ".status"}
	if truth(config.get("store_content")) {
		stores[lastContent] = ".body"
	}
	into.Stores = slices.Sorted(maps.Keys(stores))
	return task, stores
}

// StoreParams is what a task stored, by the output of the native one.
func (t *Task) StoreParams(output json.RawMessage) json.RawMessage {
	var got struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	}
	if len(t.Stores) == 0 || json.Unmarshal(output, &got) != nil {
		return json.RawMessage("{}")
	}
	stored := &value{kind: object}
	for _, name := range t.Stores {
		v := &value{kind: numeric, text: itoa(got.Status)}
		if name == lastContent {
			v = &value{kind: text, text: strings.TrimPrefix(string(got.Body), "null")}
			_ = json.Unmarshal(got.Body, &v.text) // what is no text stays as it is written
		}
		_, key, _ := strings.Cut(name, ".")
		stored.put(key, v)
	}
	made := &value{kind: object}
	made.put("http", stored)
	return raw(made)
}

func typed(headers, kind *value) *value {
	if headers == nil {
		headers = &value{kind: object}
	}
	if headers.get("Content-Type") == nil {
		headers.put("Content-Type", kind)
	}
	return headers
}

// headers are a list of objects in Digdag.
func (c *compiler) headers(t *place, v *value) *value {
	if v == nil {
		return nil
	}
	all := []*value{v}
	if v.kind == list {
		all = v.items
	}
	made := &value{kind: object}
	for _, one := range all {
		if one.kind != object {
			c.wrong(t, "a list, as headers: [{name: value}]", "headers: cannot be this")
			return nil
		}
		for i, key := range one.keys {
			if made.get(key) == nil {
				made.put(key, c.words(t, one.items[i]))
			}
		}
	}
	return made
}
