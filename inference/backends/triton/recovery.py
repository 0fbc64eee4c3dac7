"""Brings back models whose process died inside a Triton that lives on."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger
from troupe.inference.backends.triton.client import TritonClient
from troupe.inference.backends.triton.errors import PROCESS_LOST

_PAUSE_SECONDS: Final = 5.0


class Recovery:
    """Has Triton load lost models again: its python backend (2.51) calls them ready and never starts them anew."""

    def __init__(self, client: TritonClient) -> None:
        self._client = client
        self._lost: set[str] = set()
        self._found = asyncio.Event()

    @property
    def lost(self) -> frozenset[str]:
        """The models that are not back yet."""
        return frozenset(self._lost)

    @contextmanager
    def watching(self, model: str) -> Iterator[None]:
        """Learns from the errors of the calls inside."""
        try:
            yield
        except TroupeError as error:
            if error.metadata.get("cause") == PROCESS_LOST:
                self._lost.add(model)
                self._found.set()
            raise

    async def run(self) -> None:
        """Reloads what is lost until it is cancelled."""
        while True:
            await self._found.wait()
            self._found.clear()
            for model in self.lost:
                await self._reload(model)
            if self._lost:
                await asyncio.sleep(_PAUSE_SECONDS)
                self._found.set()

    async def _reload(self, model: str) -> None:
        log = get_logger()
        log.warning("model lost its process; Triton is to load it again", model=model)
        try:
            await self._client.reload(model)
        except TroupeError as error:
            log.warning(
                "model cannot be loaded again: run Triton with --model-control-mode=explicit, or restart it",
                model=model,
                problem=error.message,
            )
        else:
            self._lost.discard(model)
            log.info("model is back", model=model)
