"""Re-quantizer for float32 scales, exact to IEEE 754. For comparison only."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import C, Cat, Module, Mux, signed, unsigned

from p2vit.hdl.arithmetic import bit_length, wire
from p2vit.hdl.modules.base import Fields, ModuleTiming, OperatorModule, Streams, corners
from p2vit.hdl.stream import Pipe, lanes, sink, source


def round_to_even(m: Module, x: Any, dropped: int) -> Any:
    """Divide by ``2^dropped`` and round to the nearest integer, ties to even."""
    sticky = x[: dropped - 1].any() if dropped > 1 else C(0, 1)
    return x[dropped:] + (x[dropped - 1] & (sticky | x[dropped]))


class FloatRequantizer(OperatorModule):
    """``y = saturate(rint(float32(x) · scale))``: int32 → float32, multiply, round to nearest even, saturate.

    Every step rounds as IEEE 754 requires. ``scale`` is a finite float32. A subnormal scale or an underflow gives 0
    after the last rounding in any case, and a result that is too large saturates.

    Streams:
        i: ``x`` int32 [lanes], ``scale`` float32 as its bits [lanes], ``last``.
        o: ``y`` int8 [lanes], ``last``.

    Latency: 1 cycle (all steps between two registers, the baseline of the paper) or 4 cycles (convert | multiply |
    round | to integer). Throughput: one beat per cycle. Handshake: ready/valid streams.
    """

    about: ClassVar[str] = "re-quantization in float32 (comparison)"

    def __init__(self, lanes_: int = 1, *, pipelined: bool = True) -> None:
        """Make the module.

        Args:
            lanes_: Accumulators per cycle.
            pipelined: Whether to use four stages instead of one.
        """
        self.lanes, self.pipelined = lanes_, pipelined
        self.timing = ModuleTiming(4 if pipelined else 1)
        super().__init__(
            {
                "i": sink(x=lanes(signed(32), lanes_), scale=lanes(unsigned(32), lanes_), last=1),
                "o": source(y=lanes(signed(8), lanes_), last=1),
            }
        )

    def configuration(self) -> dict[str, Any]:
        """Return the structural parameters."""
        return {"l": self.lanes, "p": int(self.pipelined)}

    @staticmethod
    def _convert(m: Module, x: Any) -> tuple[Any, Any]:
        """Convert a magnitude to a 24-bit mantissa and its bit length, which includes a carry from rounding."""
        size = bit_length(m, x)
        normal = wire(m, (x << (32 - size)[:6])[:32], "normal")
        rounded = wire(m, round_to_even(m, normal, 8)[:25], "rounded")
        carry = rounded[24]
        return Mux(carry, C(1 << 23, 24), rounded[:24])[:24], (size + carry)[:6]

    @staticmethod
    def _to_integer(m: Module, mantissa: Any, exponent: Any, negative: Any) -> Any:
        """Convert mantissa · 2^(exponent − 23) to int8, rounded to even and saturated.

        Exponents below −1 round to 0, and those above 7 saturate. Exponent −1 is a value from 1/2 to 1, with a tie at
        1/2.
        """
        # 40 fraction bits after the shift by 7 − exponent.
        tiny, huge = exponent < -1, exponent > 7
        shift = (7 - exponent)[:4]
        shifted = wire(m, Cat(C(0, 24), mantissa) >> shift, "shifted")
        # Value · 2^40 with exponent 7 in front: 8 integer bits at the top.
        whole, half, rest = shifted[40:], shifted[39], shifted[:39].any()
        magnitude = wire(m, whole + (half & (rest | whole[0])), "magnitude")
        limited = wire(m, Mux(huge | (magnitude > 127 + negative), 127 + negative, magnitude)[:8], "limited")
        value = Mux(negative, -limited, limited)[:8].as_signed()
        return Mux(tiny | (mantissa == 0), C(0, signed(8)), value)[:8].as_signed()

    def elaborate(self, platform: Any) -> Module:
        """Build the pipeline of one or four stages."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        each = range(self.lanes)
        beat = self.i.payload

        def step(**values: Any) -> Any:
            """Add registers, or wires in the version with one stage."""
            if self.pipelined:
                return pipe.stage(**values)
            named = {
                name: [wire(m, item, name) for item in value]
                if isinstance(value, list)
                else wire(m, value, name)
                for name, value in values.items()
            }
            return SimpleNamespace(**named)

        x = [wire(m, Mux(beat.x[k] < 0, -beat.x[k], beat.x[k])[:32], "magnitude") for k in each]
        converted = [self._convert(m, value) for value in x]
        scale = [beat.scale[k] for k in each]
        a = step(
            mantissa=[pair[0] for pair in converted],
            size=[pair[1] for pair in converted],
            factor=[Cat(value[:23], value[23:31].any()) for value in scale],
            exponent=[value[23:31] for value in scale],
            negative=[beat.x[k][31] ^ scale[k][31] for k in each],
            last=beat.last,
        )
        b = step(
            product=[(a.mantissa[k] * a.factor[k])[:48] for k in each],
            # The exponent of x is size − 1, that of the scale is its field − 127.
            exponent=[(a.size[k] + a.exponent[k] - 128).as_signed() for k in each],
            # With a subnormal scale, every product rounds to 0.
            zero=[a.exponent[k] == 0 for k in each],
            negative=a.negative,
            last=a.last,
        )
        mantissas, exponents = [], []
        for k in each:
            top = b.product[k][47]
            normal = wire(m, Mux(top, b.product[k], b.product[k] << 1)[:48], "normal")
            rounded = wire(m, round_to_even(m, normal, 24)[:25], "rounded")
            carry = rounded[24]
            mantissas.append(Mux(b.zero[k], C(0, 24), Mux(carry, C(1 << 23, 24), rounded[:24]))[:24])
            exponents.append((b.exponent[k] + top + carry).as_signed())
        c = step(mantissa=mantissas, exponent=exponents, negative=b.negative, last=b.last)
        d = pipe.stage(
            y=[self._to_integer(m, c.mantissa[k], c.exponent[k], c.negative[k]) for k in each], last=c.last
        )
        pipe.finish(y=d.y, last=d.last)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Compute with NumPy's float32."""
        i = inputs["i"]
        scale = np.asarray(i["scale"]).astype(np.uint32).view(np.float32)
        with np.errstate(over="ignore", under="ignore"):
            product = np.asarray(i["x"]).astype(np.int32).astype(np.float32) * scale
        y = np.clip(np.rint(product), np.float32(-128), np.float32(127)).astype(np.int64)
        return {"o": {"y": y, "last": np.asarray(i["last"], np.int64)}}

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make random scales, scales with results near the output's limits, exact halves, and powers of two."""
        size = (beats, self.lanes)
        x = corners(rng, 32, size)
        anything = corners(rng, 32, size, signed=False)
        anything = np.where((anything >> 23 & 255) == 255, anything & ~(1 << 23), anything)
        target = rng.integers(-140, 141, size) / 2 + rng.integers(-1, 2, size) * rng.random(size) / 64
        with np.errstate(all="ignore"):
            close = np.where(x == 0, 1.0, target / np.where(x == 0, 1, x)).astype(np.float32)
            power = np.ldexp(np.float32(1), rng.integers(-34, 2, size)).astype(np.float32)
        choice = rng.integers(0, 4, size)
        near = np.where(choice == 1, power, close).view(np.uint32).astype(np.int64)
        return {
            "i": {"x": x, "scale": np.where(choice == 0, anything, near), "last": rng.integers(0, 2, beats)}
        }
