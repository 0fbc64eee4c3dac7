"""Generates the Python stubs in `troupe/api` from the contracts, or checks that they are up to date.

python proto/generate.py           writes the stubs
python proto/generate.py --check   fails when the committed stubs differ from what it would write
"""

import argparse
import filecmp
import re
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
STUBS = PROTO.parent / "troupe" / "api"
# The stubs of `buf.validate` come with no package, so they live under `troupe.api`, and what imports
# them is pointed there.
VENDORED = re.compile(r"^((?:from|import) )buf(\.validate\b)", re.MULTILINE)
VENDORED_USE = re.compile(r"(?<![\w./])buf(\.validate\.validate_pb2)")


def generate(out: Path) -> None:
    """Writes all stubs below `out`, packages included."""
    contracts = sorted(str(p.relative_to(PROTO)) for p in (PROTO / "troupe").rglob("*.proto"))
    services = [p for p in contracts if p.endswith("_service.proto")]
    includes = [f"-I{PROTO}", f"-I{PROTO / 'third_party'}", f"-I{files('grpc_tools') / '_proto'}"]
    run(includes, [f"--python_out={out}", f"--mypy_out=quiet:{out}"], [*contracts, "buf/validate/validate.proto"])
    run(includes, [f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}"], services)
    shutil.move(out / "buf", out / "troupe" / "api" / "buf")
    for stub in (out / "troupe").rglob("*_pb2*.py*"):
        text = stub.read_text()
        text = VENDORED.sub(r"\1troupe.api.buf\2", text)
        stub.write_text(VENDORED_USE.sub(r"troupe.api.buf\1", text))
    api = out / "troupe" / "api"
    for package in [api, *(p for p in api.rglob("*") if p.is_dir())]:
        (package / "__init__.py").touch()


def run(includes: list[str], plugins: list[str], sources: list[str]) -> None:
    """Runs protoc; ends the program with its status when it fails."""
    if status := protoc.main(["protoc", *includes, *plugins, *sources]):
        sys.exit(status)


def differences(left: Path, right: Path) -> list[str]:
    """Names the files below two folders that differ or stand on one side only."""
    names = {p.relative_to(side) for side in (left, right) for p in side.rglob("*.py*") if "__pycache__" not in p.parts}
    return sorted(
        str(name)
        for name in names
        if not ((left / name).exists() and (right / name).exists() and filecmp.cmp(left / name, right / name, False))
    )


def main() -> None:
    """Writes or checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the stubs are out of date")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = Path(folder) / "troupe" / "api"
        if arguments.check:
            if stale := differences(fresh, STUBS):
                sys.exit(f"stubs are out of date, run `make stubs`: {', '.join(stale)}")
            return
        shutil.rmtree(STUBS, ignore_errors=True)
        shutil.copytree(fresh, STUBS)


if __name__ == "__main__":
    main()
