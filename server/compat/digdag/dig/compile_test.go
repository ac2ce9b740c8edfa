package dig

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/workflow"
)

func compiled(t *testing.T, source string, more ...string) (*Workflow, *workflow.Definition) {
	t.Helper()
	files := map[string]string{"w.dig": source}
	for i := 0; i+1 < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	w, err := Compile(files, "w.dig", Options{ProjectID: "7"})
	require.NoError(t, err)
	p, _, err := workflow.Load(w.Definition, nil, workflow.DefaultLimits())
	require.NoError(t, err, "the native language takes it: %s", w.Definition)
	return w, p.Definition
}

// task finds a native task by the names on the way to it.
func task(t *testing.T, d *workflow.Definition, names ...string) workflow.Task {
	t.Helper()
	tasks := d.Tasks
	if names[0] == "on_failure" {
		tasks, names = d.OnFailure, names[1:]
	}
	var found *workflow.Task
	for _, name := range names {
		found = nil
		for i := range tasks {
			if tasks[i].Name == name {
				found = &tasks[i]
			}
		}
		require.NotNil(t, found, "%s of %v", name, names)
		tasks = found.Tasks
	}
	return *found
}

// graph writes the tasks of a body, each with what it needs.
func graph(tasks []workflow.Task) string {
	var all []string
	for _, one := range tasks {
		s := one.Name
		if len(one.Needs) > 0 {
			s += "<" + strings.Join(one.Needs, ",")
		}
		if len(one.Tasks) > 0 {
			s += "(" + graph(one.Tasks) + ")"
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

func TestGroups(t *testing.T) {
	for name, c := range map[string]struct{ source, want string }{
		"one after the other": {"+a:\n  echo>: 1\n+b:\n  echo>: 2\n+c:\n  echo>: 3\n", "a b<a c<b"},
		"nested":              {"+a:\n  +x: {echo>: 1}\n  +y: {echo>: 1}\n+b: {echo>: 2}\n", "a(x y<x) b<a"},
		"parallel":            {"_parallel: true\n+a: {echo>: 1}\n+b: {echo>: 2}\n", "a b"},
		"not parallel":        {"_parallel: false\n+a: {echo>: 1}\n+b: {echo>: 2}\n", "a b<a"},
		"limited":             {"_parallel: {limit: 2}\n+a: {echo>: 1}\n+b: {echo>: 2}\n+c: {echo>: 3}\n+d: {echo>: 3}\n+e: {echo>: 3}\n", "a b c<a,b d<a,b e<c,d"},
		"background":          {"+a: {echo>: 1}\n+b: {_background: true, echo>: 2}\n+c: {_background: true, echo>: 2}\n+d: {echo>: 3}\n+e: {echo>: 3}\n", "a b c d<a,b,c e<d"},
		"after with a limit":  {"_parallel: {limit: 2}\n+a: {echo>: 1}\n+b: {_after: [a], echo>: 2}\n+c: {echo>: 3}\n+d: {_after: [+c, a], echo>: 3}\n", "a b<a c<a,b d<a,b,c"},
		"after":               {"_parallel: true\n+a: {echo>: 1}\n+b: {echo>: 2}\n+c: {_after: [a, +b], echo>: 3}\n+d: {_after: a, echo>: 3}\n", "a b c<a,b d<a"},
		"empty":               {"+a: {}\n+b:\n+c: {_disable: true, sh>: x}\n", "a(nothing) b<a(nothing) c<b"},
		"an operator at top":  {"echo>: hi\n", "run"},
		"nothing at all":      {"", "nothing"},
		"tried again":         {"_retry: 2\n+a: {echo>: 1}\n+b: {echo>: 1}\n", "all(a b<a)"},
		"strange names":       {"+_x: {echo>: 1}\n+日本: {echo>: 1}\n+a.b: {echo>: 1}\n+a-b: {echo>: 1}\n", "t_x t--<t_x a-b<t-- a-b-2<a-b"},
	} {
		t.Run(name, func(t *testing.T) {
			_, d := compiled(t, c.source)
			require.Equal(t, c.want, graph(d.Tasks))
		})
	}
}

func TestOperators(t *testing.T) {
	for source, want := range map[string]string{
		"echo>: hello":                         `log {"message":"hello"}`,
		"echo>: 12":                            `log {"message":12}`,
		"echo>: [1, {a: b}]":                   `log {"message":[1,{"a":"b"}]}`,
		"echo>: pay $${5}":                     `log {"message":"pay $${5}"}`,
		"fail>: no ${x}":                       `fail {"message":"no ${workflow.input.x}"}`,
		"fail>: ${x}":                          `fail {"message":"${\"%s\".format([workflow.input.x])}"}`,
		"sh>: ls -l":                           `exec {"command":["sh","-c","ls -l"]}`,
		"{sh>: ls, shell: [bash, -e]}":         `exec {"command":["bash","-e","-c","ls"]}`,
		"{sh>: ls, _env: {A: 1, B: '${x}'}}":   `exec {"command":["sh","-c","ls"],"env":{"A":"1","B":"${\"%s\".format([workflow.input.x])}"}}`,
		"sh>: echo $who ${n} $HOME":            `exec {"command":["sh","-c","echo $who ${workflow.input.n} $HOME"],"env":{"HOME":"${workflow.input != null && \"HOME\" in workflow.input && workflow.input[\"HOME\"] != null ? dyn(\"%s\".format([workflow.input[\"HOME\"]])) : null}","who":"${workflow.input != null && \"who\" in workflow.input && workflow.input[\"who\"] != null ? dyn(\"%s\".format([workflow.input[\"who\"]])) : null}"}}`,
		"{sh>: echo $who, _export: {who: me}}": `exec {"command":["sh","-c","echo $who"],"env":{"who":"me"}}`,
		"wait>: 1h 30m":                        `wait {"duration":"1h30m0s"}`,
		"wait>: 10s":                           `wait {"duration":"10s"}`,
		"{wait>: 1d, blocking: true}":          `wait {"duration":"24h0m0s"}`,
		"http>: https://a/${x}":                `http {"method":"GET","url":"https://a/${workflow.input.x}"}`,
		"{http>: https://a, method: post, content: {a: 1}, headers: [{X: '1'}, {Y: 2}], query: {q: z}}": `http {"body":{"a":1},"headers":{"X":"1","Y":"2"},"method":"POST","query":{"q":"z"},"url":"https://a"}`,
		"{http>: https://a, method: put, content: '{}', content_format: json}":                          `http {"body":"{}","headers":{"Content-Type":"application/json"},"method":"PUT","url":"https://a"}`,
		"{http>: https://a, headers: [{Authorization: 'Bearer ${secret:token}'}]}":                      `http {"headers":{"Authorization":"Bearer ${secrets.token}"},"method":"GET","url":"https://a"}`,
		"require>: other": `workflow {"input":{"session_time":"${time.format((workflow.session_time == null ? workflow.input.session_time : workflow.session_time), \"%FT%T%:z\", \"UTC\")}"},"name":"other"}`,
	} {
		t.Run(source, func(t *testing.T) {
			source := "+a: " + source
			if !strings.Contains(source, "{") || !strings.HasPrefix(source, "+a: {") {
				source = "+a:\n  " + strings.TrimPrefix(source, "+a: ")
			}
			_, d := compiled(t, source)
			made := task(t, d, "a")
			require.Equal(t, want, made.Type+" "+string(made.With))
		})
	}
}

func TestVariables(t *testing.T) {
	for name, c := range map[string]struct{ source, want string }{
		"of the attempt":          {"+a: {echo>: '${x.y[0][\"a b\"].in}'}", `"${workflow.input.x.y[0][\"a b\"][\"in\"]}"`},
		"of the session":          {"timezone: Asia/Tokyo\n+a: {echo>: '${session_date}'}", `"${time.format((workflow.session_time == null ? workflow.input.session_time : workflow.session_time), \"%F\", \"Asia/Tokyo\")}"`},
		"exported":                {"_export: {x: 1}\n+a: {echo>: '${x}'}", `1`},
		"exported text":           {"_export: {x: one}\n+a: {echo>: 'is ${x}!'}", `"is one!"`},
		"exported before params":  {"_export: {o: {x: 1}}\n+a: {echo>: '${o.x} ${o.y}'}", `"1 ${workflow.input.o.y}"`},
		"the nearest":             {"_export: {x: 1}\n+a: {_export: {x: 2}, echo>: '${x}'}", `2`},
		"merged":                  {"_export: {o: {x: 1, y: 2}}\n+a: {_export: {o: {x: 3}}, echo>: '${o.x}${o.y}'}", `"32"`},
		"in one another":          {"_export: {x: '${y}-${z}', y: 1}\n+a: {echo>: '<${x}>'}", `"<1-${workflow.input.z}>"`},
		"an object in text":       {"_export: {o: {x: '${y}'}}\n+a: {echo>: 'is ${o}'}", `"is ${json.encode({\"x\": workflow.input.y})}"`},
		"the session is nobody's": {"_export: {session_date: no}\n+a: {echo>: '${attempt_id}'}", `"${workflow.number}"`},
		"constants":               {"+a: {echo>: '${task_name} ${project_id} ${timezone}'}", `"${\"+w+a\"} ${\"7\"} ${\"UTC\"}"`},
		"nothing":                 {"+a: {echo>: 'a${}b${ }c'}", `"abc"`},
		"ids":                     {"+a: {echo>: '${session_id} ${retry_attempt_name}'}", `"${workflow.session} ${(workflow.attempt_name in [null, \"schedule-w\"] ? \"\" : workflow.attempt_name)}"`},
		"the time before":         {"timezone: Asia/Tokyo\nschedule: {daily>: '07:00:00'}\n+a: {echo>: '${last_session_date}'}", `"${time.format(time.last(\"0 0 * * *\", \"Asia/Tokyo\", (workflow.session_time == null ? workflow.input.session_time : workflow.session_time)), \"%F\", \"Asia/Tokyo\")}"`},
		"the time behind":         {"schedule: {minutes_interval>: 10}\n+a: {echo>: '${next_session_unixtime}'}", `"${int(timestamp(time.next(\"@every 10m\", \"UTC\", (workflow.session_time == null ? workflow.input.session_time : workflow.session_time))))}"`},
		"no end":                  {"+a: {echo>: 'a${b'}", `"a$${b"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, d := compiled(t, c.source)
			var with struct{ Message json.RawMessage }
			require.NoError(t, json.Unmarshal(task(t, d, "a").With, &with))
			require.Equal(t, c.want, string(with.Message))
		})
	}
}

func TestWhatJavaScriptComputesIsComputedBefore(t *testing.T) {
	w, d := compiled(t, `
_export: {n: 2, twice: "${n * 2}", list: [1, 2]}
+a:
  echo>: "${twice + 1} of ${session_date} ${x.toUpperCase()}"
+b:
  if>: ${n > 1}
  _do:
    echo>: ${list.length}
`)
	require.Equal(t, "a-vars a<a-vars b-vars<a b<b-vars(do(run-vars run<run-vars))", graph(d.Tasks))
	require.Equal(t, `{"message":"${tasks[\"a-vars\"].output[0]}"}`, string(task(t, d, "a").With))
	helper := task(t, d, "a-vars")
	require.Equal(t, "script", helper.Type)
	var with struct {
		Script string
		Input  struct {
			Params    string
			Variables map[string]any
		}
	}
	require.NoError(t, json.Unmarshal(helper.With, &with))
	require.Equal(t, "${workflow.input}", with.Input.Params)
	require.Equal(t, "${2}", with.Input.Variables["n"])
	require.Contains(t, with.Input.Variables["session_date"], "time.format(")
	require.NotContains(t, with.Input.Variables, "twice")
	require.Contains(t, with.Script, `__v["twice"] = (n * 2);`)
	require.Contains(t, with.Script, `__s(twice + 1) + " of " + __s(session_date) + " " + __s(x.toUpperCase()),`)
	require.Equal(t, `${"%s".format([tasks["b-vars"].output[0]]) == "true"}`, task(t, d, "b", "do").If)

	full, _, shown := w.FullName("a-vars")
	require.False(t, shown, full)
}

func TestMomentIsThereForThoseWhoCallIt(t *testing.T) {
	_, d := compiled(t, `
timezone: Asia/Tokyo
+a: {echo>: '${moment(session_time).format("YYYY")}'}
+b: {echo>: '${new Date(session_time).getDay()}'}
+c: {echo>: '${1 + 1}'}
+d: {_export: {moment: 7}, echo>: '${moment + 1}'}
`)
	for name, want := range map[string]string{"a-vars": `["moment"] Asia/Tokyo`, "b-vars": `[] Asia/Tokyo`, "c-vars": `[] `, "d-vars": `[] `} {
		var with struct {
			Libraries []string
			TimeZone  string `json:"time_zone"`
		}
		require.NoError(t, json.Unmarshal(task(t, d, name).With, &with))
		require.Equal(t, want, fmt.Sprintf("%q %s", with.Libraries, with.TimeZone), name)
	}
}

func TestLoops(t *testing.T) {
	w, d := compiled(t, `
+each:
  for_each>: {fruit: [apple, orange], verb: "${verbs}"}
  _do:
    +in:
      loop>: 3
      _parallel: {limit: 2}
      _do: {echo>: "${fruit} ${verb} ${i}"}
+one:
  for_each>: {x: [1, 2]}
  _parallel: true
  _do:
    echo>: ${x}
+two:
  loop>: ${n}
  _do:
    +a: {echo>: "${i}"}
+steps:
  for_range>: {from: -10, to: "${last}", step: 10}
  _do:
    +s: {for_range>: {from: 0, to: 9, slices: 2}, _do: {echo>: "${range.from} ${range.index}"}}
`)
	each := task(t, d, "each")
	require.Equal(t, 1, each.ForEach.MaxParallel)
	require.Equal(t, workflow.OnItemFailureStop, each.ForEach.OnItemFailure)
	in := task(t, d, "each", "in")
	require.Equal(t, 2, in.ForEach.MaxParallel)
	require.Equal(t, workflow.OnItemFailureFinish, in.ForEach.OnItemFailure)
	require.Equal(t, `{"message":"${item.fruit} ${item.verb} ${item.i}"}`, string(task(t, d, "each", "in", "run").With))
	require.Equal(t, `"${lists.range(int(workflow.input.n))}"`, string(task(t, d, "two").ForEach.Items))
	for ref, want := range map[string]string{
		"":                          "+w",
		"each":                      "+w+each",
		"each[0-apple.1-eat].in":    "+w+each^sub+for-0=fruit=0=apple&1=verb=1=eat+in",
		"each[0-apple.1-eat].in[2]": "+w+each^sub+for-0=fruit=0=apple&1=verb=1=eat+in^sub+loop-2",
		"one[1-a~20very~20long]":    "+w+one^sub+for-0=x=1=a%20very%20l",
		"two[0].a":                  "+w+two^sub+loop-0+a",
		"steps[-10.0]":              "+w+steps^sub+range-from=-10&to=0",
		"steps[-10.0].s[5.9]":       "+w+steps^sub+range-from=-10&to=0+s^sub+range-from=5&to=9",
		"native.other":              "+w+native+other",
	} {
		full, _, shown := w.FullName(ref)
		require.True(t, shown, ref)
		require.Equal(t, want, full, ref)
	}
	full, _, shown := w.FullName("one[0-1].run")
	require.Equal(t, "+w+one^sub+for-0=x=0=1", full)
	require.False(t, shown, "it is the turn itself")
}

func TestFilesErrorsAndBranches(t *testing.T) {
	w, d := compiled(t, `
_error:
  +tell: {echo>: "failed: ${error.message}"}
_export: {x: 1}
+c: {call>: sub}
+i:
  if>: ${ok}
  _do: {+y: {echo>: 1}}
  _else_do: {fail>: no}
`, "sub.dig", "_export: {z: '${x}'}\n+in: {echo>: '${z}'}\n")
	require.Equal(t, "c(in) i<c(do(y) else(run))", graph(d.Tasks))
	require.Equal(t, `{"message":1}`, string(task(t, d, "c", "in").With))
	require.Equal(t, `{"message":"failed: ${workflow.error.message}"}`, string(task(t, d, "on_failure", "error", "tell").With))
	require.Equal(t, `${"%s".format([workflow.input.ok]) == "true"}`, task(t, d, "i", "do").If)
	require.Equal(t, `${!("%s".format([workflow.input.ok]) == "true")}`, task(t, d, "i", "else").If)
	for ref, want := range map[string]string{"c.in": "+w+c^sub+in", "i.do": "+w+i^sub", "i.do.y": "+w+i^sub+y", "on_failure.error": "+w^error", "on_failure.error.tell": "+w^error+tell"} {
		full, _, _ := w.FullName(ref)
		require.Equal(t, want, full)
	}
}

func TestErrorsOfTasks(t *testing.T) {
	w, d := compiled(t, `
_error: {echo>: root}
_export: {x: 1}
+error: {echo>: "${x}", _error: {echo>: "${error.message} ${y}"}, _export: {y: 2}}
+g:
  _error:
    +tell: {echo>: "${x}"}
  +in: {echo>: 1}
+c: {echo>: "${x + 1}", _error: {echo>: "${error.message}"}}
+r: {require>: w2, ignore_failure: true, _error: {echo>: never}}
+off: {_disable: true, echo>: 1, _error: {echo>: never}}
`, "w2.dig", "echo>: 1\n")
	require.Equal(t, "error-error(run) g-error(tell) c-error(run) error-2(run)", graph(d.OnFailure))
	require.Equal(t, `${tasks.error.status in ["failed", "timed_out"]}`, task(t, d, "on_failure", "error-error").If)
	require.Equal(t, `{"message":"${tasks.error.error.message} 2"}`, string(task(t, d, "on_failure", "error-error", "run").With))
	require.Equal(t, `${tasks["c-vars"].status in ["failed", "timed_out"] || tasks.c.status in ["failed", "timed_out"]}`, task(t, d, "on_failure", "c-error").If)
	require.Equal(t, `{"message":"${(tasks.c.error != null ? tasks.c.error : tasks[\"c-vars\"].error).message}"}`, string(task(t, d, "on_failure", "c-error", "run").With))
	for ref, want := range map[string]string{
		"on_failure.error-2": "+w^error", "on_failure.error-error": "+w+error^error", "on_failure.g-error.tell": "+w+g^error+tell", "on_failure.c-error.run": "+w+c^error",
	} {
		full, _, _ := w.FullName(ref)
		require.Equal(t, want, full)
	}
}

func TestStoredContent(t *testing.T) {
	w, d := compiled(t, `
+g:
  +fetch: {http>: "https://a", store_content: true}
  +use: {echo>: "${http.last_content}"}
+later: {echo>: "${http.last_content}"}
+computed: {echo>: "${JSON.parse(http.last_content).n + 1}"}
+again: {http>: "https://b"}
+status: {echo>: "${http.last_status}"}
+both: {echo>: "${http}"}
+shell: {sh>: "curl http://$host"}
+beside:
  _parallel: true
  +one: {http>: "https://c", store_content: true}
  +two: {echo>: "${http.last_content} ${http.last_status}"}
+last: {echo>: "${http.last_content}"}
`)
	text := func(at string) string {
		return "(" + at + ` == null ? \"\" : type(` + at + `) == string ? ` + at + " : json.encode(" + at + "))"
	}
	first, status := text("tasks.g.output.fetch.body"), "tasks.again.output.status"
	for name, want := range map[string]string{
		"later": first, "status": status, "both": `{\"last_content\": ` + first + `, \"last_status\": ` + status + "}", "last": text("tasks.beside.output.one.body"),
	} {
		require.Equal(t, `{"message":"${`+want+`}"}`, string(task(t, d, name).With), name)
	}
	require.Equal(t, `{"message":"${`+text("tasks.fetch.output.body")+`}"}`, string(task(t, d, "g", "use").With))
	require.Contains(t, string(task(t, d, "computed-vars").With), `"http":"${{\"last_content\": `+first+`, \"last_status\": tasks.g.output.fetch.status}}"`)
	require.NotContains(t, string(task(t, d, "shell").With), `"http"`, "an object is not in the environment")
	require.Equal(t, `{"message":"${`+first+`} ${`+status+`}"}`, string(task(t, d, "beside", "two").With), "nothing of what runs beside it")

	_, fetch, _ := w.FullName("g.fetch")
	for output, want := range map[string]string{
		`{"status":200,"body":{"b":1, "a":"x"}}`: `{"http":{"last_content":"{\"b\":1, \"a\":\"x\"}","last_status":200}}`,
		`{"status":201,"body":"plain"}`:          `{"http":{"last_content":"plain","last_status":201}}`,
		`{"status":204,"body":null}`:             `{"http":{"last_content":"","last_status":204}}`,
		``:                                       `{}`,
	} {
		require.Equal(t, want, string(fetch.StoreParams(json.RawMessage(output))), output)
	}
	_, again, _ := w.FullName("again")
	require.Equal(t, `{"http":{"last_status":200}}`, string(again.StoreParams(json.RawMessage(`{"status":200,"body":"x"}`))), "the content only where it is asked for")
	_, echo, _ := w.FullName("later")
	require.Equal(t, `{}`, string(echo.StoreParams(json.RawMessage(`{"status":200}`))))
}

func TestNoNameHidesWhatIsRead(t *testing.T) {
	w, d := compiled(t, `
+get: {http>: "https://a"}
+g: {+get: {echo>: 1}, +use: {echo>: "${http.last_status}"}}
+do: {http>: "https://a", _check: {echo>: "${http.last_status}"}}
+if: {if>: true, _do: {echo>: "${http.last_status}"}}
`)
	require.Equal(t, "get g<get(get-2 use<get-2) do<g(run check<run(run-2)) if<do(do-2(run))", graph(d.Tasks))
	require.Equal(t, `{"message":"${tasks.get.output.status}"}`, string(task(t, d, "g", "use").With))
	require.Equal(t, `{"message":"${tasks.run.output.status}"}`, string(task(t, d, "do", "check", "run-2").With))
	require.Equal(t, `{"message":"${tasks.do.output.run.status}"}`, string(task(t, d, "if", "do-2", "run").With))
	for ref, want := range map[string]string{"g.get-2": "+w+g+get", "do.check.run-2": "+w+do^check", "if.do-2.run": "+w+if^sub"} {
		full, _, _ := w.FullName(ref)
		require.Equal(t, want, full, ref)
	}
}

func TestRetries(t *testing.T) {
	_, d := compiled(t, `
+a: {_retry: 3, echo>: 1}
+b: {_retry: {limit: 2, interval: 10, interval_type: exponential, max_interval: 60}, +x: {echo>: 1}}
+c: {_retry: {limit: 2, interval: 90}, echo>: 1}
+d: {_retry: 0, echo>: 1}
`)
	for name, want := range map[string]string{
		"a": `{"max_attempts":4,"delay":"0s","backoff":"fixed","max_delay":"1s","jitter":0}`,
		"b": `{"max_attempts":3,"delay":"10s","backoff":"exponential","max_delay":"1m0s","jitter":0}`,
		"c": `{"max_attempts":3,"delay":"1m30s","backoff":"fixed","max_delay":"1m30s","jitter":0}`,
		"d": `null`,
	} {
		got, err := json.Marshal(task(t, d, name).Retry)
		require.NoError(t, err)
		require.Equal(t, want, string(got), name)
	}
}

func TestSchedules(t *testing.T) {
	for source, want := range map[string]Schedule{
		"daily>: 07:30:00":      {Cron: "0 0 * * *", Delay: 27000e9},
		"hourly>: 30:05":        {Cron: "0 * * * *", Delay: 1805e9},
		"weekly>: Sun,09:00:00": {Cron: "0 0 * * 0", Delay: 32400e9},
		"monthly>: 1,09:00:00":  {Cron: "0 0 1 * *", Delay: 32400e9},
		"minutes_interval>: 30": {Cron: "@every 30m"},
		"cron>: 42 4 1 * *":     {Cron: "42 4 1 * *"},
		"{cron>: 42 4 1 * *, delay: 10, skip_on_overtime: true, start: 2026-01-01, end: 2026-02-01}": {Cron: "42 4 1 * *", Delay: 10e9, Skip: true, Start: "2026-01-01", End: "2026-02-01"},
	} {
		if !strings.HasPrefix(source, "{") {
			source = "\n  " + source
		}
		w, _ := compiled(t, "timezone: Europe/Berlin\nschedule: "+source+"\n+a: {echo>: 1}\n")
		require.Equal(t, want, *w.Schedule, source)
		require.Equal(t, "Europe/Berlin", w.TimeZone)
	}
}

func TestWhatCannotRunIsRefused(t *testing.T) {
	for source, want := range map[string]string{
		"+a:\n  py>: tasks.run\n":                                                     "w.dig:1: task +w+a: operator py>: is not available (allowed: call>, echo>, fail>, for_each>, for_range>, http>, if>, loop>, require>, sh>, wait>)",
		"+g:\n  +a:\n    echo>: 1\n    color: red\n":                                  "w.dig:4: task +w+g+a: operator echo>: color: cannot be used (allowed: _background, _after, _retry, _export, _check, _disable)",
		"+a:\n  echo>: 1\n  sh>: ls\n":                                                "w.dig:3: task +w+a: operator echo>: sh>: is a second operator (allowed: one operator in a task)",
		"+a:\n  echo>: 1\n  +b:\n    echo>: 1\n":                                      "+b: a task with an operator holds no tasks",
		"+a: 1":                                                                       "task +w+a: the task is a number (allowed: tasks, as +load:, or an operator, as echo>:)",
		"+g:\n  +a:\n    _error:\n      echo>: 1\n    echo>: 1":                       "w.dig:3: task +w+g+a: operator echo>: _error: cannot be used here; it is possible at the top of a workflow, and of the tasks there when the workflow has no _retry (allowed: ",
		"_retry: 1\n+a:\n  _error:\n    echo>: 1\n  +b:\n    echo>: 1":                "w.dig:3: task +w+a: _error: cannot be used here; it is possible at the top",
		"+a:\n  _error:\n    _error:\n      echo>: 1\n    +x: {echo>: 1}\n  echo>: 1": "w.dig:3: task +w+a^error: _error: cannot be used here",
		"sla: {time: 02:00}\n+a: {echo>: 1}":                                          "w.dig:1: task +w: sla: cannot be used: nothing here watches how long a workflow takes",
		"steps: []":                                                                   "steps: cannot be used (allowed: timezone, schedule, _error, _export, _parallel, _retry, _disable, tasks as +load, and operators: call>, echo>",
		"timezone: Moon/Sea\n+a: {echo>: 1}":                                          `timezone: "Moon/Sea" is no time zone (allowed: a name of the IANA database`,
		"_parallel: maybe\n+a: {echo>: 1}":                                            "_parallel cannot be this (allowed: true, false, or {limit: N}",
		"_parallel: {limit: 0}\n+a: {echo>: 1}":                                       "_parallel cannot be this",
		"_parallel: true\n+a: {_background: true, echo>: 1}":                          "_background: cannot be used in a _parallel group",
		"+a: {_after: [b], echo>: 1}":                                                 "_after: cannot be used in a group whose tasks run one after the other",
		"_parallel: true\n+a: {_after: [b], echo>: 1}\n+b: {echo>: 1}":                "_after: there is no b before it (allowed: names of tasks of the same group that stand before it)",
		"_export: 1\n+a: {echo>: 1}":                                                  "_export is a number (allowed: an object",
		"+a: {_retry: many, echo>: 1}":                                                "_retry cannot be this (allowed: how often it is tried again, 0 to 999",
		"+a: {_retry: {limit: 1, jitter: 1}, echo>: 1}":                               "_retry has jitter",
		"+a: {echo>: '${task_id}'}":                                                   "${task_id}: there is no task_id: tasks have names here (allowed: attempt_id, project_id",
		"+a: {echo>: '${moment}'}":                                                    "there is no moment: it is a function, to be called as moment(session_time)",
		"+a: {echo>: '${last_session_time}'}":                                         "there is no last_session_time: the workflow has no schedule",
		"+a: {echo>: '${moment(next_session_date).format()}'}":                        "there is no next_session_date: the workflow has no schedule",
		"+a: {echo>: '${last_executed_session_date}'}":                                "there is no last_executed_session_date: which session ran before is not known inside an execution; last_session_date is the time before in the schedule",
		"+a: {for_range>: 3, _do: {echo>: 1}}":                                        "this is a number (allowed: from, to, and step or slices",
		"+a: {for_range>: {from: 1, to: 2}, _do: {echo>: 1}}":                         "what the range is made of is not clear (allowed: from, to, and step or slices",
		"+a: {for_range>: {from: 1, to: 2, step: 1, slices: 1}, _do: {}}":             "what the range is made of is not clear",
		"+a: {for_range>: {from: 1, to: 2, step: 0}, _do: {}}":                        "step: cannot be this (allowed: a whole number",
		"+a: {for_range>: {from: 1, to: 2, step: 1, by: 0}, _do: {}}":                 "by: cannot be used",
		"_export: {a: '${b}', b: '${a}'}\n+a: {echo>: '${a}'}":                        "a variable refers to itself",
		"_export: {a: ['${b}'], b: ['${a}']}\n+a: {echo>: '${a}'}":                    "a variable refers to itself",
		"+a: {loop>: 1, _do: {echo>: '${task_name}'}}":                                "${task_name}: is not known in a loop",
		"+a: {call>: none}":                                                           "there is no file none.dig (allowed: w.dig)",
		"+a: {call>: '${x}'}":                                                         "which file must be written out",
		"+a: {call>: w}":                                                              "w.dig calls itself",
		"+a: {require>: '${x}'}":                                                      "which workflow must be written out",
		"+a: {require>: x, rerun_on: failed}":                                         "rerun_on: cannot be this (allowed: all: each require> runs the workflow)",
		"+a: {wait>: soon}":                                                           `"soon" is not understood (allowed: a duration`,
		"+a: {wait>: 31d}":                                                            `"31d" is not understood`,
		"+a: {sh>: [ls]}":                                                             "the command is a list (allowed: a command as text)",
		"+a: {sh>: ls, shell: bash}":                                                  "shell: cannot be this",
		"+a: {http>: 'https://a', content: {a: 1}, content_format: form}":             `content_format: cannot be "form" (allowed: text, json)`,
		"+a: {http>: 'https://a', user: me}":                                          "user: cannot be used",
		"+a: {if>: true}":                                                             "_do: is missing",
		"+a: {for_each>: [1], _do: {echo>: 1}}":                                       "this is a list (allowed: an object of lists",
		"+a: {for_each>: {x: 1}, _do: {echo>: 1}}":                                    "x is a number (allowed: a list, or one ${...} that gives one)",
		"+a: {loop>: x, _do: {echo>: 1}}":                                             "how often cannot be this",
		"+a: {loop>: 1}":                                                              "_do: is missing",
		"schedule: {yearly>: x}\n+a: {echo>: 1}":                                      "schedule: yearly>: cannot be used (allowed: hourly>, daily>",
		"schedule: {daily>: noon}\n+a: {echo>: 1}":                                    `schedule: daily>: "noon" is not understood (allowed: HH:MM:SS)`,
		"schedule: {daily>: '07:00:00', cron>: x}\n+a: {echo>: 1}":                    "has a second one, cron>",
		"schedule: {daily>: '07:00:00', skip_delayed_by: 5m}\n+a: {echo>: 1}":         "skip_delayed_by: cannot be used",
		"schedule: {}\n+a: {echo>: 1}":                                                "schedule: does not say when",
		"- a":                                                                         "the file is a list",
		"a: b: c":                                                                     "w.dig:1: the file cannot be read",
		"+a: &x {echo>: 1}\n+b: *x":                                                   `"&" cannot be used (allowed: at most 50000 tokens, nested 64 deep, without anchors`,
		"+a:\n  !include : 'x.dig'\n":                                                 "cannot be used",
		"+a: {echo>: 1}\n+a: {echo>: 2}":                                              `"+a" stands twice in one object`,
		strings.Repeat("[", 100):                                                      "nested too deep",
		"+a: {http>: 'https://a', store_content: true}\n+b: {echo>: '${http.last_content.n}'}": "w.dig:2: task +w+b: operator echo>: ${http.last_content.n}: http.last_content is no object; what http> stores is text, and a number (allowed: ${JSON.parse(http.last_content).n})",
	} {
		t.Run(clip(source), func(t *testing.T) {
			_, err := Compile(map[string]string{"w.dig": source}, "w.dig", Options{})
			require.ErrorContains(t, err, want)
		})
	}
}

// TestWhatDigdagHasAndThisHasNot: each says that it is not there, and what is, or what to do.
func TestWhatDigdagHasAndThisHasNot(t *testing.T) {
	const operators = "call>, echo>, fail>, for_each>, for_range>, http>, if>, loop>, require>, sh>, wait>"
	all := map[string]string{
		"+g:\n  schedule: {daily>: '00:00:00'}\n  +a: {echo>: 1}":    "w.dig:2: task +w+g: schedule: cannot be used here; it is possible at the top of a workflow (allowed: _parallel, _background, _after, _retry, _export, _disable, _error, tasks as +load, and operators: " + operators + ")",
		"+g:\n  timezone: UTC\n  +a: {echo>: 1}":                     "w.dig:2: task +w+g: timezone: cannot be used here; it is possible at the top of a workflow (allowed: ",
		"+g:\n  _check: {echo>: 1}\n  +a: {echo>: 1}":                "w.dig:2: task +w+g: _check: cannot be used in a group; it is possible beside an operator (allowed: ",
		"+g:\n  sla: {duration: '01:00'}\n  +a: {echo>: 1}":          "w.dig:2: task +w+g: sla: cannot be used: nothing here watches how long a workflow takes",
		"_secrets: {a: true}\n+a: {echo>: 1}":                        "w.dig:1: task +w: _secrets: cannot be used: ${secret:NAME} is a secret of the worker (allowed: ",
		"+a: {echo>: 1, _secrets: {a: true}}":                        "task +w+a: operator echo>: _secrets: cannot be used: ${secret:NAME} is a secret of the worker (allowed: ",
		"_paralel: true\n+a: {echo>: 1}":                             `w.dig:1: task +w: _paralel: cannot be used; did you mean "_parallel"? (allowed: timezone, schedule, `,
		"+g:\n  parallel: true\n  +a: {echo>: 1}":                    `w.dig:2: task +w+g: parallel: cannot be used; did you mean "_parallel"? (allowed: `,
		"+g:\n  _exports: {a: 1}\n  +a: {echo>: 1}":                  `_exports: cannot be used; did you mean "_export"? (allowed: `,
		"time_zone: UTC\n+a: {echo>: 1}":                             `time_zone: cannot be used; did you mean "timezone"? (allowed: `,
		"+a: {http>: 'https://a', contents: x}":                      `task +w+a: operator http>: contents: cannot be used; did you mean "content"? (allowed: method, `,
		"+a: {require>: x, project_id: 7}":                           "task +w+a: operator require>: project_id: cannot be used",
		"+a: {require>: x, project_name: other}":                     "operator require>: project_name: cannot be this (allowed: nothing: the workflow is one of the same project)",
		"+a: {require>: x, retry_attempt_name: r}":                   "operator require>: retry_attempt_name: cannot be used (allowed: session_time, params, ignore_failure, rerun_on, project_name, ",
		"+a: {require>: x, rerun_on: none}":                          "rerun_on: cannot be this (allowed: all: each require> runs the workflow)",
		"+a: {require>: x, session_time: '2026-01-01T00:00:00Z'}":    "session_time: cannot be this (allowed: ${session_time}, or nothing)",
		"+a: {wait>: 1h, poll_interval: 5s, on_time: x}":             "operator wait>: on_time: cannot be used (allowed: blocking, poll_interval, ",
		"_parallel: {limit: 2, burst: 1}\n+a: {echo>: 1}":            "_parallel cannot be this (allowed: true, false, or {limit: N} with N from 1 to 10000)",
		"_parallel: {limit: 2}\n+a: {_after: [b], echo>: 1}\n+b: {}": "_after: there is no b before it",
	}
	for name := range strings.FieldsSeq("py rb mail http_call td td_run td_ddl td_load td_for_each td_wait td_wait_table td_table_export td_result_export td_partial_delete bq bq_ddl bq_extract " +
		"bq_load s3_wait s3_copy s3_delete s3_move gcs_wait pg redshift redshift_load redshift_unload emr param_set param_get embulk ecs_task.run") {
		all["+a:\n  "+name+">: x\n"] = "w.dig:1: task +w+a: operator " + name + ">: is not available (allowed: " + operators + ")"
	}
	for source, want := range all {
		_, err := Compile(map[string]string{"w.dig": source}, "w.dig", Options{})
		require.ErrorContains(t, err, want, source)
	}
}

func TestProblemsAreListedAllAtOnce(t *testing.T) {
	_, err := Compile(map[string]string{"w.dig": "+a: {py>: x}\n+b: {rb>: x}\n+c: {call>: bad}\n", "bad.dig": "+d: {td>: q}\n"}, "w.dig", Options{})
	require.ErrorContains(t, err, "w.dig:1: task +w+a: operator py>:")
	require.ErrorContains(t, err, "w.dig:2: task +w+b: operator rb>:")
	require.ErrorContains(t, err, "bad.dig:1: task +w+c^sub+d: operator td>:")
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"+a:\n  echo>: ${x}\n", "_parallel: {limit: 2}\n+a: {sh>: ls}\n+b: {loop>: 3, _do: {echo>: '${i + 1}'}}", "schedule: {daily>: 07:00:00}\ntimezone: UTC\n",
		"+e: {for_each>: {a: [1,2], b: '${l}'}, _do: {+x: {if>: '${a}', _do: {fail>: no}}}}", "_export: {a: '${b}', b: {c: 1}}\n_error: {echo>: '${error.message}'}\n+w: {wait>: 1h}",
		"+c: {call>: w}", "_retry: {limit: 3}\n+h: {http>: 'https://x', store_content: true}\n+u: {echo>: '${http.last_content}'}", "+r: {require>: x, params: {a: '${b}'}}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 4096 {
			t.Skip("longer than what is worth compiling for every mutation")
		}
		w, err := Compile(map[string]string{"w.dig": source}, "w.dig", Options{ProjectID: "1"})
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.True(t, json.Valid(w.Definition))
		require.True(t, json.Valid(w.Config))
		_, _, _ = workflow.Load(w.Definition, nil, workflow.DefaultLimits())
	})
}
