"""A flow of Prefect that asks a person, and goes on with the answer."""

from prefect import flow, get_run_logger, pause_flow_run, task
from prefect.input import RunInput
from prefect.variables import Variable


class Answer(RunInput):
    approved: bool
    note: str = "none"


@task(tags=["sums"])
def add(a, b):
    return a + b


@flow(name="inner")
def one_more(n: int):
    return add(n, 1) + Variable.get("nobody-set-this", default=0)


@flow(name="Ask Somebody")
def ask(n: int):
    total = one_more(n)
    get_run_logger().info("asking about %s", total)
    answer = pause_flow_run(wait_for_input=Answer, timeout=600, poll_interval=1)
    return {"approved": answer.approved, "note": answer.note, "total": total}


if __name__ == "__main__":
    print("RESULT", ask(5))
