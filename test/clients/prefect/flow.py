"""A flow of Prefect that asks a person, and goes on with the answer."""

from prefect import flow, get_run_logger, pause_flow_run, task
from prefect.input import RunInput


class Answer(RunInput):
    approved: bool
    note: str = "none"


@task
def add(a, b):
    return a + b


@flow(name="Ask Somebody")
def ask(n: int):
    total = add(n, 1)
    get_run_logger().info("asking about %s", total)
    answer = pause_flow_run(wait_for_input=Answer, timeout=600, poll_interval=1)
    return {"approved": answer.approved, "note": answer.note, "total": total}


if __name__ == "__main__":
    print("RESULT", ask(5))
