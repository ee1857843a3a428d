"""Modules and ports of Verilog text, read without the code that writes it."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """One port declaration: direction, width in bits if it is a number, name, and the comment behind it."""

    direction: str
    width: int | None
    name: str
    comment: str


def modules_of(verilog: str) -> dict[str, list[Port]]:
    """Module → its ports. Every port in the module's header must be declared once."""
    found = {}
    for match in re.finditer(
        r"^module (?P<name>\w+)(?P<body>.*?)^endmodule", verilog, re.MULTILINE | re.DOTALL
    ):
        ports = [
            Port(
                direction,
                1 if not high else int(high) - int(low) + 1 if high.isdigit() and low.isdigit() else None,
                name,
                comment or "",
            )
            for direction, high, low, name, comment in re.findall(
                r"^ *(input|output)\s+(?:reg )?(?:signed )?(?:\[([^:\]]+):([^:\]]+)\] )?(\\?\S+?)[;,]?(?:\s+// (.*))?$",
                match["body"],
                re.MULTILINE,
            )
        ]
        header = match["body"].split(";", 1)[0]
        if not re.search(r"\b(?:in|out)put\b", header):
            names = re.findall(r"\w+", header.split("(", 1)[1])
            assert sorted(names) == sorted(port.name for port in ports), match["name"]
        found[match["name"]] = ports
    return found
