"""The same chain on Celery: three no-op tasks, results kept. Run by a Python that has `celery[redis]`.

worker: celery -A noop_chain worker --concurrency 2 --prefetch-multiplier 1
client: python noop_chain.py COUNT   prints the latency of each chain in ms, one a line
"""

import os
import sys
import time

from celery import Celery, chain

app = Celery("noop_chain", broker=os.environ["PEER_REDIS"], backend=os.environ["PEER_REDIS"])
app.conf.task_acks_late = True


@app.task
def noop(_value: str = "") -> str:
    return "done"


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        began = time.perf_counter()
        chain(noop.s(""), noop.s(), noop.s()).apply_async().get(interval=0.001)
        print((time.perf_counter() - began) * 1000)
