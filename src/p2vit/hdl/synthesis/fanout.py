"""Inserts buffer trees for nets with a high fan-out, as a layout tool would.

ABC inserts buffers only inside a module, and not for nets that registers or ports drive. In a whole accelerator, one
register may drive thousands of gates, and a path through it would be timed at tens of nanoseconds.
"""

import re
from collections import defaultdict

from p2vit.hdl.synthesis.liberty import Liberty

#: Largest number of inputs that a driver may have.
MOST_INPUTS = 16

_CELL = re.compile(r"^  (\w+) \S+ \($")
_PIN = re.compile(r"^(    \.)(\w+)\((.*)\)(,?)$")


def buffer_trees(netlist: str, liberty: Liberty, most: int = MOST_INPUTS) -> tuple[str, int]:
    """Insert a buffer tree for every net that drives more than ``most`` inputs. Clock inputs do not count.

    Args:
        netlist: Flat mapped netlist, as Yosys writes it.
        liberty: Cell library; without a buffer cell, the netlist is not changed.
        most: Largest number of inputs that a net may drive, 2 or more.

    Returns:
        Netlist with buffers, and the number of buffers.
    """
    if liberty.buffer is None:
        return netlist, 0
    lines = netlist.splitlines()
    loads: dict[str, list[int]] = defaultdict(list)
    cell = ""
    for number, line in enumerate(lines):
        if found := _CELL.match(line):
            cell = found[1]
        elif (found := _PIN.match(line)) and found[2] in liberty.inputs.get(cell, ()) and "'" not in found[3]:
            loads[found[3]].append(number)
    feeds: list[str] = []  # Input net of each added buffer; the output net of buffer i is fanout_i.
    for net, sinks in loads.items():
        # From the leaves up: add levels of buffers until the net itself can drive the top level.
        level = [(False, number) for number in sinks]
        while len(level) > most:
            groups = [level[at : at + most] for at in range(0, len(level), most)]
            level = [(True, len(feeds) + index) for index in range(len(groups))]
            for group in groups:
                wire = f"fanout_{len(feeds)}"
                feeds.append(net)
                for is_buffer, at in group:
                    if is_buffer:
                        feeds[at] = wire
                    else:
                        lines[at] = _PIN.sub(rf"\g<1>\g<2>({wire})\g<4>", lines[at])
    if not feeds:
        return netlist, 0
    cell, i, o = liberty.buffer
    added = [
        f"  wire fanout_{n};\n  {cell} fanout_{n}_buffer (\n    .{i}({net}),\n    .{o}(fanout_{n})\n  );"
        for n, net in enumerate(feeds)
    ]
    end = max(number for number, line in enumerate(lines) if line == "endmodule")
    return "\n".join([*lines[:end], *added, *lines[end:]]) + "\n", len(added)
