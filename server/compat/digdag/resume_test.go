package digdag_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// failing is a task that fails as long as the file of the rig is not there.
func failing(r *rig, name string) string {
	return fmt.Sprintf("{sh>: 'test -e %s/%s && echo %s'}", r.dir, name, name)
}

const said = "{sh>: 'echo said'}"

// scenario pushes a workflow and lets its first attempt end as failed.
func (r *rig) scenario(source string) string {
	r.t.Helper()
	r.push("r1", map[string]string{"w.dig": source})
	id := r.start("w", "{}")
	r.ends(id, "error")
	return id
}

// resumed lets a resume end, and answers which tasks ran in it.
func (r *rig) resumed(attempt, how, status string) (string, map[string]int) {
	r.t.Helper()
	r.tries++
	a := r.resume(200, fmt.Sprint("retry", r.tries), attempt, how, "{}")
	require.Equal(r.t, fmt.Sprint("retry", r.tries), a["retryAttemptName"])
	id := a["id"].(string)
	r.ends(id, status)
	return id, r.starts(id)
}

func ran(names ...string) map[string]int {
	made := map[string]int{}
	for _, n := range names {
		made[n] = 1
	}
	return made
}

// TestResumes plays what users of Digdag expect of a resume: the scenarios by their names in docs/digdag.md.
func TestResumes(t *testing.T) {
	t.Parallel()
	for name, scenario := range map[string]func(t *testing.T, r *rig){
		"R1 R27 what failed and what comes after it": func(t *testing.T, r *rig) {
			id := r.scenario("+a: " + said + "\n+b: " + failing(r, "b") + "\n+c: " + said + "\n")
			require.Equal(t, map[string]string{"+w": "group_error", "+w+a": "success", "+w+b": "error", "+w+c": "blocked"}, r.states(id))
			r.touch("b")
			again, starts := r.resumed(id, failedMode, "success")
			require.Equal(t, ran("+w+b", "+w+c"), starts)
			for _, one := range r.get("/api/attempts/" + again + "/tasks")["tasks"].([]any) {
				if one := one.(map[string]any); one["fullName"] == "+w+a" {
					require.Equal(t, []any{"success", nil}, []any{one["state"], one["startedAt"]}, "it was kept")
				}
			}
		},
		"R2 a failed task of a group": func(t *testing.T, r *rig) {
			id := r.scenario("+g:\n  +x: " + said + "\n  +y: " + failing(r, "y") + "\n+z: " + said + "\n")
			r.touch("y")
			_, starts := r.resumed(id, failedMode, "success")
			require.Equal(t, ran("+w+g+y", "+w+z"), starts)
		},
		"R3 R4 another revision": func(t *testing.T, r *rig) {
			id := r.scenario("+a: " + said + "\n+b: " + failing(r, "b") + "\n+gone: " + said + "\n")
			r.push("r2", map[string]string{"w.dig": "+a: {sh>: 'echo changed'}\n+b: {sh>: 'echo b'}\n+new: " + said + "\n"})
			again, starts := r.resumed(id, failedMode, "success")
			require.Equal(t, ran("+w+b", "+w+new"), starts)
			require.NotContains(t, r.states(again), "+w+gone")
		},
		"R5 a new task in a group that succeeded": func(t *testing.T, r *rig) {
			id := r.scenario("+g:\n  +x: " + said + "\n+after: " + said + "\n+b: " + failing(r, "b") + "\n")
			r.touch("b")
			r.push("r2", map[string]string{"w.dig": "+g:\n  +x: " + said + "\n  +y: " + said + "\n+after: " + said + "\n+b: " + failing(r, "b") + "\n"})
			_, starts := r.resumed(id, failedMode, "success")
			require.Equal(t, ran("+w+g+y", "+w+after", "+w+b"), starts, "what comes after the group waits for it")
		},
		"R6 R21 loops that are partly done": func(t *testing.T, r *rig) {
			id := r.scenario("+l:\n  loop>: 3\n  _do:\n    +x: {sh>: 'test ${i} -lt 1 || (test -e " + r.dir + "/l && echo ${i})', _env: {Q: 1}}\n+z: " + said + "\n")
			require.Equal(t, "error", r.states(id)["+w+l^sub+loop-1+x"])
			r.touch("l")
			again, starts := r.resumed(id, failedMode, "success")
			require.Equal(t, ran("+w+l^sub+loop-1+x", "+w+l^sub+loop-2+x", "+w+z"), starts)
			_, starts = r.resumed(again, fromMode("+l^sub+loop-1"), "success")
			require.Equal(t, ran("+w+l^sub+loop-1+x", "+w+l^sub+loop-2+x", "+w+z"), starts)
		},
		"R6 a for_each> that is partly done": func(t *testing.T, r *rig) {
			r.push("r1", map[string]string{"w.dig": "+f: {for_each>: {x: '${list}'}, _do: {+in: {sh>: 'echo ${x}; case ${x} in *b*) test -e " + r.dir + "/b;; esac'}}}\n+z: {sh>: 'echo z; exit 1'}\n"})
			id := r.start("w", `{"list":["prefix-a","prefix-b-1","prefix-c"]}`)
			r.ends(id, "error")
			require.Equal(t, map[string]string{
				"+w": "group_error", "+w+f": "group_error", "+w+f^sub+for-0=x=0=prefix-a": "success", "+w+f^sub+for-0=x=0=prefix-a+in": "success",
				"+w+f^sub+for-0=x=1=prefix-b": "group_error", "+w+f^sub+for-0=x=1=prefix-b+in": "error",
				"+w+f^sub+for-0=x=2=prefix-c": "blocked", "+w+z": "blocked",
			}, r.states(id))
			r.touch("b")
			next := func(name, attempt, list string) (string, map[string]int) {
				a := r.resume(200, name, attempt, failedMode, `{"list":[`+list+`]}`)["id"].(string)
				r.ends(a, "error")
				return a, r.starts(a)
			}
			second, starts := next("same", id, `"prefix-a","prefix-b-1","prefix-c"`)
			require.Equal(t, ran("+w+f^sub+for-0=x=1=prefix-b+in", "+w+f^sub+for-0=x=2=prefix-c+in", "+w+z"), starts)
			_, starts = next("done", second, `"prefix-a","prefix-b-1","prefix-c"`)
			require.Equal(t, ran("+w+z"), starts)
			other, starts := next("other order", id, `"prefix-b-1","prefix-a","prefix-c"`)
			require.Equal(t, ran("+w+f^sub+for-0=x=0=prefix-b+in", "+w+f^sub+for-0=x=1=prefix-a+in", "+w+f^sub+for-0=x=2=prefix-c+in", "+w+z"), starts, "other names")
			require.Equal(t, map[string]string{
				"+w": "group_error", "+w+f": "success", "+w+f^sub+for-0=x=0=prefix-b": "success", "+w+f^sub+for-0=x=0=prefix-b+in": "success",
				"+w+f^sub+for-0=x=1=prefix-a": "success", "+w+f^sub+for-0=x=1=prefix-a+in": "success",
				"+w+f^sub+for-0=x=2=prefix-c": "success", "+w+f^sub+for-0=x=2=prefix-c+in": "success", "+w+z": "error",
			}, r.states(other), "what is no longer on the list is not there")
			_, starts = next("other value", id, `"prefix-a-2","prefix-b-1","prefix-c"`)
			require.Equal(t, ran("+w+f^sub+for-0=x=0=prefix-a+in", "+w+f^sub+for-0=x=1=prefix-b+in", "+w+f^sub+for-0=x=2=prefix-c+in", "+w+z"), starts, "the whole value counts, not its first 8 characters")
		},
		"R6 a for_each> that computes": func(t *testing.T, r *rig) {
			id := r.scenario("+f: {for_each>: {x: [a, b, c]}, _do: {+in: {sh>: 'echo ${x.trim()}; test ${x} != b || test -e " + r.dir + "/b'}}}\n+z: " + said + "\n")
			r.touch("b")
			_, starts := r.resumed(id, failedMode, "success")
			require.Equal(t, ran("+w+f^sub+for-0=x=1=b+in", "+w+f^sub+for-0=x=2=c+in", "+w+z"), starts)
		},
		"R7 R24 what was stored in a called file": func(t *testing.T, r *rig) {
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.URL.Path) }))
			t.Cleanup(site.Close)
			r.push("r1", map[string]string{
				"w.dig":   "+c: {call>: sub}\n+b: " + failing(r, "b") + "\n+u: {echo>: '${http.last_content} ${http.last_status}'}\n",
				"sub.dig": "+one: {http>: '" + site.URL + "/one', store_content: true}\n+two: {http>: '" + site.URL + "/two', store_content: true}\n",
			})
			id := r.start("w", "{}")
			r.ends(id, "error")
			r.touch("b")
			again, starts := r.resumed(id, failedMode, "success")
			require.Equal(t, ran("+w+b", "+w+u"), starts)
			require.Contains(t, r.log(again, "+w+u"), "(+w+u) /two 200\n")
			require.Equal(t, "success", r.states(again)["+w+c^sub+two"], "what was generated is shown, too")
		},
		"R25 a group that is tried again in the resumed attempt": func(t *testing.T, r *rig) {
			id := r.scenario("+g:\n  _retry: 1\n  +x: {sh>: echo old}\n  +y: {sh>: exit 1}\n")
			r.push("r2", map[string]string{"w.dig": "+g:\n  _retry: 1\n  +x: {sh>: echo new}\n  +y: {sh>: 'echo y; test -e " + r.dir + "/y || { touch " + r.dir + "/y; exit 1; }'}\n"})
			again, starts := r.resumed(id, failedMode, "success")
			require.Equal(t, map[string]int{"+w+g+x": 1, "+w+g+y": 2}, starts, "the first round keeps x, the second does not")
			require.Contains(t, r.log(again, "+w+g+x"), "(+w+g+x) new\n")
		},
		"R7 R23 what was stored lives on": func(t *testing.T, r *rig) {
			id := r.scenario("+f: {for_each>: {x: [a, b]}, _parallel: true, _do: {echo>: '${x}'}}\n+b: " + failing(r, "b") + "\n+c: " + failing(r, "c") + "\n")
			r.touch("b")
			second, starts := r.resumed(id, failedMode, "error")
			require.Equal(t, ran("+w+b"), starts)
			r.touch("c")
			third, starts := r.resumed(second, failedMode, "success")
			require.Equal(t, ran("+w+c"), starts)
			require.Equal(t, "success", r.states(third)["+w+f^sub+for-0=x=1=b"])
		},
		"R8 the handlers run again": func(t *testing.T, r *rig) {
			id := r.scenario("_error: {echo>: 'failed ${error.message}'}\n+b: " + failing(r, "b") + "\n")
			require.Equal(t, 1, r.starts(id)["+w^error"])
			again, starts := r.resumed(id, failedMode, "error")
			require.Equal(t, 1, starts["+w^error"])
			require.Contains(t, r.log(again, "+w^error"), "failed sh ended with exit code 1\n")
			require.Equal(t, map[string]string{"+w": "group_error", "+w+b": "error", "+w^error": "success"}, r.states(again))
			r.touch("b")
			fine, starts := r.resumed(again, failedMode, "success")
			require.Equal(t, ran("+w+b"), starts)
			require.Equal(t, map[string]string{"+w": "success", "+w+b": "success"}, r.states(fine), "it is there once something failed")
		},
		"R8 a kill is no failure": func(t *testing.T, r *rig) {
			r.push("r1", map[string]string{"w.dig": "_error: {+tell: {echo>: no}}\n+b: {wait>: 1h}\n+c: {echo>: 1}\n"})
			id := r.start("w", "{}")
			r.await(id, "+w+b", "running")
			require.Equal(t, map[string]string{"+w": "planned", "+w+b": "running", "+w+c": "blocked"}, r.states(id))
			r.object(200, "POST", "/api/attempts/"+id+"/kill", "{}")
			r.ends(id, "killed")
			require.Empty(t, r.starts(id))
			require.Equal(t, map[string]string{"+w": "canceled", "+w+b": "canceled", "+w+c": "canceled"}, r.states(id))
		},
		"R8 the handlers of a task run again, under it": func(t *testing.T, r *rig) {
			id := r.scenario("+z: " + said + "\n+g:\n  _error: " + said + "\n  +b: " + failing(r, "b") + "\n")
			again, starts := r.resumed(id, failedMode, "error")
			require.Equal(t, ran("+w+g^error"), starts)
			of := map[string]map[string]any{}
			for _, one := range r.get("/api/attempts/" + again + "/tasks")["tasks"].([]any) {
				task := one.(map[string]any)
				of[task["fullName"].(string)] = task
			}
			require.Equal(t, of["+w+g"]["id"], of["+w+g^error"]["parentId"])
			require.Contains(t, r.resume(400, "x", again, fromMode("+g^error"), "{}")["message"], "+w+g^error runs after a failure only")
			r.touch("b")
			done, starts := r.resumed(again, failedMode, "success")
			require.Equal(t, ran("+w+g+b"), starts)
			require.NotContains(t, r.states(done), "+w+g^error", "in Digdag it is there only when it runs")
		},
		"a task whose check failed": func(t *testing.T, r *rig) {
			id := r.scenario("+z: " + said + "\n+a: {sh>: 'echo made ${1 + 1}', _check: " + failing(r, "c") + "}\n+b: " + said + "\n")
			require.Equal(t, map[string]string{"+w": "group_error", "+w+z": "success", "+w+a": "group_error", "+w+a^check": "group_error", "+w+b": "blocked"}, r.states(id))
			r.touch("c")
			_, starts := r.resumed(id, failedMode, "success")
			require.Equal(t, ran("+w+a", "+w+a^check", "+w+b"), starts, "the task runs again, or its check would fail for ever")
			_, starts = r.resumed(id, fromMode("+a"), "success")
			require.Equal(t, ran("+w+a", "+w+a^check", "+w+b"), starts)
		},
		"R9 R10 R11 R25 a group that was tried again": func(t *testing.T, r *rig) {
			id := r.scenario("+g:\n  _retry: 1\n  +x: " + said + "\n  +y: " + failing(r, "y") + "\n+z: " + said + "\n")
			require.Equal(t, 2, r.starts(id)["+w+g+x"])
			r.touch("y")
			again, starts := r.resumed(id, failedMode, "success")
			require.Equal(t, ran("+w+g+y", "+w+z"), starts)
			_, starts = r.resumed(again, fromMode("+z"), "success")
			require.Equal(t, ran("+w+z"), starts, "the group was tried again, and recovered")
		},
		"R12 one that succeeded": func(t *testing.T, r *rig) {
			r.push("r1", map[string]string{"w.dig": "+a: " + said + "\n+b: " + said + "\n"})
			id := r.start("w", "{}")
			r.ends(id, "success")
			require.Equal(t, map[string]any{"message": "Resuming successfully completed attempts is not supported", "status": 400.0}, r.resume(400, "x", id, failedMode, "{}"))
			_, starts := r.resumed(id, fromMode("+b"), "success")
			require.Equal(t, ran("+w+b"), starts)
		},
		"R13 R14 R26 one that was killed, or runs": func(t *testing.T, r *rig) {
			r.push("r1", map[string]string{"w.dig": "+a: " + said + "\n+b: {wait>: '${pause}'}\n"})
			id := r.start("w", `{"pause":"1h"}`)
			require.Contains(t, r.resume(400, "x", id, failedMode, "{}")["message"], "is running; allowed: one that is done")
			r.await(id, "+w+b", "running")
			r.object(200, "POST", "/api/attempts/"+id+"/kill", "{}")
			r.ends(id, "killed")
			a := r.resume(200, "y", id, failedMode, `{"pause":"1s"}`)
			r.ends(a["id"].(string), "success")
			require.Equal(t, map[string]int{}, r.starts(a["id"].(string)), "a was kept, b waited anew")
		},
		"R15 R16 one that there is not, or of another workflow": func(t *testing.T, r *rig) {
			id := r.scenario("+b: " + failing(r, "b") + "\n")
			for _, how := range []string{failedMode, fromMode("+b")} {
				require.Equal(t, map[string]any{"message": "Resource does not exist: attempt id=999999", "status": 404.0}, r.resume(404, "x", "999999", how, "{}"))
			}
			r.push("r2", map[string]string{"w.dig": "+b: " + said + "\n", "v.dig": "+b: " + said + "\n"})
			refused := r.object(400, "PUT", "/api/attempts", `{"workflowId":"`+r.workflow("v")+`","sessionTime":"`+r.session+`","retryAttemptName":"x","resume":{"mode":"failed","attemptId":"`+id+`"},"params":{}}`)
			require.Equal(t, "resume.attemptId: attempt "+id+" is one of workflow w in project default; allowed: an attempt of workflow v in project default", refused["message"])
			r.session = "2026-03-02T00:00:00+00:00"
			require.Contains(t, r.resume(400, "x", id, failedMode, "{}")["message"], "belongs to the session of 2026-03-01T00:00:00Z")
		},
		"R17 R18 R19 where from": func(t *testing.T, r *rig) {
			id := r.scenario("+g:\n  +a: " + said + "\n  +x: " + said + "\n+h:\n  +a: " + failing(r, "a") + "\n+z: " + said + "\n")
			for pattern, want := range map[string]string{
				"+z":   "Resuming non-successful tasks is not allowed: task_id=",
				"+a":   "Task pattern '+a' is ambiguous. Matching candidates are [+w+g+a, +w+h+a]",
				"":     "Task pattern '' doesn't match with any tasks",
				"+":    "Task pattern '+' doesn't match with any tasks; allowed: the end of one of [+w, +w+g, +w+g+a, +w+g+x, +w+h, +w+h+a, +w+z]",
				"+nix": "Task pattern '+nix' doesn't match with any tasks",
			} {
				require.Contains(t, r.resume(400, "x", id, fromMode(pattern), "{}")["message"], want, pattern)
			}
			require.Len(t, r.get("/api/attempts/" + id + "/retries")["attempts"], 1, "nothing was made")
			r.touch("a")
			_, starts := r.resumed(id, fromMode("+h"), "success")
			require.Equal(t, ran("+w+h+a", "+w+z"), starts)
			_, starts = r.resumed(id, fromMode("+g"), "success")
			require.Equal(t, ran("+w+g+a", "+w+g+x", "+w+h+a", "+w+z"), starts)
			_, starts = r.resumed(id, fromMode("+w"), "success")
			require.Equal(t, ran("+w+g+a", "+w+g+x", "+w+h+a", "+w+z"), starts, "the whole of it")
			_, starts = r.resumed(id, fromMode("+g+x"), "success")
			require.Equal(t, ran("+w+g+x", "+w+h+a", "+w+z"), starts)
		},
		"R20 from inside a parallel group": func(t *testing.T, r *rig) {
			id := r.scenario("+g:\n  _parallel: true\n  +a: " + said + "\n  +b: " + said + "\n  +c: {_after: [a], sh>: 'echo c'}\n+l:\n  _parallel: {limit: 1}\n  +d: " + said + "\n  +e: " + said + "\n+z: " + failing(r, "z") + "\n")
			r.touch("z")
			_, starts := r.resumed(id, fromMode("+c"), "success")
			require.Equal(t, ran("+w+g+c", "+w+g+b", "+w+l+d", "+w+l+e", "+w+z"), starts, "b has nothing to do with c, and runs again as there")
			_, starts = r.resumed(id, fromMode("+e"), "success")
			require.Equal(t, ran("+w+l+e", "+w+z"), starts, "earlier chunks are skipped")
		},
		"R22 without a name": func(t *testing.T, r *rig) {
			id := r.scenario("+b: " + failing(r, "b") + "\n")
			r.touch("b")
			second, _ := r.resumed(id, failedMode, "success")
			body := `{"workflowId":"` + r.workflow("w") + `","sessionTime":"` + r.session + `","resume":{"mode":"failed","attemptId":"` + id + `"},"params":{}}`
			require.Equal(t, second, r.object(409, "PUT", "/api/attempts", body)["id"], "the last attempt of the session")
			require.Equal(t, second, r.resume(409, "retry1", id, failedMode, "{}")["id"], "the attempt of that name")
		},
		"R28 the params are those of the request": func(t *testing.T, r *rig) {
			r.push("r1", map[string]string{"w.dig": "+a: {sh>: 'echo ${x + 1} ; exit ${x}'}\n"})
			id := r.start("w", `{"x":1}`)
			r.ends(id, "error")
			a := r.resume(200, "retry1", id, failedMode, `{"x":0}`)
			require.Equal(t, map[string]any{"x": 0.0}, a["params"])
			r.ends(a["id"].(string), "success")
			require.Contains(t, r.log(a["id"].(string), "+w+a"), "(+w+a) 1\n", "the template was computed again")
			b := r.resume(200, "retry2", id, failedMode, `{}`)
			require.Equal(t, map[string]any{}, b["params"], "nothing is inherited")
			r.ends(b["id"].(string), "error")
		},
		"R29 two at once with one name": func(t *testing.T, r *rig) {
			id := r.scenario("+b: " + failing(r, "b") + "\n")
			r.touch("b")
			body := `{"workflowId":"` + r.workflow("w") + `","sessionTime":"` + r.session + `","retryAttemptName":"x","resume":{"mode":"failed","attemptId":"` + id + `"},"params":{}}`
			codes, ids := make([]int, 2), make([]string, 2)
			var both sync.WaitGroup
			for i := range 2 {
				both.Go(func() {
					w := r.ask("PUT", "/api/attempts", "writer", body)
					codes[i] = w.Code
					_, rest, _ := strings.Cut(w.Body.String(), `"id":"`)
					ids[i], _, _ = strings.Cut(rest, `"`)
				})
			}
			both.Wait()
			require.ElementsMatch(t, []int{200, 409}, codes)
			require.Equal(t, ids[0], ids[1], "the winner")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, newRig(t))
		})
	}
}
