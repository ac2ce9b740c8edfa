package digdag_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWorkflowFiles runs what may stand in a workflow file, and looks at what the tasks wrote, by full name.
func TestWorkflowFiles(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"method":%q,"query":%q,"type":%q,"body":%q,"n":3,"list":["a b","*"]}`, r.Method, r.URL.RawQuery, r.Header.Get("Content-Type"), body)
	}))
	t.Cleanup(site.Close)
	r := newRig(t)
	for _, c := range []struct {
		name, source, status string
		params               string
		files                map[string]string
		want                 map[string]string
		states               map[string]string // some of them
	}{
		{name: "groups, exports and what is nearest", status: "success", params: `{"p":"param","list":[1,2]}`, source: `
_export: {x: outer, o: {a: 1, b: 2}}
+g:
  _export: {x: inner, o: {b: 3}}
  +a: {echo>: "${x} ${o.a} ${o.b} ${p}"}
  +b: {_export: {x: "own of ${p}"}, echo>: "${x}"}
+c: {echo>: "${x} ${o.b}"}
+d: {echo>: "${list.length} ${list[1] + 1} ${JSON.stringify(o)}"}
`, want: map[string]string{"+w+g+a": "inner 1 3 param", "+w+g+b": "own of param", "+w+c": "outer 2", "+w+d": `2 3 {"a":1,"b":2}`}},
		{name: "parallel, background, after", status: "success", source: `
+p:
  _parallel: true
  +a: {echo>: a}
  +b: {_after: [a], echo>: b}
+q:
  _parallel: {limit: 1}
  +a: {echo>: a}
  +b: {echo>: b}
+r:
  +a: {echo>: a}
  +b: {_background: true, echo>: b}
  +c: {echo>: c}
`, want: map[string]string{"+w+p+a": "a", "+w+p+b": "b", "+w+q+a": "a", "+w+q+b": "b", "+w+r+a": "a", "+w+r+b": "b", "+w+r+c": "c"}},
		{name: "branches", status: "success", params: `{"yes":true,"n":5}`, source: `
+a:
  if>: ${yes}
  _do: {echo>: "yes"}
  _else_do: {echo>: "no"}
+b:
  if>: ${n > 9}
  _do: {echo>: more}
  _else_do:
    +x: {echo>: less}
+c:
  if>: false
  _do: {fail>: never}
+d: {echo>: after}
`, want: map[string]string{"+w+a^sub": "yes", "+w+b^sub+x": "less", "+w+d": "after"}},
		{name: "loops in loops", status: "success", params: `{"fruits":["apple","orange"],"times":2}`, source: `
+each:
  for_each>: {fruit: "${fruits}", verb: [eat, throw]}
  _do:
    echo>: ${verb} ${fruit}
+loop:
  loop>: ${times}
  _do:
    +in:
      for_each>: {c: [x, y]}
      _parallel: true
      _do: {echo>: "${i}${c}"}
`, want: map[string]string{
			"+w+each^sub+for-0=fruit=0=apple&1=verb=0=eat": "eat apple", "+w+each^sub+for-0=fruit=0=apple&1=verb=1=throw": "throw apple",
			"+w+each^sub+for-0=fruit=1=orange&1=verb=0=eat": "eat orange", "+w+each^sub+for-0=fruit=1=orange&1=verb=1=throw": "throw orange",
			"+w+loop^sub+loop-0+in^sub+for-0=c=0=x": "0x", "+w+loop^sub+loop-0+in^sub+for-0=c=1=y": "0y",
			"+w+loop^sub+loop-1+in^sub+for-0=c=0=x": "1x", "+w+loop^sub+loop-1+in^sub+for-0=c=1=y": "1y",
		}},
		{name: "other files, other workflows", status: "success", params: `{"p":1}`, source: `
_export: {x: given}
+c: {call>: lib/sub.dig}
+r: {require>: child, params: {from: "${x}"}}
+s: {require>: broken, ignore_failure: true}
+d: {echo>: done}
`, files: map[string]string{
			"lib/sub.dig": "_export: {y: '${x}!'}\n+a: {echo>: '${y}'}\n+b: {call>: deep}\n", "lib/deep.dig": "echo>: deep ${x}\n",
			"child.dig": "+a: {echo>: '${from} ${session_date}'}\n", "broken.dig": "+a: {fail>: no}\n",
		}, want: map[string]string{"+w+c^sub+a": "given!", "+w+c^sub+b^sub": "deep given", "+w+d": "done"}},
		{name: "what http> answers", status: "success", params: fmt.Sprintf(`{"url":%q}`, site.URL), source: `
