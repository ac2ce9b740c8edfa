package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConductorTaskTypes runs every type that asks for no worker of Conductor's: from a definition and an input to the
// status, the output, the tasks in their order and what they gave.
func TestConductorTaskTypes(t *testing.T) {
	f := start(t, "--allow-address", "127.0.0.1")
	c := conductor{t, f}
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		var body any
		_ = json.NewDecoder(r.Body).Decode(&body) // a GET has none
		_ = json.NewEncoder(w).Encode(object{"method": r.Method, "tag": r.Header.Get("X-Tag"), "body": body})
	}))
	t.Cleanup(echo.Close)
	const cases = `"decisionCases":{"a":[{"name":"v","taskReferenceName":"va","type":"SET_VARIABLE","inputParameters":{"x":"A"}}],"7":[{"name":"n","taskReferenceName":"seven","type":"NOOP"}]},
	  "defaultCase":[{"name":"v","taskReferenceName":"vd","type":"SET_VARIABLE","inputParameters":{"x":"D"}}]`
	const terminates = `{"name":"s","taskReferenceName":"s","type":"SWITCH","evaluatorType":"value-param","expression":"how","inputParameters":{"how":"${workflow.input.how}"},"decisionCases":{
	  "well":[{"name":"t","taskReferenceName":"t1","type":"TERMINATE","inputParameters":{"terminationStatus":"COMPLETED","terminationReason":"done","workflowOutput":{"r":"${workflow.input.how}"}}}],
	  "badly":[{"name":"t","taskReferenceName":"t2","type":"TERMINATE","inputParameters":{"terminationStatus":"FAILED","terminationReason":"it went ${workflow.input.how}","workflowOutput":{"r":1}}}],
	  "plain":[{"name":"t","taskReferenceName":"t4","type":"TERMINATE","inputParameters":{"terminationStatus":"COMPLETED","workflowOutput":"${workflow.input.how}"}}],
	  "empty":[{"name":"t","taskReferenceName":"t5","type":"TERMINATE","inputParameters":{"terminationStatus":"COMPLETED"}}],
	  "cut":[{"name":"t","taskReferenceName":"t3","type":"TERMINATE","inputParameters":{"terminationStatus":"TERMINATED","terminationReason":"cut off","workflowOutput":"${workflow.input}"}}]}},
	  {"name":"n","taskReferenceName":"n","type":"NOOP"}`
	for _, x := range []struct {
		what, tasks, more string
		input             string
		status, output    string
		lines             []string
		gave              map[string]string // output by reference name
		reason            string
	}{
		{
			what: "HTTP", tasks: `{"name":"h","taskReferenceName":"h","type":"HTTP","inputParameters":{"http_request":{"uri":"` + echo.URL + `/x","method":"POST","headers":{"X-Tag":"t1"},"body":{"n":"${workflow.input.n}"}}}}`,
			more: `"outputParameters":{"code":"${h.output.response.statusCode}","n":"${h.output.response.body.body.n}","tag":"${h.output.response.body.tag}","phrase":"${h.output.response.reasonPhrase}","kind":"${h.output.response.headers['content-type']}"}`, input: `{"n":3}`,
			status: "COMPLETED", output: `{"code":200,"n":3,"tag":"t1","phrase":"OK","kind":"application/json"}`, lines: []string{"h HTTP COMPLETED"},
		},
		{
			what: "HTTP flat", tasks: `{"name":"h","taskReferenceName":"h","type":"HTTP","inputParameters":{"uri":"` + echo.URL + `/x"}}`, more: `"outputParameters":{"m":"${h.output.response.body.method}"}`,
			status: "COMPLETED", output: `{"m":"GET"}`, lines: []string{"h HTTP COMPLETED"},
		},
		{
			what: "HTTP refused", tasks: `{"name":"h","taskReferenceName":"h","type":"HTTP","inputParameters":{"uri":"` + echo.URL + `/bad"}}`,
			status: "FAILED", output: `{}`, lines: []string{"h HTTP FAILED"}, reason: "500 Internal Server Error",
		},
		{
			what: "INLINE", tasks: `{"name":"i","taskReferenceName":"i","type":"INLINE","inputParameters":{"evaluatorType":"graaljs","expression":"(function () { return {sum: $.a + $.b, n: $.list.length}; })()","a":"${workflow.input.a}","b":2,"list":"${workflow.input.list}"}},
			  {"name":"v","taskReferenceName":"v","type":"INLINE","inputParameters":{"evaluatorType":"value-param","expression":"x","x":"${i.output.result.n}"}},
			  {"name":"l","taskReferenceName":"l","type":"LAMBDA","inputParameters":{"scriptExpression":"if ($.v > 1) { return {many: true}; } return {many: false};","v":"${v.output.result}"}}`,
			more: `"outputParameters":{"sum":"${i.output.result.sum}","v":"${v.output.result}","many":"${l.output.result.many}"}`, input: `{"a":1,"list":[4,5]}`,
			status: "COMPLETED", output: `{"sum":3,"v":2,"many":true}`, lines: []string{"i INLINE COMPLETED", "v INLINE COMPLETED", "l LAMBDA COMPLETED"},
			gave: map[string]string{"i": `{"result":{"sum":3,"n":2}}`, "v": `{"result":2}`, "l": `{"result":{"many":true}}`},
		},
		{
			what: "INLINE that throws", tasks: `{"name":"i","taskReferenceName":"i","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"$.a.b.c"}}`,
			status: "FAILED", output: `{}`, lines: []string{"i INLINE FAILED_WITH_TERMINAL_ERROR"}, reason: "TypeError",
		},
		{
			what: "SWITCH by value", tasks: `{"name":"s","taskReferenceName":"s","type":"SWITCH","evaluatorType":"value-param","expression":"k","inputParameters":{"k":"${workflow.input.k}"},` + cases + `}`,
			more: `"outputParameters":{"x":"${workflow.variables.x}","case":"${s.output.selectedCase}","result":"${s.output.evaluationResult}"}`, input: `{"k":"a"}`,
			status: "COMPLETED", output: `{"x":"A","case":"a","result":["a"]}`, lines: []string{"s SWITCH COMPLETED", "va SET_VARIABLE COMPLETED"}, gave: map[string]string{"s": `{"evaluationResult":["a"],"selectedCase":"a"}`},
		},
		{
			what: "SWITCH by value", input: `{"k":7}`, status: "COMPLETED", output: `{"x":null,"case":"7","result":["7"]}`, lines: []string{"s SWITCH COMPLETED", "seven NOOP COMPLETED"},
		},
		{
			what: "SWITCH by value", input: `{}`, status: "COMPLETED", output: `{"x":"D","case":"null","result":["null"]}`, lines: []string{"s SWITCH COMPLETED", "vd SET_VARIABLE COMPLETED"},
			gave: map[string]string{"s": `{"evaluationResult":["null"],"selectedCase":"null"}`},
		},
		{
			what: "SWITCH by script", tasks: `{"name":"s","taskReferenceName":"s","type":"SWITCH","evaluatorType":"javascript","expression":"$.k > 5 ? 'a' : 'none'","inputParameters":{"k":"${workflow.input.k}"},` + cases + `}`,
			more: `"outputParameters":{"x":"${workflow.variables.x}"}`, input: `{"k":9}`, status: "COMPLETED", output: `{"x":"A"}`, lines: []string{"s SWITCH COMPLETED", "va SET_VARIABLE COMPLETED"},
		},
		{
			what: "SWITCH by script", input: `{"k":1}`, status: "COMPLETED", output: `{"x":"D"}`, lines: []string{"s SWITCH COMPLETED", "vd SET_VARIABLE COMPLETED"},
		},
		{
			what: "DECISION by value", tasks: `{"name":"s","taskReferenceName":"s","type":"DECISION","caseValueParam":"k","inputParameters":{"k":"${workflow.input.k}"},` + cases + `}`,
			more: `"outputParameters":{"x":"${workflow.variables.x}","case":"${s.output.caseOutput[0]}"}`, input: `{"k":"a"}`, status: "COMPLETED", output: `{"x":"A","case":"a"}`, lines: []string{"s DECISION COMPLETED", "va SET_VARIABLE COMPLETED"},
			gave: map[string]string{"s": `{"caseOutput":["a"]}`, "va": `{}`},
		},
		{
			what: "DECISION by script", tasks: `{"name":"s","taskReferenceName":"s","type":"DECISION","caseExpression":"$.k == 1 ? 'a' : 'z'","inputParameters":{"k":"${workflow.input.k}"},` + cases + `}`,
			more: `"outputParameters":{"x":"${workflow.variables.x}"}`, input: `{"k":2}`, status: "COMPLETED", output: `{"x":"D"}`, lines: []string{"s DECISION COMPLETED", "vd SET_VARIABLE COMPLETED"},
		},
		{
			what: "SET_VARIABLE", tasks: `{"name":"v","taskReferenceName":"v1","type":"SET_VARIABLE","inputParameters":{"a":1,"b":"${workflow.input.b}"}},
			  {"name":"v","taskReferenceName":"v2","type":"SET_VARIABLE","inputParameters":{"a":"${workflow.variables.a}0"}},
			  {"name":"i","taskReferenceName":"i","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"$.a + '!'","a":"${workflow.variables.a}"}}`,
			more: `"variables":{"z":3},"outputParameters":{"a":"${workflow.variables.a}","b":"${workflow.variables.b}","z":"${workflow.variables.z}","i":"${i.output.result}"}`, input: `{"b":[1]}`,
			status: "COMPLETED", output: `{"a":"10","b":[1],"z":3,"i":"10!"}`, lines: []string{"v1 SET_VARIABLE COMPLETED", "v2 SET_VARIABLE COMPLETED", "i INLINE COMPLETED"},
		},
		{
			what: "JSON_JQ_TRANSFORM", tasks: `{"name":"q","taskReferenceName":"q","type":"JSON_JQ_TRANSFORM","inputParameters":{"list":"${workflow.input.list}","queryExpression":".list | map(. * 2)"}},
			  {"name":"q","taskReferenceName":"each","type":"JSON_JQ_TRANSFORM","inputParameters":{"list":"${q.output.result}","queryExpression":".list[]"}}`,
			more: `"outputParameters":{"first":"${each.output.result}","all":"${each.output.resultList}"}`, input: `{"list":[1,2]}`,
			status: "COMPLETED", output: `{"first":2,"all":[2,4]}`, lines: []string{"q JSON_JQ_TRANSFORM COMPLETED", "each JSON_JQ_TRANSFORM COMPLETED"},
			gave: map[string]string{"q": `{"result":[2,4],"resultList":[[2,4]]}`},
		},
		{
			what: "JSON_JQ_TRANSFORM that fails", tasks: `{"name":"q","taskReferenceName":"q","type":"JSON_JQ_TRANSFORM","inputParameters":{"list":"${workflow.input.list}","queryExpression":".list + {}"}}`,
			input: `{"list":[1,2]}`, status: "FAILED", output: `{}`, lines: []string{"q JSON_JQ_TRANSFORM FAILED"}, reason: "cannot add",
		},
		{
			what: "NOOP", tasks: `{"name":"n","taskReferenceName":"n","type":"NOOP"}`, status: "COMPLETED", output: `{}`, lines: []string{"n NOOP COMPLETED"}, gave: map[string]string{"n": `{}`},
		},
		{
			what: "TERMINATE", tasks: terminates, more: `"outputParameters":{"usual":true}`, input: `{"how":"well"}`, status: "COMPLETED", output: `{"r":"well"}`, lines: []string{"s SWITCH COMPLETED", "t1 TERMINATE COMPLETED"},
			gave: map[string]string{"t1": `{"r":"well"}`},
		},
		{
			what: "TERMINATE", input: `{"how":"badly"}`, status: "FAILED", output: `{"r":1}`, lines: []string{"s SWITCH COMPLETED", "t2 TERMINATE COMPLETED"}, reason: "it went badly", gave: map[string]string{"t2": `{"r":1}`},
		},
		{
			what: "TERMINATE", input: `{"how":"cut"}`, status: "TERMINATED", output: `{"how":"cut"}`, lines: []string{"s SWITCH COMPLETED", "t3 TERMINATE COMPLETED"}, reason: "cut off",
		},
		{
			what: "TERMINATE", input: `{"how":"plain"}`, status: "COMPLETED", output: `{"output":"plain"}`, lines: []string{"s SWITCH COMPLETED", "t4 TERMINATE COMPLETED"}, gave: map[string]string{"t4": `{"output":"plain"}`},
		},
		{
			what: "TERMINATE", input: `{"how":"empty"}`, status: "COMPLETED", output: `{}`, lines: []string{"s SWITCH COMPLETED", "t5 TERMINATE COMPLETED"}, gave: map[string]string{"t5": `{}`},
		},
		{
			what: "TERMINATE", input: `{"how":"not"}`, status: "COMPLETED", output: `{"usual":true}`, lines: []string{"s SWITCH COMPLETED", "n NOOP COMPLETED"},
		},
		{
			what: "FORK_JOIN", tasks: `{"name":"f","taskReferenceName":"f","type":"FORK_JOIN","forkTasks":[
			    [{"name":"i","taskReferenceName":"a","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"1"}},{"name":"i","taskReferenceName":"a2","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"$.x + 1","x":"${a.output.result}"}}],
			    [{"name":"i","taskReferenceName":"b","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"3"}}]]},
			  {"name":"j","taskReferenceName":"j","type":"JOIN","joinOn":["a2","b"]},{"name":"n","taskReferenceName":"n","type":"NOOP"}`,
			more: `"outputParameters":{"both":"${j.output}"}`, status: "COMPLETED", output: `{"both":{"a2":{"result":2},"b":{"result":3}}}`,
			lines: []string{"f FORK COMPLETED", "a INLINE COMPLETED", "b INLINE COMPLETED", "j JOIN COMPLETED", "a2 INLINE COMPLETED", "n NOOP COMPLETED"}, gave: map[string]string{"j": `{"a2":{"result":2},"b":{"result":3}}`},
		},
		{
			what: "EXCLUSIVE_JOIN", tasks: `{"name":"v","taskReferenceName":"v","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"'usual'"}},
			  {"name":"s","taskReferenceName":"s","type":"SWITCH","evaluatorType":"value-param","expression":"k","inputParameters":{"k":"${workflow.input.k}"},"decisionCases":{
			    "a":[{"name":"i","taskReferenceName":"a","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"'A'"}}],
			    "b":[{"name":"i","taskReferenceName":"b","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"({x: 'B'})"}}]}},
			  {"name":"e","taskReferenceName":"e","type":"EXCLUSIVE_JOIN","joinOn":["a","b"],"defaultExclusiveJoinTask":["v"]}`,
			more: `"outputParameters":{"all":"${e.output}","result":"${e.output.result}"}`, input: `{"k":"b"}`, status: "COMPLETED", output: `{"all":{"result":{"x":"B"}},"result":{"x":"B"}}`,
			lines: []string{"v INLINE COMPLETED", "s SWITCH COMPLETED", "b INLINE COMPLETED", "e EXCLUSIVE_JOIN COMPLETED"}, gave: map[string]string{"e": `{"result":{"x":"B"}}`},
		},
		{
			what: "EXCLUSIVE_JOIN", input: `{"k":"a"}`, status: "COMPLETED", output: `{"all":{"result":"A"},"result":"A"}`,
			lines: []string{"v INLINE COMPLETED", "s SWITCH COMPLETED", "a INLINE COMPLETED", "e EXCLUSIVE_JOIN COMPLETED"}, gave: map[string]string{"e": `{"result":"A"}`},
		},
		{
			what: "EXCLUSIVE_JOIN", input: `{"k":"none"}`, status: "COMPLETED", output: `{"all":{"result":"usual"},"result":"usual"}`,
			lines: []string{"v INLINE COMPLETED", "s SWITCH COMPLETED", "e EXCLUSIVE_JOIN COMPLETED"}, gave: map[string]string{"e": `{"result":"usual"}`},
		},
		{
			what: "EXCLUSIVE_JOIN of a fork", tasks: `{"name":"f","taskReferenceName":"f","type":"FORK_JOIN","forkTasks":[
			    [{"name":"i","taskReferenceName":"a","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"1"}}],
			    [{"name":"i","taskReferenceName":"b","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"2"}}]]},
			  {"name":"e","taskReferenceName":"e","type":"EXCLUSIVE_JOIN","joinOn":["b","a"]}`,
			status: "COMPLETED", output: `{"result":2}`, lines: []string{"f FORK COMPLETED", "a INLINE COMPLETED", "b INLINE COMPLETED", "e EXCLUSIVE_JOIN COMPLETED"}, gave: map[string]string{"e": `{"result":2}`},
		},
		{
			what: "DO_WHILE", tasks: `{"name":"l","taskReferenceName":"l","type":"DO_WHILE","loopCondition":"if ($.l['iteration'] < $.most) { true; } else { false; }","inputParameters":{"most":"${workflow.input.most}"},"loopOver":[
			  {"name":"i","taskReferenceName":"i","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"$.n * 10 + ($.before || 0)","n":"${l.output.iteration}","before":"${i.output.result}"}},
			  {"name":"v","taskReferenceName":"v","type":"SET_VARIABLE","inputParameters":{"sum":"${i.output.result}"}}]}`,
			more: `"outputParameters":{"n":"${l.output.iteration}","second":"${l.output.2.i.result}","last":"${i.output.result}","sum":"${workflow.variables.sum}"}`, input: `{"most":3}`,
			status: "COMPLETED", output: `{"n":3,"second":30,"last":60,"sum":60}`,
			lines: []string{
				"l DO_WHILE COMPLETED 3", "i__1 INLINE COMPLETED 1", "v__1 SET_VARIABLE COMPLETED 1", "i__2 INLINE COMPLETED 2", "v__2 SET_VARIABLE COMPLETED 2",
				"i__3 INLINE COMPLETED 3", "v__3 SET_VARIABLE COMPLETED 3",
			},
			gave: map[string]string{"l": `{"iteration":3,"1":{"i":{"result":10},"v":{}},"2":{"i":{"result":30},"v":{}},"3":{"i":{"result":60},"v":{}}}`},
		},
		{
			what: "DO_WHILE keeps some", tasks: `{"name":"l","taskReferenceName":"l","type":"DO_WHILE","loopCondition":"$.l.iteration < 4","inputParameters":{"keepLastN":2},"loopOver":[
			  {"name":"i","taskReferenceName":"i","type":"INLINE","inputParameters":{"evaluatorType":"javascript","expression":"$.n","n":"${l.output.iteration}"}}]}`,
			more: `"outputParameters":{"l":"${l.output}"}`, status: "COMPLETED", output: `{"l":{"iteration":4,"3":{"i":{"result":3}},"4":{"i":{"result":4}}}}`,
			lines: []string{"l DO_WHILE COMPLETED 4", "i__1 INLINE COMPLETED 1", "i__2 INLINE COMPLETED 2", "i__3 INLINE COMPLETED 3", "i__4 INLINE COMPLETED 4"},
			gave:  map[string]string{"l": `{"iteration":4,"3":{"i":{"result":3}},"4":{"i":{"result":4}}}`},
		},
	} {
		name := strings.ReplaceAll(x.what, " ", "_")
		if x.tasks != "" {
			more := []string{}
			if x.more != "" {
				more = append(more, x.more)
			}
			c.defines(name, x.tasks, more...)
		}
		if x.input == "" {
			x.input = "{}"
		}
		w := c.ends(c.begin(name, x.input), x.status)
		output, err := json.Marshal(w.Output)
		require.NoError(t, err)
		require.JSONEq(t, x.output, string(output), "%s %s", x.what, x.input)
		require.Equal(t, x.lines, w.lines(), "%s %s", x.what, x.input)
		require.Contains(t, w.ReasonForIncompletion, x.reason)
		if x.what == "HTTP" {
			response, _ := w.task("h").OutputData["response"].(object)
			require.Equal(t, []any{200.0, "OK", object{"method": "POST", "tag": "t1", "body": object{"n": 3.0}}}, []any{response["statusCode"], response["reasonPhrase"], response["body"]})
			require.Equal(t, "application/json", response["headers"].(object)["content-type"])
		}
		for ref, want := range x.gave {
			gave, err := json.Marshal(w.task(ref).OutputData)
			require.NoError(t, err)
			require.JSONEq(t, want, string(gave), "%s %s: %s", x.what, x.input, ref)
		}
	}
}
