"""The files of a C export: operators, model, constants, weights, check and Makefile."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from p2vit.engine.executor import Executor
from p2vit.errors import P2vitError
from p2vit.export.c.model import check_source, model_header, model_source, tables_header, tensor_checksum
from p2vit.export.c.parameters import Parameters, array_text
from p2vit.export.c.plan import Plan, make_plan
from p2vit.export.c.steps import Writer
from p2vit.files import FileSet
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram

WeightForm = Literal["auto", "array", "binary"]
WEIGHT_FORMS: tuple[WeightForm, ...] = get_args(WeightForm)
#: Bytes above which ``auto`` writes weights to a binary file, because compilers are slow on large arrays.
LARGEST_ARRAY = 1 << 20
#: Upper bound of the code size in bytes on 32-bit processors; measured with `size`.
CODE_BYTES = 16 << 10


@dataclass(frozen=True)
class CExport:
    """The files of a program in C, before they are written.

    Attributes:
        plan: Steps and memory of the program.
        files: Relative path → content.
        weight_bytes: Bytes of all weights.
        constant_bytes: Bytes of all other constants.
    """

    plan: Plan
    files: dict[str, bytes]
    weight_bytes: int
    constant_bytes: int

    @property
    def sizes(self) -> dict[str, int]:
        """``weight_bytes`` and ``constant_bytes`` of flash besides the code, and ``arena_bytes`` of RAM."""
        return {
            "weight_bytes": self.weight_bytes,
            "constant_bytes": self.constant_bytes,
            "arena_bytes": self.plan.arena_bytes,
        }


def runtime_files() -> dict[str, bytes]:
    """Return the C files of the operators: name → content."""
    folder = files("p2vit.export.c") / "runtime"
    return {
        entry.name: entry.read_bytes()
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith((".c", ".h"))
    }


def build_c(
    program: IntegerProgram,
    pixels: IntArray,
    executor: Executor,
    *,
    weights: WeightForm = "auto",
    program_sha256: str | None = None,
) -> CExport:
    """Make the C files of a program, with a check against an executor.

    Args:
        program: The program.
        pixels: Photos for ``make check``, uint8 [B, H, W, 3].
        executor: Executor that computes the expected outputs.
        weights: ``array`` writes weights as a C array, ``binary`` as a file that is linked in. ``auto`` writes an array
            up to 1 MiB.
        program_sha256: Hash of the program, recorded in the header.

    Returns:
        The files.

    Raises:
        P2vitError: The C export cannot express the program, or the form of weights is unknown.
    """
    if weights not in WEIGHT_FORMS:
        raise P2vitError(f"--weights {weights!r}: allowed are {', '.join(WEIGHT_FORMS)}")
    plan, parameters = make_plan(program), Parameters()
    writer = Writer(plan, parameters)
    written = [writer.write(step) for step in plan.steps]
    kept = executor.run(pixels[:1], [step.name for step in plan.steps])
    checksums = [tensor_checksum(kept[step.name]) for step in plan.steps]
    results = executor.run(pixels)
    logits = results[program.output].reshape(len(pixels), -1).astype(np.int32)
    maps = {each.name: each.spatial(results[each.name]) for each in program.maps}
    blob = bytes(parameters.weights) or b"\0"  # C has no empty arrays
    text = {
        "tables.h": tables_header(),
        "parameters.h": _parameters_header(parameters),
        "parameters.c": f'#include "parameters.h"\n\n{parameters.source()}\n',
        "p2vit_model.h": model_header(plan, len(blob), program_sha256),
        "p2vit_model.c": model_source(plan, written),
        "check.c": check_source(plan, pixels, logits, checksums, maps),
    }
    content = {**runtime_files(), **{name: value.encode() for name, value in text.items()}}
    if weights == "array" or (weights == "auto" and len(blob) <= LARGEST_ARRAY):
        body = array_text(np.frombuffer(blob, np.uint8))
        content["weights.c"] = (
            f'#include "p2vit_model.h"\n\nconst uint8_t p2vit_weights[P2VIT_WEIGHT_BYTES] = {{\n    {body}}};\n'
        ).encode()
    else:
        content["weights.bin"] = blob
        content["weights.c"] = _WEIGHTS_BINARY.encode()
    content["Makefile"] = _MAKEFILE.encode()
    content["README.md"] = _readme(plan, len(blob), parameters.constant_bytes).encode()
    return CExport(plan, content, len(blob), parameters.constant_bytes)


def _parameters_header(parameters: Parameters) -> str:
    return (
        "/* Constants of the program's operators. */\n#ifndef P2VIT_PARAMETERS_H\n#define P2VIT_PARAMETERS_H\n\n"
        f'#include "p2vit_ops.h"\n\n{parameters.header()}\n\n#endif\n'
    )


_WEIGHTS_BINARY = """/* The bytes of weights.bin, linked in. On a small machine, leave this file out and hand p2vit_run
 * the place in flash where you put weights.bin. */
