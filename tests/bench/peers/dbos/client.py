"""DBOS: a workflow of three steps in the client's own process, its system database in SQLite.

DBOS leaves SQLite's defaults, a rollback journal and a sync at each commit; a write-ahead log serves it better.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chains import START, check, measure
from dbos import DBOS
from sqlalchemy import Engine, event


@DBOS.step()
def step_1(value: str) -> str:
    return value + "1"


@DBOS.step()
def step_2(value: str) -> str:
    return value + "2"


@DBOS.step()
def step_3(value: str) -> str:
    return value + "3"


@DBOS.workflow()
def chain(value: str) -> str:
    return step_3(step_2(step_1(value)))


async def one() -> str:
    return chain(START)


async def many(count: int, concurrency: int) -> None:
    with ThreadPoolExecutor(concurrency) as threads:
        for result in [threads.submit(chain, START) for _ in range(count)]:
            check(result.result())


@event.listens_for(Engine, "connect")
def as_redis_syncs(connection, _record) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={os.environ['PEER_SYNCHRONOUS']}")


def main() -> None:
    database = Path(os.environ["PEER_FOLDER"]) / f"system-{os.environ['PEER_CLIENT']}.sqlite"
    DBOS(
        config={
            "name": "chain",
            "system_database_url": f"sqlite:///{database}",
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    asyncio.run(measure(one, many))
    DBOS.destroy()


main()
