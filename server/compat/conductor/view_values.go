package conductor

import (
	"bytes"
	"encoding/json"
)

// fields reads an object; nil where it is none.
func fields(raw json.RawMessage) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

// asObject is a value as Conductor's maps have it: what is no object stands under "result".
func asObject(raw json.RawMessage) json.RawMessage {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0, string(raw) == "null":
		return json.RawMessage("{}")
	case raw[0] == '{':
		return raw
	}
	return encoded(map[string]json.RawMessage{"result": raw})
}

// wireInput is the input of a node as that of the task it stands for.
func wireInput(n node, t map[string]any, raw json.RawMessage) json.RawMessage {
	in := fields(raw)
	switch n.Type {
	case "INLINE", "LAMBDA":
		if inner, ok := in["input"]; ok {
			out := fields(inner)
			if out == nil {
				out = map[string]json.RawMessage{}
			}
			out["expression"], out["evaluatorType"] = in["script"], json.RawMessage(`"javascript"`)
			return encoded(out)
		}
		given, _ := t["inputParameters"].(map[string]any)
		if name, ok := given["expression"].(string); ok && len(raw) > 0 { // value-param: the value is all that it is given
			return encoded(map[string]any{"expression": name, "evaluatorType": given["evaluatorType"], name: raw})
		}
	case "SWITCH", "DECISION":
		if inner, ok := in["input"]; ok {
			return asObject(inner)
		}
		name, _ := t["expression"].(string)
		if n.Type == "DECISION" {
			name, _ = t["caseValueParam"].(string)
		}
		if value, ok := in["value"]; ok && name != "" {
			return encoded(map[string]json.RawMessage{name: value, "case": encoded(caseText(value))})
		}
	case "HTTP":
		if in != nil {
			request := map[string]json.RawMessage{"uri": in["url"], "method": json.RawMessage(`"GET"`)}
			for _, key := range []string{"method", "headers", "body"} {
				if v, ok := in[key]; ok {
					request[key] = v
				}
			}
			return encoded(map[string]any{"http_request": request})
		}
	case "JSON_JQ_TRANSFORM":
		if inner, ok := in["value"]; ok {
			return asObject(inner)
		}
	case "SUB_WORKFLOW":
		if in != nil {
			out := fields(in["input"])
			if out == nil {
				out = map[string]json.RawMessage{}
			}
			result := map[string]any{"workflowInput": out}
			for key, v := range out {
				result[key] = v
			}
			if name, ok := in["name"]; ok {
				result["subWorkflowName"] = name
			}
			return encoded(result)
		}
	case "WAIT", "HUMAN", "YIELD":
		if input, ok := in["input"]; ok {
			return asObject(input)
		}
		delete(in, "external")
		if in != nil {
			return encoded(in)
		}
	case "EVENT":
		if in != nil {
			out := fields(in["input"])
			if out == nil {
				out = map[string]json.RawMessage{}
			}
			out["sink"] = in["sink"]
			return encoded(out)
		}
	case "FORK_JOIN_DYNAMIC":
		return encoded(renamed(in, t, false))
	case "TERMINATE":
		delete(in, "terminated")
		if in != nil {
			return encoded(in)
		}
	case "JOIN", "EXCLUSIVE_JOIN":
		on, ok := t["joinOn"].([]any)
		switch {
		case !ok:
			return json.RawMessage("{}")
		case n.Type == "EXCLUSIVE_JOIN":
			return encoded(map[string]any{"joinOn": on, "defaultExclusiveJoinTask": t["defaultExclusiveJoinTask"]})
		}
		return encoded(map[string]any{"joinOn": on})
	case "DO_WHILE", "FORK_JOIN":
		return json.RawMessage("{}")
	}
	return asObject(raw)
}

// renamed is the input of a dynamic fork, under the names that its definition has for tasks and inputs, or natively.
func renamed(in map[string]json.RawMessage, t map[string]any, native bool) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for key, value := range in {
		if key != "kind" && key != "ref" || native {
			out[key] = value
		}
	}
	for own, field := range map[string]string{"tasks": "dynamicForkTasksParam", "inputs": "dynamicForkTasksInputParamName"} {
		name, _ := t[field].(string)
		if name == "" {
			continue
		}
		from, to := own, name
		if native {
			from, to = name, own
		}
		if value, ok := in[from]; ok {
			delete(out, from)
			out[to] = value
		}
	}
	return out
}

