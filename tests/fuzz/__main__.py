"""Fuzzes the gateway's wire.

    python -m tests.fuzz [--inputs 10_000_000] [--seconds N] [--seed N] [--jobs 2] [--only PREFIX]
    python -m tests.fuzz --reproduce TARGET CUT HEX

The same seed gives the same inputs. Ends with exit code 1 when a promise is broken, and prints a small input that
does it.
"""

import argparse
import random
import sys

from tests.fuzz.run import Plan, run
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=None, help="stop after this time")
    parser.add_argument("--seed", type=int, default=None, help="random unless given")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", default="", help="targets whose names begin so")
    parser.add_argument("--reproduce", nargs=3, metavar=("TARGET", "CUT", "HEX"), default=None)
    arguments = parser.parse_args()
    if arguments.reproduce:
        return reproduce(*arguments.reproduce)
    chosen = [target for target in TARGETS if target.name.startswith(arguments.only)]
    if not chosen:
        sys.exit(f"no target begins with {arguments.only!r}; there are {', '.join(t.name for t in TARGETS)}")
    seed = arguments.seed if arguments.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    report = run(Plan(chosen, seed, arguments.inputs, arguments.jobs, arguments.seconds))
    print("\n".join(report.lines()))
    return 1 if report.problems else 0


def reproduce(name: str, cut_at: str, data: str) -> int:
    """Feeds one input; what it breaks is raised."""
    target: Target = {target.name: target for target in TARGETS}[name]
    target.check(bytes.fromhex(data.removeprefix("-")), int(cut_at))
    print("every promise holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
