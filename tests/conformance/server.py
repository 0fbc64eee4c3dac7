"""The server under test: the suite's service on grpcio, and the gateway in front of it.

    python -m tests.conformance.server DESCRIPTORS

is started by the suite's runner, which says on its standard input what it wants to test and reads from its standard
output where the server is. It serves until SIGTERM. https://connectrpc.com/conformance, docs/testing_servers.md.
"""

import asyncio
import logging
import os
import signal
import struct
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import grpc.aio
import uvloop

from tests.conformance.contract import SERVICE, Contract
from tests.conformance.service import ConformanceService
from tests.support.processes import until
from troupe.core.logs import LogSettings, configure
from troupe.core.server import Drain
from troupe.gateway.process import serve
from troupe.gateway.settings import GatewaySettings
from troupe.local.launch import free_port

_HOST = "127.0.0.1"
_SIZE = struct.Struct(">I")
_CONNECT = 1


def read_message(source: BinaryIO, message: Any) -> Any:
    """Reads a message behind its size."""
    (size,) = _SIZE.unpack(source.read(_SIZE.size))
    message.ParseFromString(source.read(size))
    return message


def write_message(sink: BinaryIO, message: Any) -> None:
    """Writes a message behind its size."""
    body = message.SerializeToString()
    sink.write(_SIZE.pack(len(body)) + body)
    sink.flush()


@asynccontextmanager
async def serving_service(contract: Contract, *, max_message_bytes: int) -> AsyncIterator[str]:
    """Serves the suite's service inside the block; yields the address."""
    # The gateway bounds what a message has on the wire. What it has when it is unpacked only the backend knows.
    options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", max_message_bytes or -1)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers([ConformanceService(contract).handler()])
    port = server.add_insecure_port(f"{_HOST}:0")
    await server.start()
    try:
        yield f"{_HOST}:{port}"
    finally:
        await server.stop(0)


def gateway_settings(request: Any, contract: Contract, *, listen: str, backend: str, folder: Path) -> GatewaySettings:
    """What the gateway needs for what the runner wants to test, and no more: gRPC-Web and gRPC need no schema."""
    settings: dict[str, Any] = {}
    if request.message_receive_limit:
        settings["max_message_bytes"] = request.message_receive_limit
    pem = {
        "tls_certificate": request.server_creds.cert,
        "tls_key": request.server_creds.key,
        "tls_client_ca": request.client_tls_cert,
    }
    for name, content in pem.items():
        if content:
            path = folder / f"{name}.pem"
            path.write_bytes(content)
            settings[name] = str(path)
    if request.protocol == _CONNECT:
        settings["descriptors"] = (str(contract.descriptors),)
    return GatewaySettings(
        listen=listen, backends=(backend,), services=(SERVICE,), access_log=False, grace_seconds=0, **settings
    )


async def main(contract: Contract, source: BinaryIO, sink: BinaryIO) -> None:
    """Serves what the runner asks for."""
    drain = Drain()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain.start)
    request = read_message(source, contract.message("ServerCompatRequest")())
    port = free_port(host=_HOST)

    async def listens() -> bool:
        _, writer = await asyncio.open_connection(_HOST, port)
        writer.close()
        return True

    with tempfile.TemporaryDirectory() as folder:
        async with (
            serving_service(contract, max_message_bytes=request.message_receive_limit) as backend,
            asyncio.TaskGroup() as group,
        ):
            listen = f"{_HOST}:{port}"
            settings = gateway_settings(request, contract, listen=listen, backend=backend, folder=Path(folder))
            group.create_task(serve(settings, drain))
            await until(listens)
            write_message(
                sink,
                contract.message("ServerCompatResponse")(host=_HOST, port=port, pem_cert=request.server_creds.cert),
            )


def _of_interest(record: logging.LogRecord) -> bool:
    """Many cases break off their calls, and grpcio logs an error with its stack for each answer that it then has."""
    return not record.getMessage().startswith("ExecuteBatchError")


if __name__ == "__main__":
    # The runner reads standard output, so whatever else is printed goes to standard error.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    configure("conformance", LogSettings(level="warning"))
    logging.getLogger("grpc._cython.cygrpc").addFilter(_of_interest)
    uvloop.run(main(Contract(Path(sys.argv[1])), sys.stdin.buffer, answers))
