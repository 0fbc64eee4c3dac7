"""Fixtures of real servers, one module each."""

pytest_plugins = [
    "tests.support.redis",
    "tests.support.engine",
]
