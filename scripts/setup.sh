#!/usr/bin/env bash
# Brings the machine to where the project builds: system packages, .venv with pinned Python packages, the ONNX C++
# library in .deps. Every step is skipped when its result is there, so a second run takes a moment and no network.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(g++ make git ccache pkg-config protobuf-compiler libprotobuf-dev libeigen3-dev nlohmann-json3-dev libyaml-cpp-dev
  libzstd-dev libcli11-dev libgtest-dev libgmock-dev libbenchmark-dev zlib1g-dev python3-venv python3-dev)
ONNX_VERSION=1.23.2

say() { printf 'setup: %s\n' "$*"; }

missing=()
for package in "${PACKAGES[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
  say "installing system packages: ${missing[*]}"
  if [ "$(id -u)" = 0 ]; then root=(); elif command -v sudo >/dev/null; then root=(sudo); else
    say "these packages need root: ${missing[*]}; install them, then run this again" >&2
    exit 1
  fi
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

stamp=.venv/requirements.sha256
wanted=$(sha256sum requirements.txt | cut -d' ' -f1)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
  say "making .venv with pinned Python packages"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  # torch by name and first: whatever depends on it would otherwise choose another build of it
  .venv/bin/python -m pip install -q --disable-pip-version-check "$(grep '^torch==' requirements.txt)"
  .venv/bin/python -m pip install -q --disable-pip-version-check -r requirements.txt
  echo "$wanted" >"$stamp"
fi
export PATH="$PWD/.venv/bin:$PATH"

if [ ! -f ".deps/onnx/built-$ONNX_VERSION" ]; then
  say "building the ONNX $ONNX_VERSION library (2 minutes)"
  rm -rf .deps/onnx .deps/onnx-src
  mkdir -p .deps/onnx-src
  .venv/bin/python -m pip download -q --disable-pip-version-check --no-deps --no-build-isolation --no-binary onnx \
    "onnx==$ONNX_VERSION" -d .deps/onnx-src
  tar xf ".deps/onnx-src/onnx-$ONNX_VERSION.tar.gz" -C .deps/onnx-src --strip-components 1
  cmake -S .deps/onnx-src -B .deps/onnx-src/build -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$PWD/.deps/onnx" \
    -DONNX_BUILD_PYTHON=OFF -DONNX_USE_PROTOBUF_SHARED_LIBS=ON -DONNX_ML=ON -DCMAKE_POSITION_INDEPENDENT_CODE=ON \
    -DCMAKE_CXX_STANDARD=17 >.deps/onnx-configure.log
  cmake --build .deps/onnx-src/build --target install >.deps/onnx-build.log
  touch ".deps/onnx/built-$ONNX_VERSION"
  rm -rf .deps/onnx-src
fi

# The torch package carries older Protobuf, fmt and pybind11 headers; sources that need the right ones find them here first.
mkdir -p .deps/include
ln -sfn /usr/include/google .deps/include/google
ln -sfn "$(.venv/bin/python -c 'import pybind11; print(pybind11.get_include())')/pybind11" .deps/include/pybind11
say "ready"
