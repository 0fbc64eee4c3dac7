"""Restate's client: one HTTP call of the ingress, which answers with the handler's result."""

import os

import aiohttp
import uvloop
from chains import START, in_flight, measure

URL = os.environ["PEER_INGRESS"] + "/Chain/run"


async def main() -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one() -> str:
            async with session.post(URL, json=START) as answer:
                answer.raise_for_status()
                return await answer.json()

        await measure(one, in_flight(one))


uvloop.run(main())
