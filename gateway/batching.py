"""Writing to sockets in batches: a system call for each piece would cost more than all the rest of a call."""

import asyncio


class BatchingWriter:
    """Collects what is written within one tick of the loop and hands it to the transport at once."""

    __slots__ = ("_loop", "_parts", "_transport")

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Writes with the others of this tick."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)

    def flush(self) -> None:
        """Writes now, as before the transport is closed."""
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.writelines(parts)
