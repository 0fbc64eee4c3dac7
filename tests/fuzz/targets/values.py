"""The small grammars of single headers."""

import re
from random import Random
from typing import Final

from tests.fuzz.target import Target, equal, hold
from troupe.gateway.wire import cors, percent, status
from troupe.gateway.wire.cors import CorsPolicy
from troupe.gateway.wire.hosts import HostPolicy
from troupe.gateway.wire.media import parse_media
from troupe.gateway.wire.timeout import TimeoutFormatError, parse_grpc_timeout

_POLICY: Final = CorsPolicy(("https://a.example", "http://localhost:*"))
_LISTED: Final = re.compile(rb"https://a\.example(?::0*(?:443)?)?|http://localhost(?::[0-9]{0,5})?", re.IGNORECASE)
_HOSTS: Final = HostPolicy(("a.example",), listen="127.0.0.1:8080", own_name="box")
_HOSTS_OF_ALL: Final = HostPolicy(("*",), listen="127.0.0.1:8080", own_name="box")
_KNOWN: Final = re.compile(
    rb"(?:localhost\.?|a\.example\.?|127(?:\.[0-9]{1,3}){3}\.?|\[[0:]*:0*1\]|\[::ffff:[0-9.:a-f]+\])(?::[0-9]{0,5})?",
    re.IGNORECASE,
)
_MEDIA: Final = (
    b"application/grpc-web", b"application/grpc-web-text", b"application/grpc-web+proto", b"application/grpc",
    b"application/grpc-web-text+json; charset=utf-8", b"Application/Grpc-Web+thrift", b"*/*", b"", b"text/plain",
)  # fmt: skip


def _media(random: Random) -> list[bytes]:
    return [b"%b\n%b" % (random.choice(_MEDIA), random.choice(_MEDIA)) for _ in range(64)]


def _check_media(data: bytes, _at: int) -> None:
    content_type, _, accept = data.partition(b"\n")
    media = parse_media(content_type, accept)
    if media is None:
        return
    hold(content_type.lower().startswith(b"application/grpc-web"), "a type that is none of gRPC-Web")
    equal(parse_media(media.response_type, b""), parse_media(media.response_type, media.response_type), "its own type")
    written = parse_media(media.response_type, b"")
    hold(written is not None and written.text == media.text_response, "the type of the response")
    hold(media.codec in media.request_type, "the codec is lost")


def _timeouts(random: Random) -> list[bytes]:
    return [b"%d%c" % (random.randrange(10 ** random.randrange(1, 10)), random.choice(b"HMSmun")) for _ in range(64)]


def _check_timeout(data: bytes, _at: int) -> None:
    try:
        seconds = parse_grpc_timeout(data)
    except TimeoutFormatError:
        hold(not data[:-1].isdigit() or not 1 < len(data) < 10 or data[-1] not in b"HMSmun", "a timeout was refused")
        return
    scale = {b"H": 3_600_000_000_000, b"M": 60_000_000_000, b"S": 10**9, b"m": 10**6, b"u": 1000, b"n": 1}[data[-1:]]
    hold(abs(seconds * 1e9 - int(data[:-1]) * scale) <= 1e-6 * int(data[:-1]) * scale, f"{seconds} seconds")


def _messages(random: Random) -> list[bytes]:
    parts = ["a", " ", "%", "ü", "\n", "\u20ac", "\U0001f600", "%41", "%zz"]
    return ["".join(random.choices(parts, k=random.randrange(12))).encode() for _ in range(64)]


def _check_percent(data: bytes, _at: int) -> None:
    percent.decode(data)
    text = data.decode("utf-8", "replace")
    encoded = percent.encode(text)
    hold(encoded.isascii() and (not encoded or min(encoded) >= 0x20) and b"\x7f" not in encoded, "not printable")
    equal(percent.decode(encoded), text, "a message encoded and decoded")


def _origins(random: Random) -> list[bytes]:
    origins = [b"https://a.example", b"http://localhost:5173", b"http://h", b"null", b"http://localhost", b""]
    return [b"%b\n%b" % (random.choice(origins), random.choice([b"h", b"h:1", b""])) for _ in range(64)]


def _plain(authority: bytes) -> bytes:
    """Without the port that is meant where none is said."""
    return re.sub(rb":0*(?:80)?$", b"", authority.lower())


def _check_host(host: bytes, _at: int) -> None:
    known = _KNOWN.fullmatch(host) is not None
    hold(not _HOSTS.allows(host) or known, "a foreign name is taken")
    hold(_HOSTS_OF_ALL.allows(host), "a name is refused where all are taken")


def _hosts(random: Random) -> list[bytes]:
    names = [b"localhost", b"127.0.0.1", b"[::1]", b"a.example", b"evil.example", b"evil.localhost", b"127.0.0.1.evil"]
    return [random.choice(names) + random.choice([b"", b":8080", b".", b":", b"@localhost"]) for _ in range(64)]


def _check_origin(data: bytes, _at: int) -> None:
    origin, _, host = data.partition(b"\n")
    own = not origin or _plain(origin) == b"http://" + _plain(host)
    listed = _LISTED.fullmatch(origin) is not None
    hold(not _POLICY.allows(origin, host) or own or listed, "a foreign origin may call")
    name = origin if b"\r" not in origin else b"x"
    hold(dict(cors.response_headers(name)).get(b"access-control-allow-origin", b"") == name, "another origin is named")
    status.name_of(host)


TARGETS: Final = (
    Target("media", "None, or a type whose answer is read the same", _media, (*_MEDIA, b"+", b";", b","), _check_media),
    Target(
        "timeout",
        "refused exactly when it breaks the grammar; exact",
        _timeouts,
        tuple(b"HMSmun0199"[i : i + 1] for i in range(10)),
        _check_timeout,
    ),
    Target(
        "percent",
        "what is written is printable and read again",
        _messages,
        (b"%", b"%4", b"%41", b"\xc3", b"\xed\xa0\x80"),
        _check_percent,
    ),
    Target(
        "hosts",
        "only loopback's names and those on the list are taken",
        _hosts,
        (b".", b":", b"[", b"]", b"@", b"localhost", b"127.", b"a.example", b"::1", b"%00"),
        _check_host,
    ),
    Target(
        "cors",
        "only listed origins, and the gateway's own pages, may call",
        _origins,
        (b"\n", b"//", b":", b"http://localhost:", b"https://a.example", b".evil"),
        _check_origin,
    ),
)
