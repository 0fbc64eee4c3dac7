"""Triton: the tritonserver that the wheel `nvidia-pytriton` carries, with its python backend."""

import hashlib
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from troupe.local.errors import ServerNotFoundError
from troupe.local.launch import Launch
from troupe.local.private import close_to_others

# Its own numpy is older than 2, and that has no wheels from here on.
_TOO_NEW: Final = (3, 13)
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lives on Linux
_SYSTEM_LIBRARIES: Final = ("/usr/lib64", "/usr/lib", "/usr/local/lib", "/lib64", "/lib")
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


def triton_launch(
    *,
    models: Path,
    work_dir: Path,
    grpc_port: int,
    grpc_host: str = "127.0.0.1",
    metrics_port: int | None = None,
    http_port: int | None = None,
) -> Launch:
    """A tritonserver that serves the model repository `models` with this interpreter's packages.

    It serves gRPC at `grpc_host:grpc_port`; the host `unix:/path` makes the socket `/path:port`. `work_dir` holds its
    backends and names its shared memory: one server at a time.

    Raises:
        ServerNotFoundError: the wheel, its stub for this Python or libpython is missing.
    """
    bundle = _bundle()
    clean_shared_memory(work_dir)
    backends = _prepare_backends(bundle, work_dir)
    options = {
        "model-repository": str(models),
        # Lets InferenceService load a model again whose process died, which Triton does not do by itself.
        "model-control-mode": "explicit",
        "load-model": "*",
        "backend-directory": str(backends),
        "backend-config": f"python,shm-region-prefix-name={_shared_memory_prefix(work_dir)}",
        "grpc-address": grpc_host,
        "grpc-port": str(grpc_port),
        "grpc-http2-min-recv-ping-interval-without-data": "10000",
        "grpc-keepalive-permit-without-calls": "1",
        "allow-http": _flag(http_port),
        "http-address": "127.0.0.1",
        "http-port": str(http_port or 0),
        "allow-metrics": _flag(metrics_port),
        "metrics-address": "127.0.0.1",
        "metrics-port": str(metrics_port or 0),
        "allow-gpu-metrics": "false",
        "exit-timeout-secs": "5",
        "log-format": "default",
    }
    argv = [str(bundle / "bin" / "tritonserver"), *(f"--{name}={value}" for name, value in options.items())]
    return Launch(argv, _environment(bundle))


def shared_memory_pattern(work_dir: Path) -> str:
    """The segments of the server of this `work_dir`, as a pattern of paths."""
    return str(_SHARED_MEMORY / (_shared_memory_prefix(work_dir) + "*"))


def clean_shared_memory(work_dir: Path) -> None:
    """Removes what a killed server of this `work_dir` left in /dev/shm."""
    for segment in _SHARED_MEMORY.glob(_shared_memory_prefix(work_dir) + "*"):
        segment.unlink(missing_ok=True)


def _flag(port: int | None) -> str:
    return "false" if port is None else "true"


def _shared_memory_prefix(work_dir: Path) -> str:
    return "troupe_" + hashlib.sha256(str(work_dir.resolve()).encode()).hexdigest()[:12]


def _bundle() -> Path:
    spec = find_spec("pytriton")
    bundle = Path(spec.origin).parent / "tritonserver" if spec is not None and spec.origin is not None else None
    if bundle is None or not (bundle / "bin" / "tritonserver").exists():
        get = (
            "the wheel that carries it is for Python 3.11 and 3.12"
            if sys.version_info >= _TOO_NEW
            else "`pip install troupe[local]`"
        )
        raise ServerNotFoundError(f"no `tritonserver` found: {get}, or use a running one by its address")
    return bundle


def _prepare_backends(bundle: Path, work_dir: Path) -> Path:
    """Copies the python backend together with the stub of this Python, as tritonserver wants them: in one folder."""
    stub = bundle / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub"
    if not stub.exists():
        raise ServerNotFoundError(f"the wheel nvidia-pytriton has no python backend for Python {_PYTHON}")
    backends = work_dir.absolute() / "backends"
    shutil.rmtree(backends, ignore_errors=True)
    shutil.copytree(bundle / "backends", backends)
    shutil.copy(stub, backends / "python")
    close_to_others(backends)  # copies have the modes of the wheel
    return backends


def _environment(bundle: Path) -> dict[str, str]:
    libraries = [bundle.parent.parent / "nvidia_pytriton.libs", _python_library_folder()]
    return {
        "LD_LIBRARY_PATH": ":".join(str(folder) for folder in libraries),
        # llama.cpp's threads wait for each other between two steps: spinning there takes the processors of all else.
        "OMP_WAIT_POLICY": "passive",
        # The stub embeds an isolated Python, which ignores PYTHONPATH and PYTHONHOME and takes its packages from the
        # environment of the `python3` that it finds first.
        "PATH": f"{Path(sys.executable).parent}:{_SYSTEM_PATH}",
    }


def _python_library_folder() -> Path:
    name = f"libpython{_PYTHON}.so.1.0"
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    own = [sysconfig.get_config_var("LIBDIR") or "", f"{sys.base_prefix}/lib"]
    system = [f"{folder}/{multiarch}" for folder in _SYSTEM_LIBRARIES] + list(_SYSTEM_LIBRARIES)
    for folder in filter(None, own + system):
        if (Path(folder) / name).exists():
            return Path(folder)
    raise ServerNotFoundError(
        f"{name} is missing, which Triton's python backend loads: install it (`apt-get install libpython{_PYTHON}`),"
        " or use a Python that was built with --enable-shared"
    )
