"""Fixtures of real servers, one module each."""

pytest_plugins = [
    "tests.support.inference",
    "tests.support.triton",
    "tests.support.redis_cluster",
    "tests.support.redis_kinds",
    "tests.support.engine",
    "tests.support.milvus",
    "tests.support.agents",
    "tests.support.stack",
    "tests.support.web_clients",
]
