// Translates the tasks of a Cognite workflow into a native definition. It runs in two places: in the
// server when a version is stored, and in the script task of a dynamic task when it knows its tasks.
(function () {
  "use strict";
  const builtin = ["http", "exec", "transform", "script", "wait", "approval", "workflow", "group", "loop", "log", "noop", "fail"];
  const limits = { tasks: 100, dependsOn: 100, externalId: 255, name: 255, description: 500, data: 100 << 10, retries: 10, timeout: [100, 43200] };
  const types = ["function", "transformation", "cdf", "dynamic", "subworkflow", "simulation"];

  function refuse(where, message) { throw new Error(where + ": " + message); }

  // A hash that tells names apart whose allowed characters are the same.
  function hash(text) {
    let h = 0x811c9dc5;
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193) >>> 0;
    return h.toString(16).padStart(8, "0");
  }

  function encoded(text, valid, bad) {
    return valid.test(text) ? text : ("x-" + text.replace(bad, "-")).slice(0, 110) + "-" + hash(text);
  }

  const taskName = id => encoded(id, /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/, /[^A-Za-z0-9_-]/g);
  const workflowName = id => encoded(id, /^[a-z0-9][a-z0-9._-]{0,127}$/, /[^a-z0-9._-]/g);
  const typeName = id => builtin.includes(id) ? "x-" + id + "-" + hash(id) : encoded(id, /^[a-z0-9][a-z0-9._-]{0,127}$/, /[^a-z0-9._-]/g);

  // What a task gives, by its names in Cognite's: expressions over the native output. null = the names are the same.
  const outputs = {
    function(own, t) {
      if (!t.parameters.isAsyncComplete) return { response: own };
      const called = own + "[\"call\"]", updated = own + "[\"done\"]"; // the update is merged with what the function gave
      return { response: "(\"response\" in " + updated + " ? " + updated + "[\"response\"] : " + called + ")" };
    },
    cdf: own => ({ response: own + "[\"body\"]", statusCode: own + "[\"status\"]" }),
    transformation: null, simulation: null,
    dynamic: () => ({}), subworkflow: () => ({}),
  };

  function path(segments) { return segments.map(s => /^\d+$/.test(s) ? "[" + s + "]" : "[" + JSON.stringify(s) + "]").join(""); }
  function split(text) { return text.replace(/\[(\d+)\]/g, ".$1").split("."); }

  // parts splits a reference; an external id may have dots itself, and the longest that fits is meant.
  function parts(text, tasks) {
    const fits = id => text.startsWith(id + ".output") || text.startsWith(id + ".input");
    const id = Object.keys(tasks.byId).filter(fits).sort((a, b) => b.length - a.length)[0];
    return id === undefined ? split(text) : [id].concat(split(text.slice(id.length + 1)));
  }

  function reference(expression, tasks, where) {
    const [first, kind, ...rest] = parts(expression.trim(), tasks);
    if ([first, kind, ...rest].some(p => p === "")) refuse(where, "${" + expression + "} is no reference; allowed: ${workflow.input.x}, ${task.output.x}, ${task.input.x}");
    if (first === "workflow" && kind === "input") return "workflow.input" + path(rest);
    const task = tasks.byId[first];
    if (!task) refuse(where, "${" + expression + "} names no task");
    if (kind === "input") return given(task, rest, tasks, where);
    if (kind !== "output") refuse(where, "${" + expression + "} is neither output nor input of the task");
    const own = "tasks[" + JSON.stringify(taskName(first)) + "].output";
    if (!outputs[task.type]) return own + path(rest);
    const fields = outputs[task.type](own, task), names = Object.keys(fields);
    const updated = task.type === "function" && task.parameters.isAsyncComplete;
    if (rest.length === 0 && names.length && !updated) return "{" + names.map(n => JSON.stringify(n) + ": " + fields[n]).join(", ") + "}";
    if (rest.length && rest[0] in fields) return fields[rest[0]] + path(rest.slice(1));
    if (rest.length && updated) return own + "[\"done\"]" + path(rest);
    refuse(where, "${" + expression + "}: of the output of a " + task.type + " task there " + (names.length ? "is " + names.join(", ") + (updated ? " and what its update gave, each by its name" : " only") : "is nothing to read"));
  }

  // What a task was given is known when it is stored: a literal, or another reference.
  function given(task, rest, tasks, where) {
    let value = task.parameters;
    for (const key of rest) value = value === null || value === undefined ? undefined : value[key];
    if (value === undefined) refuse(where, "the input of " + JSON.stringify(task.externalId) + " has no " + rest.join("."));
    const whole = typeof value === "string" && /^\$\{([^}]*)\}$/.exec(value);
    if (whole) return reference(whole[1], tasks, where);
    const text = literalOf(value);
    if (text.includes("${")) refuse(where, "the input of " + JSON.stringify(task.externalId) + " has references within; name the part that is meant");
    return text;
  }

  // literalOf writes a value into an expression. Large integers are BigInts where a worker runs this.
  function literalOf(value) {
    if (typeof value === "bigint") return value.toString();
    if (Array.isArray(value)) return "[" + value.map(literalOf).join(",") + "]";
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    return "{" + Object.keys(value).map(k => JSON.stringify(k) + ":" + literalOf(value[k])).join(",") + "}";
  }

  function resolve(value, tasks, where) {
    if (typeof value === "string") {
      if (!value.includes("${")) return value;
      return value.replace(/\$\{([^}]*)\}?/g, (all, inner) => {
        if (!all.endsWith("}")) refuse(where, "a reference has no end");
        return "${" + reference(inner, tasks, where) + "}";
      });
    }
    if (Array.isArray(value)) return value.map(v => resolve(v, tasks, where));
    if (value !== null && typeof value === "object") {
      const out = {};
      for (const key of Object.keys(value)) out[key.replace(/\$\{/g, () => "$${")] = resolve(value[key], tasks, where);
      return out;
    }
    return value;
  }

  function literal(value, where) {
    if (typeof value !== "string" || value === "") refuse(where, "must be a text");
    if (value.includes("${")) refuse(where, "cannot be a reference here: which worker runs a task is known when it is stored");
    return value;
  }

  // bounded refuses what is no text, or a longer one. Without a value there is nothing to refuse.
  function bounded(value, most, where) {
    if (value === undefined || value === null) return;
    if (typeof value !== "string") refuse(where, "is no text; allowed: a text of at most " + most + " characters");
    const has = [...value].length;
    if (has > most) refuse(where, "has " + has + " characters; allowed: at most " + most);
  }

  // small refuses data that is larger than Cognite passes on.
  function small(value, where) {
    if (value !== undefined && literalOf(value).length > limits.data) refuse(where, "is too large; allowed: at most 100 KB");
  }

  // oneOf refuses what is none of a list.
  function oneOf(value, list, where) {
    if (!list.includes(value)) refuse(where, "is " + (value === undefined ? "missing" : literalOf(value).slice(0, 60)) + "; allowed: " + list.join(", "));
  }

  const isReference = value => typeof value === "string" && value.includes("${");

  function check(t, where, seen) {
    if (t === null || typeof t !== "object" || Array.isArray(t)) refuse(where, "must be an object");
    if (typeof t.externalId !== "string" || t.externalId === "" || [...t.externalId].length > limits.externalId) refuse(where + ".externalId", "must be a text of 1 to 255 characters");
    if (t.externalId.trim() !== t.externalId || t.externalId.includes("\0")) refuse(where + ".externalId", JSON.stringify(t.externalId) + " has white space around it, or null characters; allowed: a text without them");
    if (t.externalId === "workflow" || t.externalId.startsWith("__")) refuse(where + ".externalId", JSON.stringify(t.externalId) + " is reserved");
    if (seen.has(t.externalId)) refuse(where + ".externalId", JSON.stringify(t.externalId) + " is there twice");
    seen.add(t.externalId);
    bounded(t.name, limits.name, where + ".name");
    bounded(t.description, limits.description, where + ".description");
    if (!types.includes(t.type)) refuse(where + ".type", "must be one of " + types.join(", "));
    if (t.parameters === null || typeof t.parameters !== "object") refuse(where + ".parameters", "must be an object");
    if (t.retries !== undefined && !(Number.isInteger(t.retries) && t.retries >= 0 && t.retries <= limits.retries)) refuse(where + ".retries", "must be 0 to 10");
    if (t.timeout !== undefined && !(Number.isInteger(t.timeout) && t.timeout >= limits.timeout[0] && t.timeout <= limits.timeout[1])) refuse(where + ".timeout", "must be 100 to 43200 seconds");
    if (t.onFailure !== undefined && t.onFailure !== "abortWorkflow" && t.onFailure !== "skipTask") refuse(where + ".onFailure", "must be abortWorkflow or skipTask");
    const needs = t.dependsOn || [];
    if (!Array.isArray(needs) || needs.length > limits.dependsOn || needs.some(n => n === null || typeof n !== "object" || typeof n.externalId !== "string")) refuse(where + ".dependsOn", "must be a list of at most 100 objects with externalId");
  }

  // The id under which a task is updated: a UUID of its place in the list of tasks and of the execution's number.
  function taskID(index) {
    return index.toString(16).padStart(8, "0") + "-0000-4000-8000-${string(1000000000000 + workflow.number).substring(1)}";
  }

  function cdf(p, base, tasks, where) {
    const r = p.cdfRequest || refuse(where, "cdfRequest is missing");
    if (!isReference(r.method)) oneOf(r.method, ["POST", "GET", "PUT"], where + ".method"); // what it refers to is known when the task begins
    const millis = r.requestTimeoutInMillis;
    if (millis !== undefined && millis !== null && !(typeof millis === "number" && millis >= 100) && !isReference(millis)) refuse(where + ".requestTimeoutInMillis", "is " + literalOf(millis).slice(0, 60) + "; allowed: a number, 100 or more");
    small(r.body, where + ".body");
    const resource = resolve(r.resourcePath, tasks, where + ".resourcePath");
    if (typeof resource !== "string") refuse(where + ".resourcePath", "must be a text");
    const absolute = /^https?:\/\//.test(resource);
    if (!absolute && !base) refuse(where + ".resourcePath", "is relative, and this server was not told to what: start it with --cognite-url, or give an absolute URL");
    const out = { method: resolve(r.method, tasks, where + ".method"), url: absolute ? resource : base.replace(/\/+$/, "") + "/" + resource.replace(/^\/+/, "") };
    if (r.queryParameters) out.query = resolve(r.queryParameters, tasks, where + ".queryParameters");
    if (r.body !== undefined) out.body = resolve(r.body, tasks, where + ".body");
    if (r.cdfVersionHeader) out.headers = { "cdf-version": r.cdfVersionHeader };
    return { type: "http", with: out };
  }

  const make = {
    function(t, c, where) {
      const f = t.parameters.function || refuse(where, "function is missing");
      const type = typeName(literal(f.externalId, where + ".function.externalId"));
      small(f.data, where + ".function.data");
      const data = resolve(f.data === undefined ? {} : f.data, c.tasks, where + ".function.data");
      if (!t.parameters.isAsyncComplete) return { type, with: data };
      const object = data !== null && typeof data === "object" && !Array.isArray(data);
      const call = object ? Object.assign({}, data) : { data };
      call.cogniteOrchestrationTaskId = taskID(c.index);
      return { type: "group", tasks: [
        { name: "call", type, with: call },
        { name: "done", type: "wait", needs: ["call"], with: { external: true } },
      ] };
    },
    transformation(t, c, where) {
      const p = t.parameters.transformation || refuse(where, "transformation is missing");
      if (p.concurrencyPolicy !== undefined) oneOf(p.concurrencyPolicy, ["fail", "waitForCurrent", "restartAfterCurrent"], where + ".transformation.concurrencyPolicy");
      const out = Object.assign({}, p);
      delete out.externalId;
      return { type: typeName(literal(p.externalId, where + ".transformation.externalId")), with: resolve(out, c.tasks, where) };
    },
    simulation(t, c, where) {
      const p = t.parameters.simulation || refuse(where, "simulation is missing");
      const out = Object.assign({}, p);
      delete out.routineExternalId;
      return { type: typeName(literal(p.routineExternalId, where + ".simulation.routineExternalId")), with: resolve(out, c.tasks, where) };
    },
    cdf(t, c, where) { return cdf(t.parameters, c.o.base, c.tasks, where + ".cdfRequest"); },
    dynamic(t, c, where) {
      if (c.o.inner) refuse(where, "a dynamic task cannot be in another, nor in a subworkflow");
      const p = t.parameters.dynamic || refuse(where, "dynamic is missing");
      const options = JSON.stringify({ base: c.o.base, inner: true, externalId: t.externalId, name: taskName(t.externalId).toLowerCase() });
      return { type: "group", tasks: [
        { name: "make", type: "script", retry: { max_attempts: 1 }, with: {
          input: resolve(p.tasks, c.tasks, where + ".dynamic.tasks"),
          script: (c.o.source + ".definition({ tasks: $ }, " + options + ")").replace(/\$\{/g, () => "$${"), // of the script, not of the workflow
        } },
        { name: "run", type: "workflow", needs: ["make"], retry: { max_attempts: 1 }, with: { definition: "${tasks.make.output}", input: "${workflow.input}" } },
      ] };
    },
    subworkflow(t, c, where) {
      if (c.o.inner) refuse(where, "a subworkflow cannot be in another, nor in a dynamic task");
      const p = t.parameters.subworkflow || refuse(where, "subworkflow is missing");
      if (p.tasks === undefined) {
        const found = (c.o.versions || {})[p.workflowExternalId + "\n" + p.version];
        if (!found) refuse(where + ".subworkflow", "there is no version " + JSON.stringify(p.version) + " of " + JSON.stringify(p.workflowExternalId));
        if (found.nests) refuse(where + ".subworkflow", "version " + JSON.stringify(p.version) + " of " + JSON.stringify(p.workflowExternalId) + " has dynamic tasks or subworkflows, and cannot be in another");
        return { type: "workflow", retry: { max_attempts: 1 }, with: { name: found.name, version: found.version, input: "${workflow.input}" } };
      }
      return { type: "group", retry: { max_attempts: 1 }, tasks: body(p.tasks, Object.assign({}, c, { o: Object.assign({}, c.o, { inner: true }), parent: t.externalId, path: c.path + taskName(t.externalId) + "." }), where + ".subworkflow.tasks") };
    },
  };

  function body(list, c, where) {
    if (!Array.isArray(list) || list.length === 0 || list.length > limits.tasks) refuse(where, "must be a list of 1 to 100 tasks");
    list.forEach((t, i) => {
      check(t, where + "[" + i + "]", c.seen);
      Object.assign(t, Object.assign({ retries: 3, timeout: 3600, onFailure: "abortWorkflow" }, t));
      c.tasks.byId[t.externalId] = t;
    });
    const names = list.map(t => t.externalId);
    list.forEach((t, i) => (t.dependsOn || []).forEach((n, k) => {
      if (!names.includes(n.externalId)) refuse(where + "[" + i + "].dependsOn[" + k + "]", "there is no task " + JSON.stringify(n.externalId) + " beside it");
    }));
    return list.map((t, i) => {
      const at = where + "[" + i + "]", name = taskName(t.externalId);
      c = Object.assign({}, c, { index: c.refs.length });
      const group = t.type === "dynamic" || t.type === "subworkflow";
      c.refs.push({ id: t.externalId, ref: c.path + name, parent: c.parent, type: t.type, optional: t.onFailure === "skipTask", async: !!t.parameters.isAsyncComplete });
      const out = Object.assign({ name }, make[t.type](t, c, at + ".parameters"));
      if (!out.retry) out.retry = { max_attempts: group ? 1 : 1 + t.retries };
      if (t.onFailure !== "skipTask" && !group) out.retry.non_retryable = ["timed_out"];
      if (!group) out.timeout = t.timeout + "s";
      if (t.onFailure === "skipTask") out.on_failure = "continue";
      if (t.dependsOn && t.dependsOn.length) out.needs = t.dependsOn.map(n => taskName(n.externalId));
      if (t.description) out.description = t.description;
      return out;
    });
  }

  // definition makes the native definition. What Cognite's is, and which task is which, is kept in its input_schema under x-cognite.
  function definition(d, o) {
    const refs = [];
    bounded(d.description, limits.description, "description");
    const tasks = body(d.tasks, { o, refs, seen: new Set(), tasks: { byId: Object.create(null) }, parent: null, path: "" }, "tasks");
    const out = {
      name: o.name,
      input_schema: { type: ["object", "null"], "x-cognite": {
        workflow: o.workflow, externalId: o.externalId, version: o.version, created: o.created, updated: o.updated, definition: d, refs,
      } },
      tasks,
    };
    if (d.description) out.description = d.description;
    if (o.workflow && o.workflow.maxConcurrentExecutions) out.concurrency = { max_running: o.workflow.maxConcurrentExecutions };
    return out;
  }

  return { definition, workflowName, taskName, typeName };
})()
