"""Trees of buffers for nets that drive many inputs: layout would put them in, as no driver can be left with so many.

ABC buffers inside a module only, and not what registers and ports drive. In a whole accelerator one register may drive
thousands of gates, and a path through it would be timed at tens of nanoseconds.
"""

import re
from collections import defaultdict

from p2vit.rtl.synthesis.liberty import Liberty

#: Inputs that a driver is left with.
MOST_INPUTS = 16

_CELL = re.compile(r"^  (\w+) \S+ \($")
_PIN = re.compile(r"^(    \.)(\w+)\((.*)\)(,?)$")


def buffer_trees(netlist: str, liberty: Liberty, most: int = MOST_INPUTS) -> tuple[str, int]:
    """Put trees of the library's buffer behind every net that drives more inputs than allowed; clocks are left.

    Args:
        netlist: A flat mapped netlist, as Yosys writes it.
        liberty: The cells; without a buffer among them nothing is done.
        most: Inputs that a net may drive, 2 or more.

    Returns:
        The netlist with buffers, and how many they are.
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
    feeds: list[str] = []  # The net in front of each buffer that is added; behind buffer i is fanout_i.
    for net, sinks in loads.items():
        # From the leaves up: each level drives the one before it, until the net itself can.
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
