"""Energy and area tables, with the source of every figure.

All figures are modelled. None was measured on silicon.
"""

import math
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.yaml_file import read_yaml

Positive = Annotated[float, Field(gt=0)]
_TABLES = files("p2vit.accel.machine") / "technology_tables"


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SramPoint(_Described):
    """Figures of one SRAM macro."""

    size_bytes: Annotated[int, Field(ge=256)]
    access_bits: Annotated[int, Field(ge=8)]
    read_pj: Positive = Field(description="Energy of one read access.")
    write_pj: Positive = Field(description="Energy of one write access.")
    area_mm2: Positive


class Energies(_Described):
    """Energy of one arithmetic operation, in picojoules."""

    add32_pj: Positive
    multiply8_pj: Positive
    multiply16_pj: Positive
    multiply32_pj: Positive
    shift32_pj: Positive
    compare32_pj: Positive
    table_read_pj: Positive = Field(description="Read of one byte from a 256-byte table.")
    float32_multiply_pj: Positive
    float32_add_pj: Positive
    register_bit_pj: Positive


class Areas(_Described):
    """Area of one arithmetic unit, in µm²."""

    mac8_um2: Positive = Field(description="8×8 multiplier with its share of adder tree and accumulator.")
    add32_um2: Positive
    multiply16_um2: Positive
    shift32_um2: Positive
    compare32_um2: Positive
    table_um2: Positive = Field(description="256-byte table.")
    requant_shift_um2: Positive
    requant_multiplier8_um2: Positive
    requant_multiplier16_um2: Positive
    requant_multiplier32_um2: Positive
    requant_float32_um2: Positive


class Technology(_Described):
    """Energy and area table of one technology."""

    name: str
    node_nm: Positive
    sources: tuple[str, ...] = Field(min_length=1, description="Where each group of figures comes from.")
    energy: Energies
    area: Areas
    sram: tuple[SramPoint, ...] = Field(min_length=2, description="SRAM macros by increasing size.")
    sram_leakage_mw_per_mib: Annotated[float, Field(ge=0)]
    dram_pj_per_bit: dict[str, Positive]

    def sram_point(self, size_bytes: float) -> tuple[float, float, float]:
        """Compute read and write energy per byte, and area, of one SRAM bank.

        The figures are interpolated between two sizes of the table and extrapolated outside it, as powers of the size.
        The energy of an access grows about as the square root of the size, the area about linearly.

        Args:
            size_bytes: Size of one bank.

        Returns:
            pJ per byte read, pJ per byte written, and mm².
        """
        points = self.sram
        upper = next((i for i, point in enumerate(points) if point.size_bytes >= size_bytes), len(points) - 1)
        low, high = points[max(upper, 1) - 1], points[max(upper, 1)]
        position = math.log(size_bytes / low.size_bytes) / math.log(high.size_bytes / low.size_bytes)

        def between(a: float, b: float) -> float:
            return a * (b / a) ** position

        per_byte = 8 / low.access_bits, 8 / high.access_bits
        return (
            between(low.read_pj * per_byte[0], high.read_pj * per_byte[1]),
            between(low.write_pj * per_byte[0], high.write_pj * per_byte[1]),
            between(low.area_mm2, high.area_mm2),
        )

    def dram_energy(self, kind: str) -> float:
        """Return the energy of one DRAM bit.

        Args:
            kind: Key of ``dram_pj_per_bit``.

        Returns:
            pJ per bit.

        Raises:
            AccelError: The table does not have that kind.
        """
        if kind not in self.dram_pj_per_bit:
            hint = suggestion(kind, self.dram_pj_per_bit)
            raise AccelError(f"technology {self.name}", [f"dram.kind {kind!r} is not in the table; {hint}"])
        return self.dram_pj_per_bit[kind]


def known_technologies() -> list[str]:
    """Return the names of the shipped tables, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in _TABLES.iterdir() if entry.name.endswith(".yaml")
    )


@lru_cache(maxsize=32)
def load_technology(name: str) -> Technology:
    """Load an energy and area table by name or path, for instance one written by ``p2vit synth``.

    Args:
        name: Name of a shipped table, or path that ends in ``.yaml``.

    Returns:
        Validated table.

    Raises:
        AccelError: The name is unknown, or the file is not valid.
    """
    if name.endswith((".yaml", ".yml")):
        return read_yaml(Path(name), Technology)
    if name not in known_technologies():
        hint = suggestion(name, known_technologies())
        raise AccelError(
            "technology", [f"no table is called {name!r}; {hint}; or give the path of a .yaml file"]
        )
    return read_yaml(Path(str(_TABLES / f"{name}.yaml")), Technology)
