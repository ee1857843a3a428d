#!/bin/sh
# Build the native engine with the address and undefined-behaviour sanitizers and run its tests over it.
# Usage: scripts/sanitize.sh [python] [pytest arguments]
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
[ $# -gt 0 ] && shift
build=build/sanitize
kind=${P2VIT_SANITIZERS:-address,undefined}
case $kind in *thread*) library=libtsan.so ;; *) library=libasan.so ;; esac
cmake -S . -B "$build" -DP2VIT_SANITIZE="$kind" -DPython_EXECUTABLE="$(command -v "$python")" \
    -Dnanobind_DIR="$("$python" -m nanobind --cmake_dir)" >/dev/null
cmake --build "$build" --parallel 2
# A package beside the sources, so that the installed engine is left alone.
rm -rf "$build/site"
mkdir -p "$build/site"
cp -rs "$PWD/src/p2vit" "$build/site/p2vit"
# What lies there is a link to the engine of the working tree, which must not be written through.
cp --remove-destination "$build"/_native*.so "$build/site/p2vit/engine/native/"
# An editable install would win over any path, so its finder is taken away first.
ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
    LD_PRELOAD="$(${CXX:-g++} -print-file-name=$library) $(${CXX:-g++} -print-file-name=libstdc++.so)" \
    "$python" -c '
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "Redirecting" not in type(finder).__name__]
sys.path.insert(0, sys.argv.pop(1))
import pytest
from p2vit.engine.native import _native
assert _native.__file__.startswith(sys.path[0]), _native.__file__
sys.exit(pytest.main(sys.argv[1:]))
' "$PWD/$build/site" -p no:cacheprovider \
    tests/engine/native/test_executor.py tests/engine/native/test_kernels.py tests/engine/native/test_malformed.py \
    tests/engine/native/test_fuzz.py "$@"
