"""What of a folder is ingested."""

import os
from pathlib import Path

from troupe.client import Folder


def test_pipes_and_hidden_files_are_no_documents(tmp_path: Path) -> None:
    (tmp_path / "kept.md").write_text("# Kept")
    (tmp_path / ".hidden.md").write_text("# Hidden")
    os.mkfifo(tmp_path / "pipe.md")  # to open it would wait for a writer
    assert [file.name for file in Folder.scan(tmp_path).files] == ["kept.md"]
