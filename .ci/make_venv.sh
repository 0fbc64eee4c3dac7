#!/bin/sh
# Makes a virtual environment with the first Python that fits: sh .ci/make_venv.sh FOLDER
# One that is there and works is kept; one that broke off is made anew.
set -eu
venv=$1
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))'

if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c "$fits" 2>/dev/null && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  exit 0
fi
if [ -n "${PYTHON:-}" ]; then
  set -- "$PYTHON"
else
  set -- python3 python3.12 python3.11
fi
for python in "$@"; do
  if command -v "$python" >/dev/null 2>&1 && "$python" -c "$fits" 2>/dev/null; then
    found=$python
    break
  fi
done
if [ -z "${found:-}" ]; then
  echo "Troupe needs Python 3.11 or 3.12; $1 here is: $("$1" --version 2>&1 | head -1 || true)." >&2
  echo "Install one of them, or name it: make PYTHON=/path/to/python3.12 install" >&2
  exit 1
fi
if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "$found cannot make virtual environments: the modules venv and ensurepip are missing." >&2
  echo "On Debian and Ubuntu: apt-get install python3-venv" >&2
  exit 1
fi
echo "making $venv with $("$found" --version)"
"$found" -m venv --clear "$venv"
