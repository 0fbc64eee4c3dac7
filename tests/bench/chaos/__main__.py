"""Many random tasks on real processes that are killed, paused and cut off at random.

    python -m tests.bench.chaos [--tasks 200] [--seconds 60] [--seed N] [--cluster] [--keep FOLDER]

Ends with exit code 1 and a list of what was violated, if anything was. The same seed makes the same tasks and the same
faults at the same times; how they interleave is up to the machine.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.bench.chaos.deployment import DeploymentError
from tests.bench.chaos.run import Plan, run


def main() -> int:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60, help="how long faults come")
    parser.add_argument("--seed", type=int, default=None, help="random unless given")
    parser.add_argument("--cluster", action="store_true", help="a Redis Cluster of three nodes")
    parser.add_argument("--keep", type=Path, default=None, help="a new folder that keeps the logs")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    plan = Plan(tasks=arguments.tasks, seconds=arguments.seconds, seed=seed, cluster=arguments.cluster)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(exist_ok=arguments.keep is None)
        try:
            report = asyncio.run(run(plan, folder))
        except DeploymentError as error:
            sys.exit(str(error))
    print("\n".join(report.lines()))
    return 1 if report.all_violations else 0


if __name__ == "__main__":
    sys.exit(main())
