"""The C files that depend on the program: header, model, constants, and the check against test vectors."""

import zlib
from collections.abc import Sequence

import numpy as np

from p2vit.export.c.maps import expected_maps, maps_header
from p2vit.export.c.parameters import array_text, identifier
from p2vit.export.c.plan import Plan
from p2vit.export.c.steps import TYPES, CStep
from p2vit.numerics import Linear
from p2vit.numerics.rounding import IntArray
from p2vit.numerics.softmax import EXP2_TABLE, LOG2_E, OCTAVE_FRACTION, TABLE_BITS


def tables_header() -> str:
    """Return ``tables.h``, the constants of softmax."""
    return f"""/* Constants of softmax, written from the reference. */
#ifndef P2VIT_TABLES_H
#define P2VIT_TABLES_H

#include <stdint.h>

#define P2VIT_HALF_LOG2_E {LOG2_E >> 1}
#define P2VIT_OCTAVE_FRACTION {OCTAVE_FRACTION}
#define P2VIT_TABLE_BITS {TABLE_BITS}

/* 2^(15 - (i + 1/2) / {len(EXP2_TABLE)}) */
static const uint16_t p2vit_exp2_table[{len(EXP2_TABLE)}] = {{
    {array_text(EXP2_TABLE)}}};

#endif
"""


def model_header(plan: Plan, weight_bytes: int, sha256: str | None) -> str:
    """Return ``p2vit_model.h``, the interface of the program."""
    program = plan.program
    height, width, channels = program.pixels.shape
    output, feature = plan.spec(program.output), plan.spec(program.feature)
    outputs, features = int(np.prod(output.shape)), int(np.prod(feature.shape))
    exponents = set(output.exponent.reshape(-1).tolist())
    meaning = (
        f"An output stands for itself times 2^{next(iter(exponents))}."
        if len(exponents) == 1
        else "Outputs have an exponent for each channel; see the program."
    )
    kept = "its content means nothing before and after."
    if program.maps:
        kept = "its content means nothing before; afterwards the feature maps lie in it."
    return f"""/* An integer program of p2vit. program_sha256: {sha256 or "unknown"} */
#ifndef P2VIT_MODEL_H
#define P2VIT_MODEL_H

#include <stdint.h>

#define P2VIT_HEIGHT {height}
#define P2VIT_WIDTH {width}
#define P2VIT_CHANNELS {channels}
#define P2VIT_OUTPUTS {outputs}
#define P2VIT_FEATURES {features}
#define P2VIT_ARENA_BYTES {plan.arena_bytes}
#define P2VIT_WEIGHT_BYTES {weight_bytes}

/* All weights, where they are linked in. */
extern const uint8_t p2vit_weights[P2VIT_WEIGHT_BYTES];

/* Run one photo.
 *
 * weights: p2vit_weights, or the bytes of weights.bin wherever they lie (flash, a mapped file).
 * pixels: RGB [height, width, 3], prepared as the program's preprocessing says.
 * outputs: P2VIT_OUTPUTS integers. {meaning}
 * features: P2VIT_FEATURES integers of what the last layer reads, or NULL.
 * arena: P2VIT_ARENA_BYTES bytes of working memory; {kept}
 */
void p2vit_run(const uint8_t *weights, const uint8_t *pixels, int32_t *outputs, int32_t *features, uint32_t *arena);

{maps_header(plan)}/* With -DP2VIT_TRACE, called with every tensor as it is written. */
#ifdef P2VIT_TRACE
void p2vit_trace(int32_t step, const void *tensor, int32_t type, int32_t count);
#endif

#endif
"""


def model_source(plan: Plan, written: Sequence[CStep]) -> str:
    """Return ``p2vit_model.c``: the parameter objects, and the calls in order."""
    program = plan.program
    definitions = "\n".join(step.definition for step in written if step.definition)
    lines = []
    for number, (step, text) in enumerate(zip(plan.steps, written, strict=True)):
        spec = plan.spec(step.name)
        count = int(np.prod(spec.shape))
        lines.append(f"    /* {step.name} */\n    {text.call}")
        lines.append(
            f"    TRACE({number}, memory + {plan.offsets[step.name]}, {TYPES[spec.dtype.name]}, {count});"
        )
    ends = []
    for target, name in (("outputs", program.output), ("features", program.feature)):
        spec = plan.spec(name)
        read = f"p2vit_load(memory + {plan.offsets[name]}, {TYPES[spec.dtype.name]}, i)"
        loop = f"for (size_t i = 0; i < {int(np.prod(spec.shape))}; i++)\n            {target}[i] = {read};"
        ends.append(f"    if ({target} != NULL) {{\n        {loop}\n    }}")
    body, end = "\n".join(lines), "\n".join(ends)
    if not any(program.of_kind(Linear)):
        body = f"    (void)weights; /* no layer has any */\n{body}"
    return f"""/* The operators of the program, in order. */
#include "p2vit_model.h"
#include "parameters.h"
#include "requantize.h"

#ifdef P2VIT_TRACE
#define TRACE(step, tensor, type, count) p2vit_trace(step, tensor, type, count)
#else
#define TRACE(step, tensor, type, count) ((void)0)
#endif

{definitions}

void p2vit_run(const uint8_t *weights, const uint8_t *pixels, int32_t *outputs, int32_t *features, uint32_t *arena)
{{
    uint8_t *const memory = (uint8_t *)arena;
{body}
{end}
}}
"""


