"""Three no-op tasks, results kept, acknowledged late."""

import os

from celery import Celery

app = Celery("chain_tasks", broker=os.environ["PEER_REDIS"], backend=os.environ["PEER_REDIS"])
app.conf.task_acks_late = True


@app.task
def step_1(value: str) -> str:
    return value + "1"


@app.task
def step_2(value: str) -> str:
    return value + "2"


@app.task
def step_3(value: str) -> str:
    return value + "3"
