"""The official Connect conformance suite: fetched and built with Go, run against the gateway.

https://connectrpc.com/conformance
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from grpc_tools import protoc

from tests.support.processes import stop

VERSION = "v1.0.7"
_MODULE = "connectrpc.com/conformance"
_COMMAND = f"{_MODULE}/cmd/connectconformance"
_ROOT = Path(__file__).parents[2]
_CACHE = _ROOT / ".troupe" / "conformance" / VERSION
# Where Go's own installer puts it, which is not always on the PATH.
_GO_FOLDER = "/usr/local/go/bin"
# The runner gives a server ten seconds to start, and a busy machine needs some of them for one.
_SERVERS_AT_ONCE = max(1, (os.cpu_count() or 1) // 2)

PROTOCOLS = {"grpc-web": "PROTOCOL_GRPC_WEB", "connect": "PROTOCOL_CONNECT", "grpc": "PROTOCOL_GRPC"}
HTTP_VERSIONS = {"1": "HTTP_VERSION_1", "2": "HTTP_VERSION_2"}


class CannotRunError(Exception):
    """This machine lacks what the suite is built with or from; the message says what."""


class GoMissingError(CannotRunError):
    """There is no Go."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The suite, ready to run."""

    runner: Path
    descriptors: Path


@dataclass(frozen=True, slots=True)
class Scope:
    """Which of the suite's cases are run."""

    protocols: Sequence[str] = tuple(PROTOCOLS)
    http_versions: Sequence[str] = tuple(HTTP_VERSIONS)
    plain: bool = True
    tls: bool = True

    def config(self) -> dict[str, Any]:
        """The runner's configuration: what the gateway can do, as far as it is in the scope."""
        # Of gRPC and gRPC-Web the gateway never opens a message, and the backend speaks binary protobuf.
        excluded: list[dict[str, Any]] = [
            {"protocol": PROTOCOLS[name], "codec": "CODEC_JSON"} for name in self.protocols if name != "connect"
        ]
        if not self.plain:
            excluded.append({"use_tls": False})
        return {
            "features": {
                "versions": [HTTP_VERSIONS[name] for name in self.http_versions],
                "protocols": [PROTOCOLS[name] for name in self.protocols],
                "codecs": ["CODEC_PROTO", "CODEC_JSON"],
                "compressions": ["COMPRESSION_IDENTITY", "COMPRESSION_GZIP"],
                "supports_h2c": self.plain and "2" in self.http_versions,
                "supports_tls": self.tls,
                "supports_tls_client_certs": self.tls,
                "supports_half_duplex_bidi_over_http1": True,
                "supports_connect_get": True,
                "supports_message_receive_limit": True,
            },
            "exclude_cases": excluded,
        }


def prepare() -> Suite:
    """Fetches and builds the suite, unless that was done before.

    Raises:
        GoMissingError: there is no Go.
        CannotRunError: the suite cannot be fetched.
        subprocess.CalledProcessError: the suite cannot be built.
    """
    suite = Suite(_CACHE / "connectconformance", _CACHE / "descriptors.binpb")
    if suite.runner.exists() and suite.descriptors.exists():
        return suite
    go = shutil.which("go") or shutil.which("go", path=_GO_FOLDER)
    if go is None:
        raise GoMissingError("Go is not installed, and the conformance suite is a Go program")
    _CACHE.mkdir(parents=True, exist_ok=True)
    sources = _fetch(go)
    subprocess.run([go, "install", f"{_COMMAND}@{VERSION}"], env={**os.environ, "GOBIN": str(_CACHE)}, check=True)
    _describe(sources / "proto", suite.descriptors)
    return suite


def run(suite: Suite, scope: Scope, arguments: Sequence[str] = ()) -> int:
    """Runs the cases of the scope and prints what fails; `arguments` go to the runner. Returns its exit code."""
    config = suite.runner.with_name("config.yaml")
    config.write_text(json.dumps(scope.config()))
    process = subprocess.Popen(
        [
            suite.runner, "--mode", "server", "--conf", config, "--max-servers", str(_SERVERS_AT_ONCE),
            *arguments,
            "--", sys.executable, "-m", "tests.conformance.server", suite.descriptors,
        ],
        cwd=_ROOT,
        start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait()
    finally:
        stop(process)


def _fetch(go: str) -> Path:
    """Downloads the module; returns the folder of its sources."""
    fetched = subprocess.run(
        [go, "mod", "download", "-json", f"{_MODULE}@{VERSION}"], capture_output=True, text=True, check=False
    )
    if fetched.returncode:
        reason = json.loads(fetched.stdout).get("Error") if fetched.stdout else fetched.stderr.strip()
        raise CannotRunError(f"{_MODULE} {VERSION} cannot be fetched: {reason}")
    return Path(json.loads(fetched.stdout)["Dir"])


def _describe(protos: Path, descriptors: Path) -> None:
    """Compiles the suite's .proto files into a file of descriptors."""
    includes = [f"-I{protos}", f"-I{files('grpc_tools') / '_proto'}"]
    sources = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    output = ["--include_imports", f"--descriptor_set_out={descriptors}"]
    if protoc.main(["protoc", *includes, *output, *sources]):
        raise RuntimeError(f"protoc cannot compile the .proto files below {str(protos)!r}")
