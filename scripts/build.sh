#!/usr/bin/env bash
# Configures and builds one preset (default: release); extra words go to the build tool.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true
export PATH="$PWD/.venv/bin:$PATH"
[ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" >"/tmp/niwaki-configure.$$.log" || { cat "/tmp/niwaki-configure.$$.log"; exit 1; }
rm -f "/tmp/niwaki-configure.$$.log"
cmake --build "build/$preset" -- "$@"
