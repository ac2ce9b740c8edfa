"""Resumes and reads flow runs with Prefect's own client; prints what it was told, one JSON value a line."""

import asyncio
import json
import sys

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.flow_runs import resume_flow_run
from prefect.states import Cancelling, Paused, Suspended


def say(what, *values):
    print(json.dumps([what, *values], default=str))


async def main(flow_run_id):
    async with get_client() as client:
        run = await client.read_flow_run(flow_run_id)
        say("read", run.state.type.value, run.state.name, run.name, run.parameters)
        for run_input in [None, {"approved": "not a bool!"}, {"approved": True}, {"approved": True}]:
            result = await client.resume_flow_run(flow_run_id, run_input=run_input)
            say("resume", result.status.value, result.details.type, getattr(result.details, "reason", None))

        deployment = await client.read_deployment_by_name("expenses/redrive")
        run = await client.create_flow_run_from_deployment(deployment.id, name="mine", tags=["red"], parameters={"amount": 7})
        say("created", run.name, run.tags, run.parameters, str(run.deployment_id) == str(deployment.id))
        found = await client.read_flow_runs(flow_run_filter=FlowRunFilter(tags={"all_": ["red"]}))
        say("found", [r.name for r in found], str(found[0].id) == str(run.id))

        held = await client.create_flow_run_from_deployment((await client.read_deployment_by_name("held/redrive")).id)
        for state in [Suspended(), Paused()]:
            result = await client.set_flow_run_state(held.id, state)
            say("pause", result.status.value, result.state.name)
            if state.name == "Suspended":
                await resume_flow_run(held.id)
        result = await client.set_flow_run_state(held.id, Cancelling())
        say("cancel", result.status.value)
        say("states", [s.type.value for s in await client.read_flow_run_states(held.id)])


asyncio.run(main(sys.argv[1]))
