"""LangGraph: a graph of three nodes in the client's own process, a thread (one run) each time."""

import os
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

import aiosqlite
import uvloop
from chains import START, in_flight, measure
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, StateGraph
from langgraph.graph import START as ENTRY


class State(TypedDict):
    value: str


def node(number: int):
    async def step(state: State) -> State:
        return {"value": state["value"] + str(number)}

    return step


def graph(saver):
    builder = StateGraph(State)
    names = [f"step_{number}" for number in (1, 2, 3)]
    for number, name in enumerate(names, start=1):
        builder.add_node(name, node(number))
    for before, after in zip([ENTRY, *names], [*names, END], strict=True):
        builder.add_edge(before, after)
    return builder.compile(checkpointer=saver)


@asynccontextmanager
async def saver():
    if os.environ["PEER_SAVER"] == "memory":
        yield InMemorySaver()
        return
    path = Path(os.environ["PEER_FOLDER"]) / f"checkpoints-{os.environ['PEER_CLIENT']}.sqlite"
    async with aiosqlite.connect(path) as connection:
        await connection.execute(f"PRAGMA synchronous={os.environ['PEER_SYNCHRONOUS']}")
        yield AsyncSqliteSaver(connection)


async def main() -> None:
    async with saver() as checkpoints:
        chain = graph(checkpoints)

        async def one() -> str:
            config = {"configurable": {"thread_id": uuid.uuid4().hex}}
            return (await chain.ainvoke({"value": START}, config, durability="sync"))["value"]

        await measure(one, in_flight(one))


uvloop.run(main())
