"""Cognite's own client: workflows, versions, executions, retry, cancel, task update, triggers. Prints what it saw as one line of JSON.

The functions "step", "flaky" and "async" are run by a worker outside; "flaky" fails as long as a file is not there.
"""

import json
import pathlib
import sys
import time
import warnings

from cognite.client import ClientConfig, CogniteClient
from cognite.client.credentials import Token
from cognite.client.data_classes.workflows import (
    FunctionTaskParameters,
    SubworkflowTaskParameters,
    WorkflowDefinitionUpsert,
    WorkflowScheduledTriggerRule,
    WorkflowTask,
    WorkflowTriggerUpsert,
    WorkflowUpsert,
    WorkflowVersionUpsert,
)
from cognite.client.exceptions import CogniteAPIError, CogniteNotFoundError

warnings.simplefilter("ignore")  # of http: instead of https:
url, key, file = sys.argv[1:]
client = CogniteClient(ClientConfig(client_name="test", project="default", base_url=url, credentials=Token(key)))
flows = client.workflows
said = {}


def wait(execution, *statuses):
    while True:
        detail = flows.executions.retrieve_detailed(execution)
        if detail.status in statuses:
            return detail
        time.sleep(0.1)


def tasks(detail):
    return {t.external_id: t.status for t in detail.executed_tasks}


def call(external_id, function, data=None, after=None, **more):
    asynchronous = more.pop("is_async_complete", None)
    return WorkflowTask(external_id, FunctionTaskParameters(function, data or {}, asynchronous), depends_on=after, **more)


made = flows.upsert(WorkflowUpsert(external_id="plant/a", description="Of the plant", max_concurrent_executions=5))
said["workflow"] = [made.external_id, made.description, made.max_concurrent_executions, made.created_time > 0]
version = flows.versions.upsert(
    WorkflowVersionUpsert(
        "plant/a", "v 1",
        WorkflowDefinitionUpsert([
            call("first", "step", {"n": "${workflow.input.n}"}),
            call("optional", "flaky", after=["first"], retries=0, on_failure="skipTask"),
            WorkflowTask("inner", SubworkflowTaskParameters([call("bad", "flaky", retries=0)]), depends_on=["first"]),
            call("last", "step", {"was": "${first.output.response.n}"}, after=["inner"]),
        ]),
    )
)
said["version"] = [version.version, len(version.workflow_definition.tasks), len(version.workflow_definition.hash_) > 0]
said["versions"] = [v.version for v in flows.versions.list("plant/a")]
said["retrieved"] = [flows.retrieve("plant/a").external_id, flows.retrieve("none", ignore_unknown_ids=True), flows.versions.retrieve(("plant/a", "v 1")).version]

run = flows.executions.run("plant/a", "v 1", input={"n": 12345678901234567}, metadata={"k": "v"})
said["run"] = [run.status, run.version, run.metadata]
failed = wait(run.id, "failed")
said["failed"] = [tasks(failed), failed.reason_for_incompletion]
said["listed"] = [x.id == run.id for x in flows.executions.list(("plant/a", "v 1"), statuses="failed")]
pathlib.Path(file).write_text("there")
again = flows.executions.retry(run.id)
said["retried"] = [again.id == run.id, again.status]
done = wait(run.id, "completed")
said["completed"] = [tasks(done), done.executed_tasks[-1].output.response]
try:
    flows.executions.retry(run.id)
except CogniteAPIError as e:
    said["retried again"] = [e.code, "nothing to retry" in e.message]
said["unknown"] = [flows.executions.retrieve_detailed("no-uuid")]
try:
    flows.executions.retry("0190a1b2-0000-7000-8000-00000000dead")
except CogniteNotFoundError as e:
    said["unknown"].append(e.code)

flows.upsert(WorkflowUpsert(external_id="slow"))
flows.versions.upsert(WorkflowVersionUpsert("slow", "1", WorkflowDefinitionUpsert([call("job", "async", is_async_complete=True)])))
slow = flows.executions.run("slow", "1")
while "in_progress" not in tasks(detail := flows.executions.retrieve_detailed(slow.id)).values():
    time.sleep(0.1)
updated = flows.tasks.update(detail.executed_tasks[0].id, "completed", output={"rows": 3})
said["updated"] = [updated.external_id, updated.status, wait(slow.id, "completed").status]
slow = flows.executions.run("slow", "1")
canceled = flows.executions.cancel(slow.id, "why not")
said["canceled"] = [canceled.status, canceled.reason_for_incompletion, wait(slow.id, "terminated").reason_for_incompletion]
said["retry of canceled"] = flows.executions.retry(slow.id).status
flows.executions.cancel(slow.id, None)

trigger = flows.triggers.upsert(
    WorkflowTriggerUpsert("nightly", WorkflowScheduledTriggerRule("0 0 * * *"), "plant/a", "v 1", input={"n": 1}, metadata={"k": "v"})
)
said["trigger"] = [trigger.external_id, trigger.workflow_version, trigger.input, trigger.metadata, trigger.is_paused]
flows.triggers.pause("nightly")
said["paused"] = [t.is_paused for t in flows.triggers.list()]
flows.triggers.resume("nightly")
said["resumed"] = [t.is_paused for t in flows.triggers.list()]
said["runs"] = len(flows.triggers.list_runs("nightly"))
flows.triggers.delete("nightly")
said["triggers"] = len(flows.triggers.list())

flows.versions.delete(("plant/a", "v 1"))
said["versions left"] = len(flows.versions.list("plant/a"))
flows.delete("plant/a")
try:
    flows.delete("plant/a")
except CogniteNotFoundError as e:
    said["gone"] = [e.code, e.not_found]
said["left"] = [w.external_id for w in flows.list(limit=None)]
print(json.dumps(said))
