"""Sends odd requests through every door of a deployment that it starts.

    python -m tests.fuzz.requests [--requests 100_000] [--seconds N] [--seed TEXT] [--only NUMBER]

The same seed gives the same requests. Ends with exit code 1 when one ended as a defect (INTERNAL, UNKNOWN, no end, no
details), a process died or logged a traceback, or its memory grew beyond the bound.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.fuzz.requests.deployment import deployed
from tests.fuzz.requests.run import Report, Run


async def main(arguments: argparse.Namespace, folder: Path) -> Report:
    """Starts everything, sends, and says what came of it."""
    async with deployed(folder) as deployment:
        run = Run(deployment, arguments.seed)
        await run.prepare()
        if arguments.only is not None:
            await run.one(arguments.only)
            run.report.defects = deployment.defects()
        else:
            await run.all(arguments.requests, seconds=arguments.seconds)
        return run.report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=None, help="stop after this time")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", type=int, default=None, help="only the request of this number")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="requests-"))
    report = uvloop.run(main(chosen, folder))
    print("\n".join([*report.lines(), f"the logs are in {folder}"]))
    sys.exit(1 if report.failed else 0)
