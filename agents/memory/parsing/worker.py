"""A parsing process: reads documents from standard input, writes what it made of them to standard output.

Each message is four bytes of length, big-endian, then JSON; a document's bytes follow its request. It ends when
its standard input does, so it never outlives the process that started it. A document that takes more processor
time than its request allows ends the process by SIGPROF, also in the middle of a library's native code.
"""

import json
import resource
import signal
import struct
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

from troupe.agents.memory.errors import unreadable
from troupe.agents.memory.parsing.parse import parse
from troupe.agents.memory.splitting import split
from troupe.core.errors import TroupeError

LENGTH: Final = struct.Struct(">I")


def main() -> None:
    """Serves until standard input ends. The first argument is the most bytes of address space."""
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    source, target = sys.stdin.buffer, sys.stdout.buffer
    _answer(target, {})  # ready: the time to start is no document's
    while header := source.read(LENGTH.size):
        request = json.loads(source.read(LENGTH.unpack(header)[0]))
        content = source.read(request["size_bytes"])
        signal.setitimer(signal.ITIMER_PROF, request["seconds"])
        reply = _handle(request, content)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _answer(target, reply)


def _answer(target: BinaryIO, reply: Mapping[str, Any]) -> None:
    body = json.dumps(reply).encode()
    target.write(LENGTH.pack(len(body)) + body)
    target.flush()


def _handle(request: Mapping[str, Any], content: bytes) -> Mapping[str, Any]:
    uri = request["uri"]
    try:
        document = parse(content, uri=uri, media_type=request["media_type"], charset=request["charset"])
        passages = [(p.start, p.end, p.heading) for p in split(document)]
        metadata = dict(document.metadata)
        return {"text": document.text, "title": document.title, "passages": passages, "metadata": metadata}
    except TroupeError as error:
        return {"error": error.message}
    except MemoryError:
        return {"error": unreadable(uri, "parsing it takes too much memory; split it").message}
    except Exception as error:  # noqa: BLE001 - the edge: one document must not end the process
        return {"error": unreadable(uri, f"its parser failed: {type(error).__name__}: {error}").message}


if __name__ == "__main__":
    main()
