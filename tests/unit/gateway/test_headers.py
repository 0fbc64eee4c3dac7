"""The small grammars of headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.gateway.application import ServiceAllowList
from troupe.gateway.wire import cors, percent, status
from troupe.gateway.wire.cors import CorsPolicy
from troupe.gateway.wire.media import Media, parse_media
from troupe.gateway.wire.status import Code
from troupe.gateway.wire.timeout import TimeoutFormatError, parse_grpc_timeout


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_messages_survive_percent_encoding(message: str) -> None:
    encoded = percent.encode(message)
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert percent.decode(encoded) == message


@given(st.binary())
def test_any_value_is_decoded(value: bytes) -> None:
    percent.decode(value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"250m", 0.25), (b"7u", 7e-6), (b"99999999n", 0.099999999), (b"0S", 0)],
)
def test_timeouts(value: bytes, seconds: float) -> None:
    assert parse_grpc_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [b"", b"1", b"S", b"-1S", b"1.5S", b"123456789S", b"1s", b"1S ", b"\xd9\xa1S"])
def test_timeouts_that_are_none(value: bytes) -> None:
    with pytest.raises(TimeoutFormatError, match="grpc-timeout"):
        parse_grpc_timeout(value)


@pytest.mark.parametrize(
    ("content_type", "accept", "media"),
    [
        (b"application/grpc-web", b"", Media(False, False, b"")),
        (b"application/grpc-web+proto", b"*/*", Media(False, False, b"+proto")),
        (b"Application/GRPC-Web-Text+proto; charset=utf-8", b"", Media(True, True, b"+proto")),
        (b"application/grpc-web-text", b"application/grpc-web-text", Media(True, True, b"")),
        (b"application/grpc-web-text", b"application/grpc-web+proto", Media(True, False, b"")),
        (b"application/grpc-web+json", b"application/grpc-web-text", Media(False, True, b"+json")),
        (b"application/grpc", b"", None),
        (b"application/grpc-webx", b"", None),
        (b"application/json", b"", None),
        (b"", b"", None),
    ],
)
def test_media(content_type: bytes, accept: bytes, media: Media | None) -> None:
    assert parse_media(content_type, accept) == media


def test_http_statuses_mean_codes() -> None:
    assert status.of_http(503) is Code.UNAVAILABLE
    assert status.of_http(404) is Code.UNIMPLEMENTED
    assert status.of_http(418) is Code.UNKNOWN


def test_resets_mean_codes() -> None:
    assert status.of_reset(7) is Code.UNAVAILABLE
    assert status.of_reset(8) is Code.CANCELLED
    assert status.of_reset(2) is Code.INTERNAL


@pytest.mark.parametrize(("value", "name"), [(b"5", "NOT_FOUND"), (b"99", "UNKNOWN"), (b"x", "UNKNOWN")])
def test_names_of_statuses(value: bytes, name: str) -> None:
    assert status.name_of(value) == name


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), b"https://a.example", False),
        ((), b"http://gate:8080", True),
        ((), b"", True),
        (("https://a.example",), b"https://a.example", True),
        (("https://a.example",), b"https://a.example.evil", False),
        (("https://a.example",), b"https://axexample", False),
        (("http://localhost:*",), b"http://localhost:99999", True),
        (("http://localhost:*",), b"http://localhost", True),
        (("http://localhost:*",), b"http://localhost:1.evil", False),
        (("*",), b"https://anything.example", True),
    ],
)
def test_origins(origins: tuple[str, ...], origin: bytes, allowed: bool) -> None:
    assert CorsPolicy(origins).allows(origin, b"gate:8080") is allowed


def test_every_metadata_header_is_exposed_once() -> None:
    headers = dict(cors.response_headers(b"https://a", (b"x-a", b"grpc-status", b"x-a")))
    names = headers[b"access-control-expose-headers"].split(b", ")
    assert names == [b"grpc-status", b"grpc-message", b"grpc-status-details-bin", b"x-request-id", b"x-a"]


@pytest.mark.parametrize(
    ("service", "allowed"),
    [
        ("troupe.api.orchestrator.v1.OrchestratorService", True),
        ("grpc.health.v1.Health", True),
        ("grpc.health.v1.HealthX", False),
        ("grpc.reflection.v1alpha.ServerReflection", False),
        ("troupe.api", False),
        ("troupe.apix.Service", False),
        ("", False),
    ],
)
def test_services(service: str, allowed: bool) -> None:
    assert ServiceAllowList(("troupe.api.*", "grpc.health.v1.Health")).allows(service) is allowed
