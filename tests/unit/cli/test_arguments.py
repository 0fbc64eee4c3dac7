import pytest
from typer.testing import CliRunner

from troupe.cli.app import COMMANDS, app


def test_every_command_is_listed_with_its_name() -> None:
    told = CliRunner().invoke(app, ["--help"]).stdout
    listed = {words[1] for line in told.splitlines() if len(words := line.split()) > 2 and words[0] == "│"}
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize(
    "arguments", [["ingest", ""], ["run", "Why?", "--docs", ""], ["search", "lease", "--docs", ""]], ids=" ".join
)
def test_a_path_that_is_empty_is_not_the_working_directory(arguments: list[str]) -> None:
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 2
    assert "it is empty" in ended.output
