"""How a gateway that serves HTTPS is asked for its health."""

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from troupe.local import probes


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    status = b"200 OK" if request.startswith(b"GET /healthz ") else b"404 Not Found"
    writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def test_https_is_asked_whosever_certificate_it_has(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue("elsewhere.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with await asyncio.start_server(_answer, "127.0.0.1", 0, ssl=context) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await probes.https_healthy(address)()
        with pytest.raises(OSError):  # noqa: PT011 - cut by either side, in words of its own
            await probes.http_healthy(address)()


async def test_nobody_is_not_well() -> None:
    for kind, probe in probes.KINDS.items():
        for address in ("127.0.0.1:1", "unix:/no/such/socket"):
            with pytest.raises(OSError, match=r".") as problem:
                await probe(address)()
            assert problem.value is not None, kind
