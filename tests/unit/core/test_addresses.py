"""Addresses as people give them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from troupe.core.addresses import HostPort, grpc_target, host_port
from troupe.core.settings import GrpcTarget, SettingsError
from troupe.local.given import Given


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1:7000", "localhost:1", "agents.example:65535", "[::1]:7000", "my-host_2:80", "[fe80::1%eth0]:7000"),
        *(
            "unix:/run/agent.sock",
            "unix:/a b",
            "unix-abstract:agents",
            "dns:///agents:7000",
            "ipv4:10.0.0.1:7000,10.0.0.2:7000",
        ),
    ],
)
def test_an_agent_is_at_a_host_and_port_or_at_another_target_of_grpc(text: str) -> None:
    assert grpc_target(f" {text} ") == text
    assert TypeAdapter(GrpcTarget).validate_python(f" {text} ") == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "localhost", ":7000", "host:", "host:abc", "host:65536", "host:-1", "http://host:7000", "a b:1"),
        *("host:0", "host:٣", "::1:7000", "user@host:1", "unix:", "host:7000/path"),
        *("vsock:3:1024", "[1.2.3.4]:1", "[fe80::1%]:1", "[::1%a b]:1", "a\x00b:1", "unix:/a\nb", "h?x:1", "dns:a b:1"),
    ],
)
def test_what_is_no_address_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no HOST:PORT, such as 127\.0\.0\.1:7000|has port 0") as refused:
        grpc_target(text)
    assert repr(text) in str(refused.value)
    with pytest.raises(ValidationError):
        TypeAdapter(GrpcTarget).validate_python(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("127.0.0.1:1", ("127.0.0.1:1",)),
        ("127.0.0.1:1, host:2 ,[::1]:3", ("127.0.0.1:1", "host:2", "[::1]:3")),
        ('["a:1", "b:2"]', ("a:1", "b:2")),
        ("a:1,,a:1,", ("a:1",)),
        ("[]", ()),
        ("", ()),
        ("[::1]:3", ("[::1]:3",)),
    ],
)
def test_a_setting_holds_addresses_between_commas_or_a_list(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TROUPE_WORKER__AGENTS", value)
    assert Given.load().own_agents == expected


@pytest.mark.parametrize("value", ["localhost", "[1]", '{"a": 1}', "a:1 b:2", "http://a:1", "7"])
def test_a_setting_that_holds_none_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TROUPE_ORCHESTRATOR__AGENTS", value)
    with pytest.raises(SettingsError, match=r"`orchestrator\.agents"):
        Given.load()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", "h:6379"),
        ("redis://me:pass@h:1/2", "h:1"),
        ("redis://me:pa%2Fss@h1:1,h2:2,h3:3", "h1:1"),
        ("rediss://[::1]:3", "[::1]:3"),
        ("h:4", "h:4"),
        ("http://h:19530/db", "h:19530"),
    ],
)
def test_where_a_server_of_a_url_listens(url: str, expected: str) -> None:
    assert str(host_port(url, 6379)) == expected


@pytest.mark.parametrize("url", ["redis://", "redis://h:x", "redis://:1", "", "redis://h:99999"])
def test_a_url_without_a_host_or_a_port_that_can_be(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller says whose it is
        host_port(url, 6379)


@pytest.mark.parametrize(
    ("listen", "reached"),
    [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("127.0.0.1:1", "127.0.0.1:1"), ("host:1", "host:1")],
)
def test_all_interfaces_are_reached_on_loopback(listen: str, reached: str) -> None:
    assert str(HostPort.parse(listen).reachable) == reached
