#!/bin/sh
# Build the native engine for 64-bit Arm and run recorded plans on it under emulation, against the reference's integers.
# Usage: scripts/arm.sh [python]
# Needs a cross compiler and an emulator; on Debian: apt-get install g++-aarch64-linux-gnu qemu-user
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
compiler=${P2VIT_ARM_CXX:-aarch64-linux-gnu-g++}
emulator=${P2VIT_ARM_RUN:-qemu-aarch64}
for tool in "$compiler" "$emulator" cmake; do
    command -v "$tool" >/dev/null || {
        echo "scripts/arm.sh: $tool is missing; on Debian: apt-get install g++-aarch64-linux-gnu qemu-user cmake" >&2
        exit 2
    }
done
build=build/arm
cmake -S . -B "$build" -DP2VIT_REPLAY=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_EXE_LINKER_FLAGS=-static >/dev/null
cmake --build "$build" --parallel 2 >/dev/null
PYTHONPATH="src:tests${PYTHONPATH:+:$PYTHONPATH}" "$python" tests/engine/replay/recorder.py "$build/plans"
# One CPU that has every instruction set, one without the 8-bit matrix product, one without either.
for cpu in max neoverse-n1 cortex-a72; do
    echo "$cpu:"
    "$emulator" -cpu "$cpu" "$build/p2vit_replay" "$build"/plans/*.plan
done
