"""Where commands find their orchestrator, and what they say about it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from troupe.cli.target import Candidates, choose, target_option
from troupe.client.settings import DEFAULT_TARGET
from troupe.local.errors import StackError

FOLDER = Path("/home/me/.troupe")


def nobody(_address: str) -> str:
    return ""


def test_the_usual_address_needs_no_option() -> None:
    assert target_option(DEFAULT_TARGET) == ""
    assert target_option("127.0.0.1:40001") == " --target 127.0.0.1:40001"


@pytest.mark.parametrize(
    ("option", "setting", "stack", "chosen"),
    [
        ("h:1", "h:2", "127.0.0.1:3", "h:1"),
        ("", "h:2", "127.0.0.1:3", "h:2"),
        ("", "", "127.0.0.1:3", "127.0.0.1:3"),
        ("", "", "", DEFAULT_TARGET),
        ("unix:/run/x", "", "127.0.0.1:3", "unix:/run/x"),
    ],
)
def test_what_is_named_goes_before_what_is_found(option: str, setting: str, stack: str, chosen: str) -> None:
    candidates = Candidates(option=option, setting=setting, stack=stack, folder=FOLDER)
    assert choose(candidates, foreigner=nobody).address == chosen


@pytest.mark.parametrize(
    ("setting", "stack", "others", "said"),
    [
        ("", "", [], ""),
        ("", DEFAULT_TARGET, [DEFAULT_TARGET], ""),
        ("", DEFAULT_TARGET, ["localhost:50051"], ""),
        ("h:2", "", [], ""),
        ("localhost:3", "127.0.0.1:3", [], ""),
        (
            "h:2",
            "127.0.0.1:3",
            [],
            "asking h:2, as the setting `client.target` says; the stack of {} is at 127.0.0.1:3",
        ),
        ("", "127.0.0.1:3", ["127.0.0.1:3"], "asking 127.0.0.1:3, the stack of {}"),
        (
            "",
            DEFAULT_TARGET,
            ["127.0.0.1:50051", "127.0.0.1:7", "127.0.0.1:8"],
            "asking 127.0.0.1:50051, the stack of {}; others of yours listen at 127.0.0.1:7, 127.0.0.1:8:"
            " --target chooses",
        ),
        (
            "",
            "",
            ["h:1", "h:2", "h:3", "h:4", "h:5"],
            "asking 127.0.0.1:50051; others of yours listen at h:1, h:2, h:3, 2 more: --target chooses",
        ),
        ("", "", ["127.0.0.1:7"], "asking 127.0.0.1:50051; others of yours listen at 127.0.0.1:7: --target chooses"),
    ],
)
def test_where_there_is_a_choice_it_is_said(setting: str, stack: str, others: Sequence[str], said: str) -> None:
    candidates = Candidates(setting=setting, stack=stack, folder=FOLDER, others=others)
    assert choose(candidates, foreigner=nobody).note == said.format(FOLDER)


@pytest.mark.parametrize("stack", ["", "127.0.0.1:3"])
def test_another_users_server_is_used_only_when_it_is_named(stack: str) -> None:
    found = Candidates(stack=stack, folder=FOLDER)
    with pytest.raises(StackError, match=r"run by the user 'eve', not by you: .*--target 127"):
        choose(found, foreigner=lambda _: "'eve'")
    for named in (Candidates(option="127.0.0.1:3"), Candidates(setting="127.0.0.1:3", folder=FOLDER)):
        assert choose(named, foreigner=lambda _: "'eve'").address == "127.0.0.1:3"
