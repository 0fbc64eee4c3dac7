"""Servers speak of methods and fields; a person at a shell reads of commands and options."""

import re
from pathlib import Path

import pytest

from troupe import orchestrator
from troupe.api.memory.v1 import memory_service_pb2
from troupe.api.orchestrator.v1 import orchestrator_service_pb2
from troupe.cli.shell_words import COMMANDS, in_shell_words


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (
            "task `01abc` has no step `x`; `GetTask` lists its steps",
            "task `01abc` has no step `x`; `troupe show 01abc` lists its steps",
        ),
        ("it failed: take it up again with `RetryTask`", "it failed: take it up again with `troupe retry ID`"),
        ("call `OrchestratorService.CancelTask`", "call `troupe cancel ID`"),
        ("`troupe.api.orchestrator.v1.OrchestratorService/WatchTask` ended", "`troupe watch ID` ended"),
        ("no document 'x'; `ListDocuments` lists them", "no document 'x'; `troupe docs list` lists them"),
        ("`task.input` must hold something", "`REQUEST` must hold something"),
        ("`task.plan.steps[2].agent` is unknown", "`--plan` `steps[2].agent` is unknown"),
        ('`task.labels["a"]` is too long', '`--label` `["a"]` is too long'),
        ("submit it again with a larger `budget`", "submit it again with a larger `--budget`"),
        ("GetTask without marks, and `GetTasks`, stay", "GetTask without marks, and `GetTasks`, stay"),
    ],
)
def test_methods_and_fields_are_told_as_commands_and_options(said: str, read: str) -> None:
    assert in_shell_words(said) == read


def test_every_method_has_its_command() -> None:
    services = (
        orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"],
        memory_service_pb2.DESCRIPTOR.services_by_name["MemoryService"],
    )
    assert {method.name for service in services for method in service.methods} <= COMMANDS.keys()


def test_no_message_of_the_orchestrator_names_a_method_that_the_shell_does_not_know() -> None:
    folder = Path(orchestrator.__file__ or "").parent
    named = {
        name
        for path in folder.rglob("*.py")
        for name in re.findall(
            r"`((?:Get|List|Watch|Run|Submit|Cancel|Retry|Resolve|Plan)[A-Z]\w+?)(?<!Request)(?<!Response)`",
            path.read_text(),
        )
    }
    assert named <= COMMANDS.keys()
