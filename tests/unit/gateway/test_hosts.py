"""Which names a gateway answers to, and which pages may call it."""

import pytest

from troupe.core.settings import SettingsError
from troupe.gateway.settings import GatewaySettings
from troupe.gateway.wire.cors import CorsPolicy
from troupe.gateway.wire.hosts import HostPolicy

LOOPBACK = [
    "localhost", "localhost:8080", "LOCALHOST:1", "localhost.", "localhost.:8080", "localhost:", "127.0.0.1:8080",
    "127.255.3.9", "[::1]", "[::1]:8080", "[0:0:0:0:0:0:0:1]:8080", "[::ffff:127.0.0.1]:8080",
]  # fmt: skip
NAMES = [
    "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example.",
    "notlocalhost", "localhost@evil.example", "evil.example@localhost", "evil.example#localhost", "localhost:80:80",
    "localhost:x", "localhost:999999", "", ":8080", ".", "..", "[localhost]", "[::1", "::1", "[::1]x", "localhost/",
    "local host", "l\xf6calhost", "localhost,evil.example", "2130706433", "[evil.example]",
]  # fmt: skip
ADDRESSES = ["10.1.2.3", "10.1.2.3:8080", "192.168.0.9", "8.8.8.8", "[fd00::7]:8080", "0.0.0.0:8080"]


def policy(*hosts: str, listen: str = "127.0.0.1:8080") -> HostPolicy:
    return HostPolicy(hosts, listen=listen, own_name="MyBox")


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:8080", "localhost:0", "[::1]:8080", "0.0.0.0:8080", "10.0.0.7:1", "::1:1"]
)
@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_is_always_known(host: str, listen: str) -> None:
    assert policy(listen=listen).allows(host.encode())


@pytest.mark.parametrize("listen", ["127.0.0.1:8080", "localhost:0", "[::1]:8080", "0.0.0.0:8080", "[::]:1", ":8080"])
@pytest.mark.parametrize("host", NAMES)
def test_any_other_name_is_not(host: str, listen: str) -> None:
    assert not policy(listen=listen).allows(host.encode("latin-1"))


@pytest.mark.parametrize("host", [*NAMES, *LOOPBACK, *ADDRESSES])
def test_all_are_where_the_list_says_so(host: str) -> None:
    assert policy("*").allows(host.encode("latin-1"))


@pytest.mark.parametrize("host", ADDRESSES)
def test_addresses_are_known_where_the_gateway_listens_on_more_than_loopback(host: str) -> None:
    assert not policy().allows(host.encode())
    assert not policy(listen="[::1]:8080").allows(host.encode())
    for listen in ("0.0.0.0:8080", "[::]:8080", ":::8080", "10.0.0.7:8080", "gate.example:8080"):
        assert policy(listen=listen).allows(host.encode()), listen


def test_the_name_of_the_machine_is_known_where_others_reach_it() -> None:
    assert policy(listen="0.0.0.0:8080").allows(b"mybox:8080")
    assert not policy().allows(b"mybox:8080")
    assert policy(listen="gate.example:8080").allows(b"gate.example:9")


@pytest.mark.parametrize(
    ("listed", "host", "allowed"),
    [
        ("agents.example", "agents.example", True),
        ("agents.example", "AGENTS.example.:443", True),
        ("agents.example", "x.agents.example", False),
        ("Agents.Example.", "agents.example", True),
        ("agents.example:443", "agents.example:443", True),
        ("agents.example:443", "agents.example:444", False),
        ("agents.example:443", "agents.example", False),
        ("*.example.org", "a.example.org", True),
        ("*.example.org", "a.b.example.org:8", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "evilexample.org", False),
        ("10.0.0.7", "10.0.0.7:80", True),
        ("10.0.0.7", "10.0.0.70", False),
        ("fd00::7", "[fd00:0::7]:80", True),
        ("[fd00::7]:80", "[fd00::7]:81", False),
    ],
)
def test_listed_names(listed: str, host: str, allowed: bool) -> None:
    assert policy(listed).allows(host.encode()) is allowed


