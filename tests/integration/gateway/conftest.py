from collections.abc import AsyncIterator

import pytest

from tests.support.echo import Echo, serving_echo
from tests.support.gateway import serving_gateway


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def backend(echo: Echo) -> AsyncIterator[str]:
    async with serving_echo(echo) as address:
        yield address


@pytest.fixture
async def gateway(backend: str) -> AsyncIterator[str]:
    async with serving_gateway(backend) as address:
        yield address
