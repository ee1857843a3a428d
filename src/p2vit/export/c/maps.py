"""Feature maps of a C export: they stay in the working memory, and the header says where."""

from math import prod

import numpy as np

from p2vit.export.c.parameters import C_TYPES, array_text, identifier
from p2vit.export.c.plan import Plan
from p2vit.export.c.steps import TYPES
from p2vit.numerics.rounding import IntArray


def macro(name: str) -> str:
    """Begin of the macros of a map."""
    return f"P2VIT_{identifier(name).upper()}"


def maps_header(plan: Plan) -> str:
    """What ``p2vit_model.h`` says of the program's feature maps; empty where there are none."""
    program, parts = plan.program, []
    for each in program.maps:
        spec, begin = plan.spec(each.name), macro(each.name)
        exponents = np.broadcast_to(spec.exponent.reshape(-1), spec.shape[-1:])
        kind = C_TYPES[spec.dtype.name]
        start = plan.offsets[each.name] + each.first * spec.shape[-1] * spec.dtype.itemsize
        parts.append(f"""/* Feature map {each.name}: {kind} [rows, columns, channels], in the arena after p2vit_run:
 * (const {kind} *)((const uint8_t *)arena + {begin}_OFFSET). A number of channel c stands for itself times
 * 2^exponent[c]. */
#define {begin}_ROWS {each.grid[0]}
#define {begin}_COLUMNS {each.grid[1]}
#define {begin}_CHANNELS {spec.shape[-1]}
#define {begin}_OFFSET {start}
#define {begin}_EXPONENTS {{ \\
    {array_text(exponents).replace(chr(10), " " + chr(92) + chr(10))}}}

""")
    return "".join(parts)


def expected_maps(plan: Plan, maps: dict[str, IntArray]) -> str:
    """The reference's numbers of every feature map, and the function that compares them; for ``check.c``.

    Args:
        plan: The steps.
        maps: Name → integers [P, rows, columns, C].
    """
    if not maps:
        return ""
    arrays, loops, numbers = [], [], 0
    for name, values in maps.items():
        count, array = prod(values.shape[1:]), f"map_{identifier(name)}"
        numbers += count
        rows = ",".join("{" + array_text(photo) + "}" for photo in values)
        arrays.append(
            f"static const {C_TYPES[values.dtype.name]} {array}[PHOTOS][{count}] = {{\n    {rows}}};\n"
        )
        read = f"p2vit_load((const uint8_t *)arena + {macro(name)}_OFFSET, {TYPES[values.dtype.name]}, (size_t)i)"
        loops.append(
            f"    for (int32_t i = 0; i < {count}; i++)\n        wrong += {read} != {array}[photo][i];\n"
        )
    return f"""
#define MAP_NUMBERS {numbers}
{"".join(arrays)}
static long wrong_maps(int32_t photo)
{{
    long wrong = 0;
{"".join(loops)}    return wrong;
}}
"""
