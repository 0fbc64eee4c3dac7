"""Which URLs may be called, as far as can be told without asking for an address."""

import re
from typing import Final

from yarl import URL

from troupe.core.web.addresses import AddressRules, parse_address
from troupe.core.web.errors import ForbiddenAddressError, RefusedUrlError

# A last label of digits or of hexadecimal makes the host an IPv4 address: https://url.spec.whatwg.org/#ends-in-a-number-checker
_ENDS_IN_A_NUMBER: Final = re.compile(r"(^|\.)([0-9]+|0[xX][0-9a-fA-F]*)\.?$")

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")


def check_url(url: str, rules: AddressRules) -> URL:
    """The URL, parsed, when the rules let it be called; a host name is not looked up.

    Raises:
        RefusedUrlError: its scheme, its port or its credentials are not allowed.
        ForbiddenAddressError: its host is an address that is not allowed.
    """
    try:
        parsed = URL(url)
        host, port = parsed.raw_host, parsed.port
    except ValueError:
        raise RefusedUrlError("the URL cannot be parsed; give it as https://HOST[:PORT]/PATH") from None
    if parsed.scheme not in {"http", "https"} or not host:
        raise RefusedUrlError(f"the URL's scheme is {parsed.scheme!r}; only `http` and `https` with a host are called")
    if parsed.raw_user is not None or parsed.raw_password is not None:
        raise RefusedUrlError(f"the URL of {host!r} holds credentials; leave them out")
    if rules.allowed_ports and port not in rules.allowed_ports:
        raise RefusedUrlError(f"port {port!r} of {host!r} is not called; allowed are {sorted(rules.allowed_ports)!r}")
    _check_host(host, rules)
    return parsed


def host_of(url: str) -> str:
    """The host of a URL in its normal form, for logs and limits; empty when there is none."""
    try:
        return URL(url).raw_host or ""
    except ValueError:
        return ""


def forbidden(host: str, rules: AddressRules) -> ForbiddenAddressError:
    """The refusal of a host. It keeps the address to itself: private names shall not be explored through errors."""
    return ForbiddenAddressError(
        f"host {host!r} is not at a public address; `{rules.setting}` lists the other networks that may be called"
    )


def _check_host(host: str, rules: AddressRules) -> None:
    address = parse_address(host)
    if address is not None:
        if not rules.allow(address):
            raise forbidden(host, rules)
    elif _ENDS_IN_A_NUMBER.search(host) or ":" in host:
        raise ForbiddenAddressError(f"host {host!r} is an address in an unusual notation; write it as 192.0.2.1")
    elif not _NAME.fullmatch(host):
        raise RefusedUrlError(f"host {host[:300]!r} is no host name; use letters, digits, hyphens and dots")
