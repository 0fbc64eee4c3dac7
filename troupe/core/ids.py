"""Identifiers: opaque to clients, sortable by creation for people who read logs."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in lower case


def new_id() -> str:
    """A new identifier: 48 bits of Unix time in milliseconds, then 80 random bits, as 26 characters (ULID)."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
