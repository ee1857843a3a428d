"""Modelled area of a machine before layout: datapaths and SRAM macros, from a technology table.

Not counted: controller, wires between chunks, clock tree, padding of the floor plan, I/O.
"""

from p2vit.accel.energy.energy import CODE_SHIFT_SHARE, buffer_pj
from p2vit.accel.machine.description import Machine
from p2vit.accel.machine.technology import Technology


def area_mm2(machine: Machine, technology: Technology) -> dict[str, float]:
    """Compute the area of every chunk and every buffer.

    Args:
        machine: Description of the machine.
        technology: Energy and area table.

    Returns:
        Area in mm² by name of the chunk or buffer. The sum is the modelled area of the machine.
    """
    table, chunks = technology.area, machine.chunks
    requant = {
        "shift": table.requant_shift_um2,
        "multiplier8": table.requant_multiplier8_um2,
        "multiplier16": table.requant_multiplier16_um2,
        "multiplier32": table.requant_multiplier32_um2,
        "float32": table.requant_float32_um2,
    }
    shifter = CODE_SHIFT_SHARE * table.shift32_um2 + table.add32_um2
    norm = 3 * table.add32_um2 + 2 * table.multiply16_um2 + table.shift32_um2
    softmax = (
        table.compare32_um2
        + 2 * table.add32_um2
        + 2 * table.multiply16_um2
        + table.table_um2
        + table.shift32_um2
    )
    elementwise = table.add32_um2 + table.shift32_um2 + 2 * table.compare32_um2 + table.multiply16_um2
    um2 = {
        "mac_array": chunks.mac_array.macs_per_cycle * table.mac8_um2,
        "shifter_array": machine.shifter_lanes * shifter,
        "layernorm": chunks.layernorm.lanes * norm,
        "softmax": chunks.softmax.lanes * softmax,
        # Every lane can also multiply by the reciprocal of a softmax row's sum.
        "requantization": chunks.requantization.lanes
        * (requant[chunks.requantization.method] + 2 * table.multiply16_um2),
        "gelu": chunks.gelu.lanes * table.table_um2,
        "elementwise": chunks.elementwise.lanes * elementwise,
    }
    area = {name: value / 1e6 for name, value in um2.items()}
    for name, buffer in machine.buffers.all.items():
        area[f"{name}_buffer"] = buffer_pj(technology, buffer)[2]
    return area
