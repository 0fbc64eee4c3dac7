"""Where foreign URLs may lead."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.core.web.addresses import AddressRules, IpAddress, is_public
from troupe.core.web.errors import ForbiddenAddressError, RefusedUrlError
from troupe.core.web.resolver import CheckedResolver
from troupe.core.web.urls import check_url, host_of

PUBLIC = ("8.8.8.8", "1.1.1.1", "192.0.3.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1")
NOT_PUBLIC = (
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert AddressRules().allow(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not AddressRules().allow(ip_address(address))


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_is_public_that_python_calls_private(address: IpAddress) -> None:
    if is_public(address):
        mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
        properties = (address.is_loopback, address.is_link_local, address.is_multicast, address.is_unspecified)
        assert not any(properties)
        assert mapped or not address.is_private


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_counts_as_itself(address: IPv4Address) -> None:
    forms = (
        IPv6Address(int(IPv6Address("::ffff:0:0")) | int(address)),
        IPv6Address(int(IPv6Address("64:ff9b::")) | int(address)),
        IPv6Address(int(IPv6Address("2002::")) | int(address) << 80),
    )
    assert {is_public(form) for form in forms} == {is_public(address)}


def test_a_deployment_opens_its_own_networks_and_no_others() -> None:
    rules = AddressRules((ip_network("10.1.0.0/16"), ip_network("fd00::/8")))
    assert all(rules.allow(ip_address(address)) for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "8.8.8.8"))
    assert not any(rules.allow(ip_address(address)) for address in ("10.2.0.1", "127.0.0.1", "fc00::1", "fd00::1%eth0"))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.0.1.",
        "127.0.0.01",
        "0",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[fe80::1%25eth0]",
        "[2606:4700::1111%25lo]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[::ffff:0:127.0.0.1]",
    ],
)
def test_every_notation_of_an_address_is_seen_through(host: str) -> None:
    with pytest.raises(RefusedUrlError):
        check_url(f"http://{host}/", AddressRules())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/x",
        "//example.org/x",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "http:///x",
        "http://",
        "http://user@example.org/",
        "http://user:password@example.org/",
        "http://:password@example.org/",
        "http://example.org:99999/",
        "http://[::1/",
        "http://exa mple.org/",
        "http://example.org%00.evil.org/",
    ],
)
def test_urls_that_are_not_called(url: str) -> None:
    with pytest.raises(RefusedUrlError):
        check_url(url, AddressRules())


@given(st.text(max_size=40))
def test_no_text_is_more_than_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"https://[{text}]/"):
        host_of(url)
        with suppress(RefusedUrlError):
            check_url(url, AddressRules())


def test_ports_are_free_unless_they_are_named() -> None:
    assert check_url("https://example.org:8443/x", AddressRules()).port == 8443
    rules = AddressRules(allowed_ports=frozenset({443}))
    assert check_url("https://example.org/x", rules).host == "example.org"
    with pytest.raises(RefusedUrlError, match="8443"):
        check_url("https://example.org:8443/x", rules)


def test_a_refusal_names_the_host_and_the_setting_but_no_path() -> None:
    with pytest.raises(ForbiddenAddressError) as caught:
        check_url("http://10.0.0.1/hooks/T0PSECRET?token=abc", AddressRules(setting="webhooks.allowed_networks"))
    message = str(caught.value)
    assert "10.0.0.1" in message
    assert "webhooks.allowed_networks" in message
    assert "T0PSECRET" not in message
    assert "abc" not in message


class Names:
    """A lookup with answers of its own; each answer but the last is given once."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)

    async def addresses(self, host: str) -> Sequence[IpAddress]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ip_address(address) for address in answer]

    async def close(self) -> None:
        pass


def test_one_forbidden_address_of_a_name_is_enough() -> None:
    resolver = CheckedResolver(rules=AddressRules(), lookup=Names(["8.8.8.8", "10.0.0.1"]))
    with pytest.raises(ForbiddenAddressError, match=r"example\.org") as caught:
        asyncio.run(resolver.resolve("example.org", 80))
    assert "10.0.0.1" not in str(caught.value)


def test_what_was_checked_is_what_is_connected_to() -> None:
    resolver = CheckedResolver(rules=AddressRules(), lookup=Names(["8.8.8.8", "2606:4700::1111"], ["127.0.0.1"]))
    found = asyncio.run(resolver.resolve("example.org", 80))
    assert [result["host"] for result in found] == ["8.8.8.8", "2606:4700::1111"]
    with pytest.raises(ForbiddenAddressError):
        asyncio.run(resolver.resolve("example.org", 80))
