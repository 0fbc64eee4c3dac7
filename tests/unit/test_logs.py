"""What libraries log, and what of it is worth a line."""

import logging

import pytest

from troupe.core.logs import LogSettings, configure


def test_a_caller_who_left_is_no_error_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    before = list(logging.getLogger().handlers)
    try:
        configure("test", LogSettings())
        grpc = logging.getLogger("grpc._cython.cygrpc")
        grpc.error("ExecuteBatchError raised in core by servicer method [%s]", "/x")
        grpc.error("Unexpected [%s] raised by servicer method", "ValueError")
        logging.getLogger("other").error("ExecuteBatchError raised in core")
        said = capsys.readouterr().out
    finally:
        logging.getLogger().handlers = before
    assert "servicer method [/x]" not in said
    assert "Unexpected [ValueError]" in said
    assert '"ExecuteBatchError raised in core"' in said
