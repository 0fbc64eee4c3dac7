"""A peer that is one Python program: workers that run its steps, and a client that takes the times of chains."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.peers.install import installed, last_line
from tests.bench.peers.peer import UnavailableError
from tests.support.processes import running
from troupe.local.launch import Launch

SCRIPTS = Path(__file__).parent
CLIENT_TIMEOUT_SECONDS = 120.0


@dataclass(kw_only=True)
class ProgramPeer:
    """Its scripts are in the folder `program`; `client.py` there speaks what `client/chains.py` describes."""

    name: str
    label: str
    program: str
    requirements: Sequence[str]
    database: int = 0
    workers: Sequence[Sequence[str]] = ()
    """Arguments of its Python, one worker command each."""
    clients: int = 1
    """Client processes of a throughput run; a peer that runs the steps in its client may need one a core."""
    most_in_flight: int | None = None
    """Where more chains in flight than this lower its rate."""
    env: Mapping[str, str] = field(default_factory=dict)
    _python: Path = field(init=False)
    _folder: Path = field(init=False)
    _client_env: dict[str, str] = field(init=False)

    @asynccontextmanager
    async def running(self, redis_url: str, folder: Path) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await self.start(stack, redis_url, folder)
            await self.latencies(1)
            yield

    async def start(self, stack: AsyncExitStack, redis_url: str, folder: Path) -> None:
        """Installs it and starts its workers."""
        self._python = await installed(folder / f"{self.program}-venv", self.requirements)
        self._folder = folder / self.name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._client_env = {
            "PYTHONPATH": f"{SCRIPTS / self.program}{os.pathsep}{SCRIPTS / 'client'}",
            "PEER_REDIS": f"{redis_url}/{self.database}",
            "PEER_FOLDER": str(self._folder),
            **self.env,
        }
        for number, arguments in enumerate(self.workers):
            launch = Launch([str(self._python), *arguments], self._client_env)
            stack.enter_context(running(launch, log=self._folder / f"worker-{number}.log"))

    async def latencies(self, count: int) -> list[float]:
        (answer,) = await self._clients(1, "latencies", str(count))
        return [float(value) for value in answer["latencies_ms"]]

    async def throughput(self, count: int, concurrency: int) -> float:
        in_flight = min(concurrency, self.most_in_flight or concurrency)
        each, lanes = max(1, count // self.clients), max(1, in_flight // self.clients)
        answers = await self._clients(self.clients, "throughput", str(each), str(lanes))
        seconds = max(answer["ended_s"] for answer in answers) - min(answer["began_s"] for answer in answers)
        return each * self.clients / float(seconds)

    async def _clients(self, number: int, *arguments: str) -> list[dict[str, Any]]:
        clients = [await self._client(index, *arguments) for index in range(number)]
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_SECONDS):
                for client in clients:
                    await self._line(client)
                for client in clients:
                    assert client.stdin is not None
                    client.stdin.write(b"\n")
                return [await self._line(client) for client in clients]
        except TimeoutError as error:
            raise UnavailableError(f"`{self.name}` did not answer within {CLIENT_TIMEOUT_SECONDS:.0f} s") from error
        finally:
            for client in clients:
                await _ended(client)

    async def _client(self, index: int, *arguments: str) -> asyncio.subprocess.Process:
        script = str(SCRIPTS / self.program / "client.py")
        env = {**os.environ, **self._client_env, "PEER_CLIENT": str(index)}
        with self._log.open("ab") as log:
            pipe = subprocess.PIPE
            return await asyncio.create_subprocess_exec(
                self._python, script, *arguments, env=env, stdin=pipe, stdout=pipe, stderr=log, limit=1 << 24
            )

    async def _line(self, client: asyncio.subprocess.Process) -> dict[str, Any]:
        assert client.stdout is not None
        while line := await client.stdout.readline():
            # A peer may print a line of its own, which is no JSON object.
            with suppress(json.JSONDecodeError):
                answer = json.loads(line)
                if isinstance(answer, dict):
                    return answer
        raise UnavailableError(f"the client of `{self.name}` failed: {last_line(self._log.read_bytes())!r}")

    @property
    def _log(self) -> Path:
        return self._folder / "client.log"


async def _ended(client: asyncio.subprocess.Process) -> None:
    assert client.stdin is not None
    client.stdin.close()
    try:
        async with asyncio.timeout(5):
            await client.wait()
    except TimeoutError:
        client.kill()
        await client.wait()
