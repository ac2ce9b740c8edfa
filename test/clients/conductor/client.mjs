// Workers and clients of Conductor's JavaScript SDK against this server.
//
// Reads CONDUCTOR_SERVER_URL and an API key in CONDUCTOR_AUTH_SECRET; prints what it saw as one line of JSON.

import { OrkesClients, ConductorWorkflow, TaskHandler, simpleTask, worker } from "@io-orkes/conductor-javascript";

worker({ taskDefName: "js_greet", pollInterval: 50, concurrency: 2 })(async (task) => {
  const { name } = task.inputData;
  if (name === "nobody") {
    return { status: "FAILED", reasonForIncompletion: "there is nobody to greet", outputData: {}, logs: [{ log: "looked for somebody", createdTime: Date.now() }] };
  }
  return { status: "COMPLETED", outputData: { text: "hello " + name } };
});
worker({ taskDefName: "js_shout", pollInterval: 50 })(async (task) => ({ status: "COMPLETED", outputData: { text: task.inputData.text.toUpperCase() } }));

const silent = { debug() {}, info() {}, warn: console.error, error: console.error };

async function until(get, done) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const value = await get();
    if (done(value)) return value;
    if (Date.now() > deadline) throw new Error("waited a minute for nothing: " + JSON.stringify(value));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const clients = await OrkesClients.from({}, undefined, silent);
const workflows = clients.getWorkflowClient();
const metadata = clients.getMetadataClient();
const tasks = clients.getTaskClient();
const ended = (id) => until(() => workflows.getWorkflow(id, true), (w) => !["RUNNING", "PAUSED"].includes(w.status));
const shown = (w) => w.tasks.map((t) => t.referenceTaskName + ":" + t.status);
const seen = {};

await metadata.registerTasks(["js_greet", "js_shout"].map((name) => ({ name, retryCount: 0, responseTimeoutSeconds: 30, timeoutSeconds: 60, ownerEmail: "a@example.com" })));
const greeting = new ConductorWorkflow(workflows, "js_greeting")
  .add(simpleTask("greet", "js_greet", { name: "${workflow.input.name}" }))
  .add(simpleTask("shout", "js_shout", { text: "${greet.output.text}" }))
  .outputParameters({ said: "${shout.output.text}" });
await greeting.register(true);
await workflows.registerWorkflow(true, {
  name: "js_asking", version: 1, ownerEmail: "a@example.com", timeoutSeconds: 0,
  tasks: [
    { name: "ask", taskReferenceName: "ask", type: "HUMAN" },
    { name: "js_shout", taskReferenceName: "shout", type: "SIMPLE", inputParameters: { text: "${ask.output.say}" } },
    { name: "js_shout", taskReferenceName: "again", type: "SIMPLE", inputParameters: { text: "again" } },
  ],
  outputParameters: { said: "${shout.output.text}" },
});
seen.definitions = (await metadata.getAllWorkflowDefs()).map((d) => d.name).sort();
seen.task = (await metadata.getTask("js_greet")).retryCount;

const handler = new TaskHandler({ client: clients.getClient(), scanForDecorated: true, logger: silent });
await handler.startWorkers();

const run = await greeting.execute({ name: "eve" });
seen.executed = [run.status, run.output];
const id = await workflows.startWorkflow({ name: "js_greeting", version: 1, input: { name: "nobody" }, correlationId: "c1" });
const failed = await ended(id);
seen.failed = [failed.status, failed.reasonForIncompletion, failed.correlationId, shown(failed)];
seen.log = (await tasks.getTaskLogs(failed.tasks[0].taskId)).map((l) => l.log);
await workflows.retry(id, false);
seen.retried = shown(await until(() => workflows.getWorkflow(id, true), (w) => w.status === "FAILED" && w.tasks.length === 2));
seen.rerun = [await workflows.reRun(id, { reRunFromTaskId: failed.tasks[0].taskId, taskInput: { name: "bob" } }) === id];
const again = await ended(id);
seen.rerun.push(again.output, shown(again));
await workflows.goBackToTask(id, (t) => t.taskType === "js_shout" && t.status === "COMPLETED");
seen.back = shown(await ended(id));
await workflows.restart(id, true);
seen.restarted = shown(await ended(id));

const asked = await workflows.startWorkflow({ name: "js_asking", version: 1, input: {} });
await until(() => workflows.getWorkflow(asked, true), (w) => w.tasks[0]?.status === "IN_PROGRESS");
await workflows.pause(asked);
seen.paused = (await workflows.getWorkflowStatus(asked, true, true)).status;
await workflows.resume(asked);
await workflows.skipTasksFromWorkflow(asked, "again", { taskOutput: { text: "skipped" } });
await workflows.updateTaskByRefName("ask", asked, "COMPLETED", { say: "yes" });
const answered = await ended(asked);
seen.answered = [answered.status, answered.output, shown(answered)];

const cut = await workflows.startWorkflow({ name: "js_asking", version: 1, input: {} });
await workflows.terminate(cut, "enough");
const terminated = await ended(cut);
seen.terminated = [terminated.status, terminated.reasonForIncompletion];
const found = await workflows.search(0, 10, "workflowType='js_asking' AND status='TERMINATED'", "*", "startTime:DESC");
seen.found = [found.results.map((r) => r.workflowId === cut), found.totalHits];
seen.sizes = await tasks.getQueueSizeForTask(["js_greet", "js_shout"]);
seen.missing = await workflows.getWorkflow("nope", true).then(() => "found", (e) => String(e.message ?? e));
await workflows.deleteWorkflow(cut);
await handler.stopWorkers();
console.log("SEEN " + JSON.stringify(seen));
process.exit(0);
