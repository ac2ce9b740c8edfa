"""Tasks of all kinds as Conductor's Python SDK builds them, against this server.

Reads CONDUCTOR_SERVER_URL and an API key in CONDUCTOR_AUTH_SECRET; prints what it saw as one line of JSON.
"""

import json

from conductor.client.automator.task_handler import TaskHandler
from conductor.client.configuration.configuration import Configuration
from conductor.client.http.models import StartWorkflowRequest, TaskDef
from conductor.client.http.rest import ApiException
from conductor.client.orkes_clients import OrkesClients
from conductor.client.workflow.conductor_workflow import ConductorWorkflow
from conductor.client.workflow.task.do_while_task import ForEachTask, LoopTask
from conductor.client.workflow.task.dynamic_fork_task import DynamicForkTask
from conductor.client.workflow.task.dynamic_task import DynamicTask
from conductor.client.workflow.task.fork_task import ForkTask
from conductor.client.workflow.task.inline import InlineTask
from conductor.client.workflow.task.join_task import JoinTask
from conductor.client.workflow.task.json_jq_task import JsonJQTask
from conductor.client.workflow.task.set_variable_task import SetVariableTask
from conductor.client.workflow.task.simple_task import SimpleTask
from conductor.client.workflow.task.sub_workflow_task import InlineSubWorkflowTask
from conductor.client.workflow.task.switch_task import SwitchTask
from conductor.client.workflow.task.terminate_task import TerminateTask, WorkflowStatus
from conductor.client.workflow.task.wait_task import WaitForDurationTask
from conductor.client.worker.worker_task import worker_task

from client import until


@worker_task(task_definition_name="py_double", poll_interval_millis=50, register_schema=False)
def double(n: int) -> dict:
    return {"n": n * 2}


@worker_task(task_definition_name="py_plan", poll_interval_millis=50, register_schema=False)
def plan(count: int) -> dict:
    refs = ["part%d" % i for i in range(count)]
    return {
        "tasks": [{"name": "py_double", "taskReferenceName": ref, "type": "SIMPLE"} for ref in refs],
        "inputs": {ref: {"n": i} for i, ref in enumerate(refs)},
    }


def main():
    configuration = Configuration()
    clients = OrkesClients(configuration=configuration)
    metadata, workflows, executor = clients.get_metadata_client(), clients.get_workflow_client(), clients.get_workflow_executor()
    for name in ("py_double", "py_plan"):
        metadata.register_task_def(TaskDef(name=name, retry_count=0, response_timeout_seconds=30, timeout_seconds=60, owner_email="a@example.com"))
    handler = TaskHandler(configuration=configuration, scan_for_annotated_workers=True)
    handler.start_processes()
    seen = {}

    def runs(workflow, **given):
        workflow.owner_email("a@example.com").timeout_seconds(0)
        workflow.register(overwrite=True)
        id = workflows.start_workflow(StartWorkflowRequest(name=workflow.name, version=1, input=given))
        w = until(lambda: workflows.get_workflow(id, include_tasks=True), lambda w: w.status not in ("RUNNING", "PAUSED"))
        seen[workflow.name] = [w.status, w.output, ["%s:%s" % (t.reference_task_name, t.status) for t in w.tasks]]

    def doubles(ref, n):
        return SimpleTask("py_double", ref).input_parameter("n", n)

    def named(name):
        return ConductorWorkflow(executor=executor, name=name, version=1)

    try:
        dynamic = named("py dynamic")
        dynamic >> DynamicTask(dynamic_task="${workflow.input.which}", task_reference_name="any").input_parameter("n", 4)
        runs(dynamic.output_parameters({"n": "${any.output.n}"}), which="py_double")

        fork = named("py dynamic fork")
        fork >> SimpleTask("py_plan", "plan").input_parameter("count", "${workflow.input.count}")
        fork >> DynamicForkTask("fork", tasks_param="tasks", tasks_input_param_name="inputs", join_task=JoinTask("join")) \
            .input_parameter("tasks", "${plan.output.tasks}").input_parameter("inputs", "${plan.output.inputs}")
        runs(fork.output_parameters({"all": "${join.output}"}), count=3)

        inner = named("Inner Flow").owner_email("a@example.com")
        inner >> doubles("inside", "${workflow.input.n}")
        inner.output_parameters({"n": "${inside.output.n}"})
        outer = named("py inline")
        outer >> InlineSubWorkflowTask("sub", inner).input_parameter("n", "${workflow.input.n}")
        runs(outer.output_parameters({"n": "${sub.output.n}"}), n=5)

        loop = named("py loop")
        loop >> LoopTask("loop", 3, [doubles("step", "${loop.output.iteration}")])
        runs(loop.output_parameters({"last": "${step.output.n}", "times": "${loop.output.iteration}"}))

        many = named("py many")
        many >> InlineTask("script", "(function () { return $.a + 1; })()", {"a": "${workflow.input.a}"})
        many >> JsonJQTask("query", ".list | length").input_parameter("list", [1, 2, 3])
        many >> SetVariableTask("set").input_parameter("a", "${script.output.result}")
        many >> WaitForDurationTask("pause", 1)
        many >> ForkTask("fork", [[doubles("left", "${workflow.variables.a}")], [doubles("right", "${query.output.result}")]], ["left", "right"])
        many >> SwitchTask("switch", "${workflow.input.a}").switch_case("7", [TerminateTask("stop", WorkflowStatus.FAILED, "seven")]).default_case([doubles("last", "${right.output.n}")])
        many.output_parameters({"left": "${left.output.n}", "last": "${last.output.n}"})
        runs(many, a=1)
        seen["py many ends"] = seen["py many"]
        runs(many, a=7)

        refused = named("py for each")
        refused >> ForEachTask("loop", [doubles("step", 1)], "${workflow.input.list}")
        try:
            runs(refused)
        except ApiException as e:
            seen["refused"] = e.status
    finally:
        handler.stop_processes()
    print("SEEN " + json.dumps(seen))


if __name__ == "__main__":
    main()