+get: {http>: "${url}/x", query: {a: "b c"}, store_content: true}
+use: {echo>: "${JSON.parse(http.last_content).query} ${JSON.parse(http.last_content).n + 1} ${http.last_status}"}
+text: {echo>: "${typeof http.last_content} ${JSON.parse(http.last_content).list}"}
+post: {http>: "${url}", method: post, content: {n: "${JSON.parse(http.last_content).n}"}, store_content: true}
+and: {echo>: "${JSON.parse(http.last_content).type} ${JSON.parse(http.last_content).body}"}
+each: {for_each>: {x: "${JSON.parse(http.last_content).list}"}, _do: {echo>: "${x}"}}
+shell: {sh>: "echo http $host", _export: {host: a}}
`, want: map[string]string{
			"+w+use": "a=b+c 4 200", "+w+text": `string ["a b","*"]`, "+w+and": `application/json {"n":3}`, "+w+shell": "http a",
			"+w+each^sub+for-0=x=0=a%20b": "a b", "+w+each^sub+for-0=x=1=*": "*",
		}},
		{name: "what checks a task", status: "error", params: fmt.Sprintf(`{"url":%q}`, site.URL), source: `
+a:
  http>: ${url}
  store_content: true
  _export: {least: 2}
  _check:
    +n: {echo>: "${JSON.parse(http.last_content).n} of ${least}"}
    +m: {echo>: "${task_name}"}
+b: {echo>: "${JSON.parse(http.last_content).n + 1}"}
+c: {loop>: 2, _do: {echo>: "${i}"}, _check: {fail>: too much}}
+d: {echo>: never}
`, want: map[string]string{"+w+a^check+n": "3 of 2", "+w+a^check+m": "+w+a^check+m", "+w+b": "4", "+w+c^sub+loop-0": "0", "+w+c^sub+loop-1": "1"},
			states: map[string]string{"+w+a": "success", "+w+a^check": "success", "+w+c": "group_error", "+w+c^check": "group_error", "+w+d": "blocked"}},
		{name: "shells and waits", status: "success", params: `{"who":"Ada"}`, source: `
+a: {sh>: "echo $greet $who ${who}", _export: {greet: hello}, _env: {X: "1"}}
+b: {sh>: "echo $X", shell: [sh, -e], _env: {X: "of ${who}"}}
+w: {wait>: 1s}
+c: {_disable: true, fail>: never}
`, want: map[string]string{"+w+a": "hello Ada Ada", "+w+b": "of Ada"}, states: map[string]string{"+w+w": "success", "+w+c": "success"}},
		{name: "failures and retries", status: "error", source: fmt.Sprintf(`
_error:
  +tell: {echo>: "${error.message}"}
+once: {_retry: 2, sh>: "test -e %[1]s/once || { touch %[1]s/once; exit 1; }"}
+all:
  _retry: {limit: 1, interval: 0}
  +a: {echo>: a}
  +b: {sh>: "test -e %[1]s/all || { touch %[1]s/all; exit 1; }"}
+f: {fail>: "it is ${session_date}"}
+never: {echo>: x}
`, r.dir), want: map[string]string{"+w+all+a": "aa", "+w^error+tell": "it is 2026-03-01"},
			states: map[string]string{"+w": "group_error", "+w+once": "success", "+w+all": "success", "+w+f": "error", "+w+never": "blocked", "+w^error": "success"}},
		{name: "failures of one task", status: "error", source: `
_error: {echo>: "all: ${error.message}"}
+site: {echo>: ok, _error: {echo>: never}}
+p:
  _parallel: true
  _error:
    +tell: {echo>: "${task_name}: ${error.message} ${y + 1}"}
  _export: {y: 1}
  +a: {fail>: "no luck"}
  +b: {echo>: b}
+never: {echo>: x, _error: {echo>: never}}
`, want: map[string]string{"+w^error": "all: p.a: no luck", "+w+p^error+tell": "+w+p^error+tell: p.a: no luck 2", "+w+site": "ok", "+w+p+b": "b"},
			states: map[string]string{"+w+p": "group_error", "+w+p^error": "success", "+w+site^error": "", "+w+never^error": "", "+w+never": "blocked"}},
		{name: "failures of what is computed", status: "error", source: `
+a: {echo>: "${nothing.at.all + 1}", _error: {echo>: "${error.message.length > 0}"}}
`, want: map[string]string{"+w+a^error": "true"}, states: map[string]string{"+w+a": "error"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			files := map[string]string{"w.dig": c.source}
			maps.Copy(files, c.files)
			r.push(c.name, files)
			if c.params == "" {
				c.params = "{}"
			}
			r.tries++
			a := r.object(200, "PUT", "/api/attempts", fmt.Sprintf(`{"workflowId":%q,"sessionTime":%q,"params":%s,"retryAttemptName":"%d"}`, r.workflow("w"), r.session, c.params, r.tries))
			id := a["id"].(string)
			r.ends(id, c.status)
			said := r.said(id)
			for name, text := range c.want {
				require.Equal(t, text, said[name], "%s of %v", name, said)
			}
			for name, text := range said {
				if text != "" {
					require.Contains(t, c.want, name, text)
				}
			}
			require.Len(t, r.get("/api/attempts/" + id + "/tasks")["tasks"], len(r.states(id)), "no name stands twice")
			states := r.states(id)
			for name, state := range c.states {
				require.Equal(t, state, states[name], name)
			}
		})
	}
}