OWN = "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://127.0.0.1:8080", OWN, True),
        ("HTTP://127.0.0.1:8080", OWN, True),
        ("http://gate", "gate:80", True),
        ("http://gate:80", "gate", True),
        ("http://GATE", "gate", True),
        ("http://gate", "GATE", True),
        ("http://[0::1]:8080", "[::1]:8080", True),
        ("https://127.0.0.1:8080", OWN, False),
        ("ftp://127.0.0.1:8080", OWN, False),
        ("ws://127.0.0.1:8080", OWN, False),
        ("http://127.0.0.1", OWN, False),
        ("http://127.0.0.1:8081", OWN, False),
        ("http://gate:443", "gate", False),
        ("https://gate", "gate", False),
        ("http://evil//127.0.0.1:8080", OWN, False),
        ("http://evil/127.0.0.1:8080", OWN, False),
        ("http://evil@127.0.0.1:8080", OWN, False),
        ("http://127.0.0.1:8080@evil", OWN, False),
        ("http://127.0.0.1:8080/", OWN, False),
        ("http://127.0.0.1:8080?", OWN, False),
        ("http://127.0.0.1:8080#", OWN, False),
        ("http://127.0.0.1:8080.", OWN, False),
        ("http://localhost.", "localhost", False),
        ("http://localhost", "localhost.", False),
        ("//127.0.0.1:8080", OWN, False),
        ("127.0.0.1:8080", OWN, False),
        ("://127.0.0.1:8080", OWN, False),
        ("http:127.0.0.1:8080", OWN, False),
        ("http:///127.0.0.1:8080", OWN, False),
        ("http:\\\\127.0.0.1:8080", OWN, False),
        ("http://127.0.0.1:8080, http://evil", OWN, False),
        ("http://evil, http://127.0.0.1:8080", OWN, False),
        (" http://127.0.0.1:8080", OWN, False),
        ("http://evil http://127.0.0.1:8080", OWN, False),
        ("null", "null", False),
        ("http://", "", False),
        ("h\xf6ttp://gate", "gate", False),
        ("http://evil.example", OWN, False),
    ],
)
def test_pages_of_the_gateway_itself(origin: str, host: str, allowed: bool) -> None:
    assert CorsPolicy(()).allows(origin.encode("latin-1"), host.encode()) is allowed


def test_pages_of_a_gateway_with_tls() -> None:
    with_tls = CorsPolicy((), scheme="https")
    assert with_tls.allows(b"https://gate", b"gate:443")
    assert not with_tls.allows(b"http://gate", b"gate")


@pytest.mark.parametrize(
    ("listed", "origin", "allowed"),
    [
        ("https://a.example", "https://a.example:443", True),
        ("https://a.example:443", "https://a.example", True),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://A.EXAMPLE", True),
        ("https://a.example", "https://a.example.", False),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example", "https://b.a.example", False),
        ("https://a.example", "https://x@a.example", False),
        ("http://localhost:*", "http://localhost", True),
        ("http://localhost:*", "http://localhost:1", True),
        ("http://localhost:*", "https://localhost:1", False),
        ("http://localhost:*", "http://localhost:*", False),
        ("http://localhost:*", "http://localhost.evil:1", False),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", True),
        ("null", "null", True),
        ("*", "null", True),
        ("https://a.example", "null", False),
    ],
)
def test_listed_origins(listed: str, origin: str, allowed: bool) -> None:
    assert CorsPolicy((listed,)).allows(origin.encode(), b"gate") is allowed


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("CORS_ORIGINS", '["https://a.example/"]', "without a path"),
        ("CORS_ORIGINS", '["a.example"]', "is no origin"),
        ("CORS_ORIGINS", '["https://*.example"]', "is no origin"),
        ("CORS_ORIGINS", '["https://u:p@a.example"]', "is no origin"),
        ("ALLOWED_HOSTS", '["https://a.example"]', "is no host"),
        ("ALLOWED_HOSTS", '["a.example/x"]', "is no host"),
        ("ALLOWED_HOSTS", '["a b"]', "is no host"),
        ("ALLOWED_HOSTS", '["*.*.example"]', "is no host"),
        ("ALLOWED_HOSTS", '[""]', "is no host"),
    ],
)
def test_settings_that_are_none(setting: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TROUPE_GATEWAY__{setting}", value)
    with pytest.raises(SettingsError) as caught:
        GatewaySettings.load()
    assert said in str(caught.value)
    assert f"TROUPE_GATEWAY__{setting}" in str(caught.value)
    assert "\n" not in str(caught.value)
