"""Runs the official Connect conformance suite against the gateway.

    python -m tests.conformance                                  everything that the gateway can do
    python -m tests.conformance --protocols grpc-web --http 1 --no-tls
    python -m tests.conformance --run 'Timeouts/**' --trace      these cases, with what went over the wire

Needs Go to build the suite's runner, the first time; without Go it says so and ends with 0.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence

from tests.conformance.suite import HTTP_VERSIONS, PROTOCOLS, CannotRunError, GoMissingError, Scope, prepare, run

_SUMMARY = "Runs the official Connect conformance suite against the gateway; other options go to the suite's runner."


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=_SUMMARY, allow_abbrev=False)
    parser.add_argument("--protocols", type=_some_of(PROTOCOLS), default=tuple(PROTOCOLS), help=", ".join(PROTOCOLS))
    parser.add_argument("--http", type=_some_of(HTTP_VERSIONS), default=tuple(HTTP_VERSIONS), help="1, 2")
    parser.add_argument("--plain", action=argparse.BooleanOptionalAction, default=True, help="cases without TLS")
    parser.add_argument("--tls", action=argparse.BooleanOptionalAction, default=True, help="cases with TLS")
    options, runner_options = parser.parse_known_args(arguments)
    try:
        suite = prepare()
    except GoMissingError as error:
        parser.exit(0, f"SKIPPED: {error}\n")
    except CannotRunError as error:
        parser.exit(1, f"{error}\n")
    return run(suite, Scope(options.protocols, options.http, plain=options.plain, tls=options.tls), runner_options)


def _some_of(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if unknown := set(chosen).difference(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: known are {', '.join(known)}")
        return chosen

    return parse


if __name__ == "__main__":
    sys.exit(main())
