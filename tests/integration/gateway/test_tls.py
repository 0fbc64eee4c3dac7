"""TLS: both versions by ALPN, client certificates, files that change."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.certificates import Authority
from tests.support.web_http2 import Http2Client
from troupe.core.server import StartupError
from troupe.gateway.downstream.exchange import Downstream
from troupe.gateway.downstream.http1 import Http1Limits
from troupe.gateway.server import WebServer
from troupe.gateway.tls import ServerTls, TlsFiles
from troupe.gateway.wire import http2
from troupe.gateway.wire.request import RequestHead


class Versions:
    """An application that says over which version it was asked."""

    def handle(self, head: RequestHead, downstream: Downstream) -> None:
        body = b"2" if head.http2 else b"1"
        downstream.start(200, (), length=1)
        downstream.end(body)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def serving(tls: ServerTls) -> AsyncIterator[str]:
    server = WebServer(application=Versions(), limits=Http1Limits(), max_connections=10, tls=tls)
    async with server.listening("127.0.0.1:0") as address:
        yield address
        await server.close()


async def greeted(address: str, context: ssl.SSLContext) -> str:
    """The name in the certificate that a new connection is shown, once a request is answered over it."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        raise ConnectionError("the server closed") from None
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    certificate = writer.get_extra_info("peercert")
    return str(dict(pair for group in certificate["subject"] for pair in group)["commonName"])


@pytest.mark.parametrize(("alpn", "body"), [(("h2", "http/1.1"), b"2"), (("http/1.1",), b"1"), ((), b"1")])
async def test_version_by_alpn(authority: Authority, alpn: tuple[str, ...], body: bytes) -> None:
    async with serving(ServerTls(TlsFiles(*authority.issue("first")))) as address:
        context = authority.client(*alpn)
        if body == b"1":
            assert await greeted(address, context) == "first"
        else:
            async with Http2Client.open(address, tls=context) as client:
                response = await client.response(client.send("GET", "/", {}))
                assert response.body == body


async def test_http2_by_its_preface_where_alpn_says_nothing(authority: Authority) -> None:
    async with (
        serving(ServerTls(TlsFiles(*authority.issue("first")))) as address,
        Http2Client.open(address, tls=authority.client()) as client,
    ):
        assert (await client.response(client.send("GET", "/", {}))).body == b"2"


async def test_a_client_of_another_make(authority: Authority) -> None:
    async with (
        serving(ServerTls(TlsFiles(*authority.issue("first")))) as address,
        httpx2.AsyncClient(http2=True, verify=authority.client()) as client,
    ):
        answers = await asyncio.gather(*[client.get(f"https://{address}/") for _ in range(20)])
    assert {(answer.http_version, answer.content) for answer in answers} == {("HTTP/2", b"2")}


async def test_old_tls_is_refused(authority: Authority) -> None:
    context = authority.client()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(ServerTls(TlsFiles(*authority.issue("first")))) as address:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await greeted(address, context)


async def test_client_certificates(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("first")
    stranger = Authority(tmp_path, "stranger")
    async with serving(ServerTls(TlsFiles(certificate, key, authority.path))) as address:
        context = authority.client("http/1.1")
        context.load_cert_chain(*authority.issue("friend"))
        assert await greeted(address, context) == "first"
        for other in (None, stranger.issue("foe")):
            context = authority.client("http/1.1")
            if other is not None:
                context.load_cert_chain(*other)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await greeted(address, context)


async def test_files_that_change_are_taken_up(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = authority.issue("first")
    newer = authority.issue("second")
    tls = ServerTls(TlsFiles(certificate, key))
    context = authority.client("h2", "http/1.1")
    async with serving(tls) as address, Http2Client.open(address, tls=context) as open_before:
        shutil.copy(newer[0], certificate)
        tls.refresh()
        tls.refresh()
        assert await greeted(address, authority.client()) == "first"
        assert capsys.readouterr().out.count("tls files not taken up") == 1
        shutil.copy(newer[1], key)
        tls.refresh()
        assert await greeted(address, authority.client()) == "second"
        certificate.unlink()
        tls.refresh()
        assert await greeted(address, authority.client()) == "second"
        assert (await open_before.response(open_before.send("GET", "/", {}))).body == b"2"


async def test_another_authority_of_clients_is_taken_up(authority: Authority, tmp_path: Path) -> None:
    trusted = tmp_path / "trusted.pem"
    shutil.copy(authority.path, trusted)
    tls = ServerTls(TlsFiles(*authority.issue("first"), trusted))
    stranger = Authority(tmp_path, "stranger")
    context = authority.client()
    context.load_cert_chain(*stranger.issue("friend"))
    async with serving(tls) as address:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await greeted(address, context)
        shutil.copy(stranger.path, trusted)
        tls.refresh()
        assert await greeted(address, context) == "first"


async def test_plain_bytes_on_the_port_of_tls(authority: Authority) -> None:
    async with serving(ServerTls(TlsFiles(*authority.issue("first")))) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(http2.PREFACE)
        assert not (await reader.read()).startswith(b"HTTP")
        writer.close()
        assert await greeted(address, authority.client()) == "first"


async def test_handshakes_that_do_not_end_count_as_connections_and_are_cut_off(authority: Authority) -> None:
    limits = Http1Limits(header_timeout_seconds=0.2)
    tls = ServerTls(TlsFiles(*authority.issue("first")))
    server = WebServer(application=Versions(), limits=limits, max_connections=1, tls=tls)
    async with server.listening("127.0.0.1:0") as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await greeted(address, authority.client())
        assert server.refusals()["connections_refused"] == 1
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


FIRST, FIRST_KEY, SECOND_KEY = "first.pem", "first.key.pem", "second.key.pem"
NO_PAIR = "are no certificate and its unencrypted key"


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ((FIRST, None, None), "set both or none"),
        ((None, FIRST_KEY, None), "set both or none"),
        ((None, None, "authority.pem"), "set both or none"),
        (("missing.pem", FIRST_KEY, None), "missing.pem' cannot be read"),
        ((FIRST, FIRST_KEY, "missing.pem"), "missing.pem' cannot be read"),
        ((FIRST, SECOND_KEY, None), NO_PAIR),
        ((FIRST_KEY, FIRST, None), NO_PAIR),
        ((FIRST, FIRST_KEY, FIRST_KEY), NO_PAIR),
    ],
)
def test_files_that_cannot_be_used(
    authority: Authority, tmp_path: Path, names: tuple[str | None, str | None, str | None], problem: str
) -> None:
    authority.issue("first")
    authority.issue("second")
    certificate, key, client_ca = (tmp_path / name if name is not None else None for name in names)
    with pytest.raises(StartupError, match=problem):
        start(certificate, key, client_ca)


def test_no_files_are_no_tls() -> None:
    assert TlsFiles.of(None, None, None) is None


def start(certificate: Path | None, key: Path | None, client_ca: Path | None) -> None:
    files = TlsFiles.of(certificate, key, client_ca)
    assert files is not None
    ServerTls(files)
