#!/usr/bin/env bash
# Makes the built program and package those of .venv: .venv/bin/niwaki, and `import niwaki` for .venv/bin/python.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$PWD/build/${1:-release}
[ "$(readlink .venv/bin/niwaki 2>/dev/null)" = "$build/niwaki" ] || ln -sfn "$build/niwaki" .venv/bin/niwaki
packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
[ "$(cat "$packages/niwaki.pth" 2>/dev/null)" = "$build/python" ] || printf '%s\n' "$build/python" >"$packages/niwaki.pth"