def tensor_checksum(values: IntArray) -> int:
    """Return the CRC-32 of the numbers as 32-bit little-endian words, which is the same on every machine."""
    return zlib.crc32(np.ascontiguousarray(values).astype("<i4").tobytes())


def check_source(
    plan: Plan, pixels: IntArray, outputs: IntArray, checksums: Sequence[int], maps: dict[str, IntArray]
) -> str:
    """Return ``check.c``, which runs photos and names the first step that differs on the first photo.

    Args:
        plan: The steps.
        pixels: Photos, uint8 [P, H, W, 3].
        outputs: Outputs of the reference, int32 [P, outputs].
        checksums: Checksum of each step's tensor for the first photo.
        maps: Integers of each feature map of the reference, [P, rows, columns, C].
    """
    names = ",\n    ".join(f'"{identifier(step.name)}"' for step in plan.steps)
    sums = ",\n    ".join(f"0x{value:08x}u" for value in checksums)
    compared, numbers = "", "PHOTOS * P2VIT_OUTPUTS"
    if plan.program.maps:
        compared = "        wrong += wrong_maps(photo);\n"
        numbers = "PHOTOS * (P2VIT_OUTPUTS + MAP_NUMBERS)"
    return f"""/* Runs photos through the program and compares with the reference's integers. Needs printf. */
#include <stdio.h>

#include "p2vit_model.h"
#include "requantize.h"

#define PHOTOS {len(pixels)}
#define STEPS {len(checksums)}

static const uint8_t photos[PHOTOS][P2VIT_HEIGHT * P2VIT_WIDTH * P2VIT_CHANNELS] = {{
    {(",").join("{" + array_text(photo) + "}" for photo in pixels)}}};
static const int32_t expected[PHOTOS][P2VIT_OUTPUTS] = {{
    {(",").join("{" + array_text(row) + "}" for row in outputs)}}};

static uint32_t arena[(P2VIT_ARENA_BYTES + 3) / 4];
static int32_t outputs[P2VIT_OUTPUTS];
{expected_maps(plan, maps)}
#ifdef P2VIT_TRACE
static const char *const names[STEPS] = {{
    {names}}};
static const uint32_t checksums[STEPS] = {{
    {sums}}};
static int tracing, differing;

void p2vit_trace(int32_t step, const void *tensor, int32_t type, int32_t count)
{{
    uint32_t crc = 0xffffffffu;
    if (!tracing || differing)
        return;
    for (int32_t i = 0; i < count; i++) {{
        const uint32_t value = (uint32_t)p2vit_load(tensor, type, (size_t)i);
        for (int32_t byte = 0; byte < 32; byte += 8) {{
            crc ^= (value >> byte) & 255u;
            for (int32_t bit = 0; bit < 8; bit++)
                crc = (crc & 1u) ? (crc >> 1) ^ 0xedb88320u : crc >> 1;
        }}
    }}
    if ((crc ^ 0xffffffffu) != checksums[step]) {{
        printf("first difference: step %ld, %s\\n", (long)step, names[step]);
        differing = 1;
    }}
}}
#endif

int main(void)
{{
    long wrong = 0;
    for (int32_t photo = 0; photo < PHOTOS; photo++) {{
#ifdef P2VIT_TRACE
        tracing = photo == 0;
#endif
        p2vit_run(p2vit_weights, photos[photo], outputs, NULL, arena);
        for (int32_t i = 0; i < P2VIT_OUTPUTS; i++)
            wrong += outputs[i] != expected[photo][i];
{compared}    }}
    printf("%d photos, %ld numbers compared, %ld differ\\n", PHOTOS, (long){numbers}, wrong);
#ifdef P2VIT_TRACE
    if (differing)
        return 1;
#endif
    return wrong != 0;
}}
"""
