"""Builds the gateway's live page with the package."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleBuildHook(BuildHookInterface[Any]):
    """Puts the live page into wheels, and beside the sources for editable installs. Without it the gateway runs too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds what is out of date; says in a line why it could not."""
        console = Path(self.root) / "gateway" / "console"
        page = _load(console / "build.py")
        if not page.is_current():
            try:
                page.build()
            except page.BuildError as error:
                reason = str(error).splitlines()[0]
                self.app.display_warning(f"the gateway's live page is not built; `make console` tries again: {reason}")
        if version != "editable" and (console / "dist").is_dir():
            build_data["force_include"][str(console / "dist")] = "troupe/gateway/console/dist"


def _load(path: Path) -> ModuleType:
    """The module in a file, whose package is only about to be built."""
    spec = importlib.util.spec_from_file_location("console_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