#if defined(__APPLE__)
#define NAME(x) "_" #x
#define SECTION ".section __TEXT,__const\\n"
#else
#define NAME(x) #x
#define SECTION ".section .rodata\\n"
#endif

__asm__(SECTION ".globl " NAME(p2vit_weights) "\\n.balign 4\\n" NAME(p2vit_weights) ":\\n.incbin \\"weights.bin\\"\\n");

typedef int p2vit_not_empty;
"""

_MAKEFILE = """# make        libp2vit_model.a
# make check  build and compare with the reference's integers; needs a C compiler and nothing else
# make size   bytes of code and constants
CC     ?= cc
AR     ?= ar
CFLAGS ?= -O3
WARN   := -std=c99 -Wall -Wextra -Wconversion
ALWAYS := -fno-strict-aliasing
RUN    ?=
PARTS  := $(filter-out check.o,$(patsubst %.c,%.o,$(sort $(wildcard *.c))))

all: libp2vit_model.a

libp2vit_model.a: $(PARTS)
\t$(AR) rcs $@ $(PARTS)

%.o: %.c $(wildcard *.h)
\t$(CC) $(WARN) $(ALWAYS) $(CFLAGS) -ffreestanding -c $< -o $@

# .incbin looks in the folder where the compiler runs
weights.o: weights.c $(wildcard weights.bin)
\t$(CC) $(CFLAGS) -c $< -o $@

check: check.c $(wildcard *.c) $(wildcard *.h)
\t$(CC) $(WARN) $(ALWAYS) $(CFLAGS) -DP2VIT_TRACE -o check $(sort $(wildcard *.c))
\t$(RUN) ./check

size: $(PARTS)
\tsize $(PARTS)

clean:
\trm -f *.o libp2vit_model.a check

.PHONY: all check size clean
"""


def _readme(plan: Plan, weight_bytes: int, constant_bytes: int) -> str:
    program = plan.program
    pre = program.preprocessing
    return f"""# An integer program in C

`make check` compiles everything and compares the outputs of the photos in `check.c` with the reference's integers.

| memory | bytes |
|---|---|
| weights (flash) | {weight_bytes:,} |
| other constants (flash) | {constant_bytes:,} |
| working memory (RAM) | {plan.arena_bytes:,} |

`p2vit_model.h` has the one function to call. There is no float, no heap and no 64-bit arithmetic.

Photos are prepared outside: {pre.image_size[0]} x {pre.image_size[1]} pixels, RGB, resize `{pre.resize}`, filter
`{pre.interpolation}`, crop share {pre.crop_pct}. Mean and standard deviation are part of the program.

Compile with `-fno-strict-aliasing`: tensors of several types share the working memory.
"""


def c_target(folder: Path, overwrite: bool) -> FileSet:
    """Return the set of files that a C export is written to, in a folder of its own.

    Raises:
        P2vitError: The path cannot be a folder.
    """
    return FileSet.filling(folder, "C export", overwrite)


def write_c(export: CExport, folder: Path, overwrite: bool = False) -> list[Path]:
    """Write the files of an export, all or none.

    Args:
        export: Result of :func:`build_c`.
        folder: Output folder; it is made if it does not exist.
        overwrite: Replace files that p2vit wrote there.

    Returns:
        The files written.

    Raises:
        P2vitError: A file is in the way, or the disk is full.
    """
    c_target(folder, overwrite).write(export.files)
    return [folder / name for name in export.files]


def flash_bytes(sizes: dict[str, Any]) -> int:
    """Return the flash memory of a program in bytes, with the code."""
    return int(sizes["weight_bytes"] + sizes["constant_bytes"] + CODE_BYTES)
