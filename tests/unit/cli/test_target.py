"""Where commands find their orchestrator."""

from troupe.cli.target import target_option
from troupe.client.settings import DEFAULT_TARGET


def test_the_usual_address_needs_no_option() -> None:
    assert target_option(DEFAULT_TARGET) == ""
    assert target_option("127.0.0.1:40001") == " --target 127.0.0.1:40001"
