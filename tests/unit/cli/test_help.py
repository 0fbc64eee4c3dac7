from typer.testing import CliRunner

from troupe.cli.app import COMMANDS, app


def test_every_command_is_listed_with_its_name() -> None:
    told = CliRunner().invoke(app, ["--help"]).stdout
    listed = {words[1] for line in told.splitlines() if len(words := line.split()) > 2 and words[0] == "│"}
    assert set(COMMANDS) <= listed
