"""Tries, as a user who may do nothing here, to read files and to reach servers: `python -IS other_user.py PATH…`.

Prints what it could read, list, write or connect to. Started by root; a file of its own because modules of this
project may lie where only root can read them.
"""

import os
import socket
import stat
import sys

NOBODY = 65534


def main() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    for path in sys.argv[1:]:
        if _open(path):
            sys.stdout.write(f"{path}\n")


def _open(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - its import needs files that may be closed to us by now
        if stat.S_ISSOCK(mode):
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(path)
        elif stat.S_ISDIR(mode):
            os.listdir(path)  # noqa: PTH208 - the same
        else:
            os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
