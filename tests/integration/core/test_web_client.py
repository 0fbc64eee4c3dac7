"""The guarded client against real servers."""

import asyncio
import ssl
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.certificates import Authority
from tests.support.web_receiver import answer, receiving
from troupe.core.web.addresses import AddressRules, IpAddress
from troupe.core.web.client import WebClient
from troupe.core.web.errors import ForbiddenAddressError, UnreachableError, WebTimeoutError

LOOPBACK = AddressRules((ip_network("127.0.0.0/8"), ip_network("::1/128")))


class Names:
    """A lookup that knows one answer after the other; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.lookups = 0

    async def addresses(self, host: str) -> Sequence[IpAddress]:
        self.lookups += 1
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ip_address(address) for address in found]

    async def close(self) -> None:
        pass


async def test_a_call_and_its_answer() -> None:
    async with receiving(answer(201, text="made", x_id="7")) as receiver, client() as web_client:
        url = f"http://127.0.0.1:{receiver.port}/a?b=c"
        response = await web_client.request("POST", url, body=b"{}", headers={"x-a": "1"}, max_body_bytes=100)

    assert (response.status, response.body, response.truncated) == (201, b"made", False)
    assert response.headers["X-Id"] == "7"
    (request,) = receiver.received
    assert (request.method, request.path, request.body, request.headers["x-a"]) == ("POST", "/a?b=c", b"{}", "1")
    assert request.headers["user-agent"].startswith("troupe/")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"])
async def test_loopback_is_refused_by_any_name(host: str) -> None:
    async with receiving(answer(200)) as receiver, client(AddressRules()) as web_client:
        with pytest.raises(ForbiddenAddressError):
            await web_client.request("GET", f"http://{host}:{receiver.port}/", max_body_bytes=10)
    assert not receiver.received


async def test_no_way_around_the_check_leads_to_a_connection() -> None:
    async with receiving(answer(200)) as receiver, client(AddressRules()) as web_client:
        with pytest.raises(ForbiddenAddressError):
            await web_client._session.get(f"http://127.0.0.1:{receiver.port}/")
    assert not receiver.received


async def test_a_name_that_changes_its_address_is_asked_once() -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    async with receiving(answer(200)) as receiver, client(names=names) as web_client:
        url = f"http://rebinding.example:{receiver.port}/"
        assert (await web_client.request("GET", url, max_body_bytes=10)).status == 200
        assert names.lookups == 1
        with pytest.raises(ForbiddenAddressError):
            await web_client.request("GET", url, max_body_bytes=10)
    assert receiver.received[0].headers["host"] == f"rebinding.example:{receiver.port}"


async def test_redirects_are_answers() -> None:
    async with receiving(answer(200)) as inner:
        redirect = answer(302, location=f"http://127.0.0.1:{inner.port}/inner")
        async with receiving(redirect) as receiver, client() as web_client:
            response = await web_client.request("GET", f"http://127.0.0.1:{receiver.port}/", max_body_bytes=10)
    assert response.status == 302
    assert not inner.received


async def test_no_more_of_a_body_is_read_than_was_asked_for() -> None:
    sent_bytes = 0
    gone = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent_bytes
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(1 << 16))
                sent_bytes += 1 << 16
        finally:
            gone.set()

    async with receiving(endless) as receiver, client() as web_client:
        response = await web_client.request("GET", f"http://127.0.0.1:{receiver.port}/", max_body_bytes=1000)
        async with asyncio.timeout(5):
            await gone.wait()
    assert (len(response.body), response.truncated) == (1000, True)
    assert sent_bytes < 32 << 20, "what sockets buffer, no more"


@pytest.mark.parametrize(("limit", "truncated"), [(9, True), (10, False), (11, False)])
async def test_a_body_as_long_as_the_limit_is_whole(limit: int, truncated: bool) -> None:
    async with receiving(answer(200, text="0123456789")) as receiver, client() as web_client:
        response = await web_client.request("GET", f"http://127.0.0.1:{receiver.port}/", max_body_bytes=limit)
    assert (response.body, response.truncated) == (b"0123456789"[:limit], truncated)


async def test_a_body_stays_compressed_so_that_it_cannot_explode() -> None:
    async with receiving(answer(200, text="zipped", content_encoding="gzip")) as receiver, client() as web_client:
        response = await web_client.request("GET", f"http://127.0.0.1:{receiver.port}/", max_body_bytes=100)
    assert receiver.received[0].headers["accept-encoding"] == "identity"
    assert response.body == b"zipped"


async def test_a_body_that_drips_runs_into_the_timeout() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.02)

    async with receiving(drip) as receiver, client(timeout_seconds=0.3) as web_client:
        with pytest.raises(WebTimeoutError, match=r"127\.0\.0\.1"):
            await web_client.request("GET", f"http://127.0.0.1:{receiver.port}/s3cret", max_body_bytes=1000)


async def test_cookies_and_proxies_of_the_environment_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(answer(200, set_cookie="a=b")) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        async with client(names=Names(["127.0.0.1"])) as web_client:
            for _ in range(2):
                url = f"http://receiver.example:{receiver.port}/"
                assert (await web_client.request("GET", url, max_body_bytes=0)).status == 200
    assert "cookie" not in receiver.received[1].headers


async def test_what_cannot_be_reached_says_so_without_the_path(unused_tcp_port: int) -> None:
    async with client() as web_client:
        for host in (f"127.0.0.1:{unused_tcp_port}", f"{'a' * 64}.example"):
            with pytest.raises(UnreachableError, match=host.partition(":")[0]) as caught:
                await web_client.request("GET", f"http://{host}/s3cret?s3cret", max_body_bytes=0)
            assert "s3cret" not in str(caught.value)


async def test_a_server_that_speaks_no_http() -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server, client() as web_client:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UnreachableError):
            await web_client.request("GET", f"http://127.0.0.1:{port}/", max_body_bytes=0)


async def test_certificates_are_checked_against_the_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(*authority.issue("receiver.example"))
    trusting = ssl.create_default_context(cafile=authority.path)
    names = Names(["127.0.0.1"])
    async with receiving(answer(200), tls=server_tls) as receiver:
        async with client(names=names, tls=trusting) as web_client:
            url = f"https://receiver.example:{receiver.port}/"
            assert (await web_client.request("GET", url, max_body_bytes=0)).status == 200
            with pytest.raises(UnreachableError, match="Certificate"):
                await web_client.request("GET", f"https://other.example:{receiver.port}/", max_body_bytes=0)
        async with client(names=names) as web_client:
            with pytest.raises(UnreachableError, match="Certificate"):
                await web_client.request("GET", url, max_body_bytes=0)
    assert len(receiver.received) == 1


def client(
    rules: AddressRules = LOOPBACK,
    *,
    timeout_seconds: float = 5,
    names: Names | None = None,
    tls: ssl.SSLContext | None = None,
) -> WebClient:
    return WebClient(rules=rules, timeout_seconds=timeout_seconds, lookup=names, tls=tls)
