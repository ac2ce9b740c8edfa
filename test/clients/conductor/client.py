"""Workers and clients of Conductor's Python SDK against this server.

Reads CONDUCTOR_SERVER_URL and an API key in CONDUCTOR_AUTH_SECRET; prints what it saw as one line of JSON.
"""

import json
import sys
import time

from conductor.client.automator.task_handler import TaskHandler
from conductor.client.configuration.configuration import Configuration
from conductor.client.http.models import RerunWorkflowRequest, StartWorkflowRequest, TaskDef
from conductor.client.http.models.workflow_def import WorkflowDef
from conductor.client.http.models.workflow_task import WorkflowTask
from conductor.client.orkes_clients import OrkesClients
from conductor.client.worker.worker_task import worker_task


@worker_task(task_definition_name="py_greet", poll_interval_millis=50, register_schema=False)
def greet(name: str) -> dict:
    if name == "nobody":
        raise RuntimeError("there is nobody to greet")
    return {"text": "hello " + name}


@worker_task(task_definition_name="py_shout", poll_interval_millis=50, register_schema=False)
def shout(text: str) -> dict:
    return {"text": text.upper()}


def until(get, done):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        value = get()
        if done(value):
            return value
        time.sleep(0.1)
    sys.exit("waited a minute for nothing: %s" % value)


def main():
    configuration = Configuration()
    clients = OrkesClients(configuration=configuration)
    metadata, workflows, tasks = clients.get_metadata_client(), clients.get_workflow_client(), clients.get_task_client()
    for name in ("py_greet", "py_shout"):
        metadata.register_task_def(TaskDef(name=name, retry_count=0, response_timeout_seconds=30, timeout_seconds=60, owner_email="a@example.com"))
    definition = WorkflowDef(
        name="py_greeting", version=1, owner_email="a@example.com",
        tasks=[
            WorkflowTask(name="py_greet", task_reference_name="greet", input_parameters={"name": "${workflow.input.name}"}),
            WorkflowTask(name="py_shout", task_reference_name="shout", input_parameters={"text": "${greet.output.text}"}),
        ],
        output_parameters={"said": "${shout.output.text}"},
    )
    metadata.register_workflow_def(definition, overwrite=True)
    seen = {"versions": [d.version for d in metadata.get_all_workflow_defs()]}

    handler = TaskHandler(configuration=configuration, scan_for_annotated_workers=True)
    handler.start_processes()
    try:
        ended = lambda w: w.status in ("COMPLETED", "FAILED", "TERMINATED", "TIMED_OUT")
        get = lambda id: workflows.get_workflow(id, include_tasks=True)

        first = workflows.start_workflow(StartWorkflowRequest(name="py_greeting", version=1, input={"name": "ann"}, correlation_id="c1"))
        w = until(lambda: get(first), ended)
        seen["first"] = {"status": w.status, "output": w.output, "correlation": w.correlation_id, "tasks": [t.reference_task_name for t in w.tasks]}

        second = workflows.start_workflow(StartWorkflowRequest(name="py_greeting", input={"name": "nobody"}))
        w = until(lambda: get(second), ended)
        seen["second"] = {"status": w.status, "reason": w.reason_for_incompletion, "tasks": [t.status for t in w.tasks]}
        answer = workflows.rerun_workflow(second, RerunWorkflowRequest(re_run_from_task_id=w.tasks[0].task_id, task_input={"name": "bob"}))
        w = until(lambda: get(second), lambda w: w.status == "COMPLETED")
        seen["rerun"] = {"same": answer == second, "output": w.output, "tasks": [t.status for t in w.tasks]}

        workflows.restart_workflow(first)
        w = until(lambda: get(first), ended)
        seen["restarted"] = {"status": w.status, "tasks": len([t for t in w.tasks if t.status == "COMPLETED"])}
        run = workflows.execute_workflow(StartWorkflowRequest(name="py_greeting", version=1, input={"name": "eve"}), wait_for_seconds=20)
        seen["executed"] = {"status": run.status, "output": run.output}
        found = workflows.search(query="workflowType=py_greeting AND status=COMPLETED")
        seen["found"] = len(found.results)
        seen["waiting"] = tasks.get_queue_size_for_task("py_greet")
    finally:
        handler.stop_processes()
    print("SEEN " + json.dumps(seen))


if __name__ == "__main__":
    main()
