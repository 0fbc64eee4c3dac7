import pytest

from tests.conformance.suite import CannotRunError, Scope, Suite, prepare, run


@pytest.fixture
def suite() -> Suite:
    try:
        return prepare()
    except CannotRunError as error:
        pytest.skip(str(error))


@pytest.mark.conformance
@pytest.mark.timeout(600)  # most of it for the build, the first time
def test_the_gateway_passes_the_official_suite(suite: Suite) -> None:
    """The quick part; `make conformance` runs all of it."""
    assert run(suite, Scope(tls=False)) == 0
