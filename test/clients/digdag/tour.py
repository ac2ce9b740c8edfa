"""Pushes a project, runs it, resumes it, reads everything and runs a backfill, with Treasure Data's client."""

import json
import pathlib
import sys
import time
from datetime import datetime, timezone

import requests
import tdworkflow

endpoint, key, folder, missing = sys.argv[1:]
client = tdworkflow.client.Client(endpoint=endpoint, apikey=key, scheme="http")
said = {}

project = client.create_project("default", folder, revision="r1")
said["project"] = [project.name, project.revision]
by_name = {w.name: w for w in client.project_workflows(project)}
said["workflows"] = sorted(by_name)
workflow = by_name["daily"]
said["timezone"] = workflow.timezone

started = client.start_attempt(workflow, session_time="2026-03-01T00:00:00+09:00", workflow_params={"rows": 21})
failed = client.wait_attempt(started, wait_interval=1)
said["failed"] = [failed.status, failed.done, failed.success, failed.index]
said["tasks"] = {t.fullName: t.state for t in client.attempt_tasks(failed)}

try:
    client.start_attempt(workflow, session_time="2026-03-01T00:00:00+09:00")
except Exception as e:  # noqa: BLE001 - which one it raises is the client's business
    said["conflict"] = "409" in str(e) or "Conflict" in type(e).__name__ or str(failed.id) in str(e)

pathlib.Path(missing).write_text("a\n")
answer = requests.put(
    f"http://{endpoint}/api/attempts",
    headers={"Authorization": f"TD1 {key}"},
    json={
        "workflowId": workflow.id, "sessionTime": "2026-03-01T00:00:00+09:00", "params": {"rows": 21}, "retryAttemptName": "again",
        "resume": {"mode": "failed", "attemptId": failed.id},
    },
    timeout=30,
)
resumed = client.wait_attempt(int(answer.json()["id"]), wait_interval=1)
said["resumed"] = [resumed.status, resumed.index, resumed.retryAttemptName]
said["log"] = [line for text in client.logs(resumed) for line in text.splitlines() if "42" in line][0].split(") ")[1]
said["retries"] = len(client.retried_attempts(failed))
said["attempts"] = [len(client.attempts(project="default", workflow="daily")), len(client.attempts(include_retried=True))]

session = client.sessions()[0]
said["session"] = [session.sessionTime.isoformat() if hasattr(session.sessionTime, "isoformat") else session.sessionTime, len(client.session_attempts(session))]
said["project_sessions"] = len(client.project_sessions(project))
said["revisions"] = [r.revision for r in client.project_revisions(project)]

schedule = client.schedules()[0]
said["schedule"] = schedule.workflow.name
said["disabled"] = client.disable_schedule(schedule).disabledAt is not None
said["enabled"] = client.enable_schedule(schedule).disabledAt is None
backfill = client.backfill_schedule(schedule, attempt_name="b", from_time=datetime(2026, 1, 1, tzinfo=timezone.utc), count=1)
said["backfill"] = len(backfill.attempts)
for _ in range(100):
    found = [a for a in client.attempts(workflow="nightly") if a.done]
    if found:
        break
    time.sleep(0.2)
said["backfilled"] = [found[0].status, found[0].retryAttemptName]

held = client.start_attempt(by_name["held"], session_time="2026-03-01T00:00:00+00:00")
client.kill_attempt(held)
said["killed"] = client.wait_attempt(held, wait_interval=1).status
print(json.dumps(said))