// nativeInput puts an input that a client gave to a task where its node has it; old is what the node was given last.
func nativeInput(n node, t map[string]any, old, given json.RawMessage) json.RawMessage {
	in := fields(old)
	if in == nil {
		in = map[string]json.RawMessage{}
	}
	switch n.Type {
	case "INLINE", "LAMBDA":
		inner := fields(given)
		if script, ok := inner["expression"]; ok {
			in["script"] = script
		}
		delete(inner, "expression")
		delete(inner, "evaluatorType")
		if _, ok := in["script"]; ok {
			in["input"] = encoded(inner)
			return encoded(in)
		}
	case "SWITCH", "DECISION":
		if _, ok := in["input"]; ok {
			in["input"] = given
			return encoded(in)
		}
		name, _ := t["expression"].(string)
		if n.Type == "DECISION" {
			name, _ = t["caseValueParam"].(string)
		}
		in["value"] = json.RawMessage("null")
		if v, ok := fields(given)[name]; ok {
			in["value"] = v
		}
		return encoded(in)
	case "HTTP":
		request := fields(given)
		if inner, ok := request["http_request"]; ok {
			request = fields(inner)
		}
		for key, name := range map[string]string{"uri": "url", "method": "method", "headers": "headers", "body": "body"} {
			if v, ok := request[key]; ok {
				in[name] = v
			}
		}
		return encoded(in)
	case "JSON_JQ_TRANSFORM":
		in["value"] = given
		return encoded(in)
	case "EVENT":
		in["input"] = given
		return encoded(in)
	case "FORK_JOIN_DYNAMIC":
		next := renamed(fields(given), t, true)
		next["kind"], next["ref"] = in["kind"], in["ref"]
		return encoded(next)
	case "SUB_WORKFLOW":
		if inner, ok := fields(given)["workflowInput"]; ok {
			given = inner
		}
		in["input"] = given
		delete(in, "version") // the label says which one, anew
		return encoded(in)
	case "WAIT", "HUMAN", "YIELD": // how long is not a part of it
		in["input"] = given
		return encoded(in)
	case "DO_WHILE", "FORK_JOIN", "JOIN", "EXCLUSIVE_JOIN":
		return nil // they take none
	}
	return given
}

// wireOutput is the output of a node as that of the task it stands for.
func wireOutput(n node, raw json.RawMessage, child string) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		if child != "" {
			return encoded(map[string]string{subWorkflowID: child})
		}
		if n.Type != "INLINE" || len(raw) == 0 {
			return json.RawMessage("{}")
		}
	}
	out := fields(raw)
	switch n.Type {
	case "INLINE", "LAMBDA":
		return encoded(map[string]json.RawMessage{"result": raw})
	case "HTTP":
		return encoded(map[string]any{"response": map[string]json.RawMessage{
			"headers": out["headers"], "reasonPhrase": encoded(phrases[string(out["status"])]), "body": orNull(out["body"]), "statusCode": out["status"],
		}})
	case "DECISION":
		return encoded(map[string]any{"caseOutput": []string{caseText(out["value"])}})
	case "SWITCH":
		value := caseText(out["value"])
		return encoded(map[string]any{"evaluationResult": []string{value}, "selectedCase": value})
	case "SUB_WORKFLOW":
		result := fields(asObject(raw))
		if _, given := result[subWorkflowID]; !given && child != "" {
			result[subWorkflowID] = encoded(child)
		}
		return encoded(result)
	case "TERMINATE":
		given := out["workflowOutput"]
		if fields(given) == nil && string(orNull(given)) != "null" {
			return encoded(map[string]json.RawMessage{"output": given})
		}
		return asObject(given)
	case "WAIT", "HUMAN", "YIELD":
		delete(out, "waited")
		return encoded(out)
	case "NOOP", "FORK_JOIN", "FORK_JOIN_DYNAMIC", "SET_VARIABLE":
		return json.RawMessage("{}")
	}
	return asObject(raw)
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// caseText is the value of a choice as text.
func caseText(raw json.RawMessage) string {
	var s *string
	if json.Unmarshal(raw, &s) == nil && s != nil {
		return *s
	}
	return string(raw)
}
