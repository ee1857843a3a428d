"""``--budget`` of ``p2vit search``: what the weights take, or what an accelerator takes for the whole model."""

from collections.abc import Sequence

from p2vit.accel.costing import CostModel
from p2vit.accel.machines import load_machine
from p2vit.accel.resolve import workload_of_config
from p2vit.accel.workload_vit import Precision
from p2vit.errors import P2vitError
from p2vit.models.config import ModelConfig
from p2vit.quant.search.cost import COSTS, Bits, Budget, TableCost, parse_budget, parse_limit
from p2vit.quant.search.layers import Layer

#: Budget → field of the accelerator's cost; modelled, for one image.
ACCELERATOR = {"latency-ms": "latency_ms", "energy-mj": "energy_mj"}
#: Widths that the accelerator's array multiplies.
WIDTHS = (4, 8)


def read_budget(
    text: str,
    layers: tuple[Layer, ...],
    widths: Sequence[int],
    config: ModelConfig,
    hardware: str | None,
    *,
    log2_softmax: bool = False,
) -> Budget:
    """Read ``average-bits=6``, ``bytes=16M``, ``bitops=300G``, ``latency-ms=8`` or ``energy-mj=2``.

    Args:
        text: What the user typed.
        layers: All that are searched.
        widths: That a layer may have.
        config: Of the model.
        hardware: Machine that latency and energy are modelled on; ``paper`` if None.
        log2_softmax: Whether the program's softmax has 4-bit log2 codes.

    Raises:
        P2vitError: it is not understood, or widths that the array does not multiply.
        AccelError: no such machine, or the model does not fit it.
    """
    name, limit = parse_limit(text, (*COSTS, *ACCELERATOR))
    if name in COSTS:
        if hardware is not None:
            raise P2vitError(
                f"--hw {hardware} is for budgets of an accelerator, not for {name}; give "
                f"--budget {' or '.join(f'{each}=NUMBER' for each in ACCELERATOR)}, or leave --hw out"
            )
        return parse_budget(text, layers)
    if not set(widths) <= set(WIDTHS):
        raise P2vitError(
            f"--widths {','.join(map(str, widths))}: the accelerator's array multiplies weights of 4 and 8 bits "
            f"only; with --budget {name} give --widths 4,8"
        )
    workload = workload_of_config(config, Precision(log2_attention=log2_softmax))
    return accelerator_budget(name, limit, layers, CostModel(workload, load_machine(hardware or "paper")))


def accelerator_budget(name: str, limit: float, layers: tuple[Layer, ...], model: CostModel) -> Budget:
    """A limit on the modelled latency or energy of one image.

    A layer's price at 8 bits is what the whole model saves when that layer alone has 4. Latencies of layers add up
    to within a few percent, so the whole is always asked as well.

    Args:
        name: A key of :data:`ACCELERATOR`.
        limit: In the name's unit.
        layers: All that are searched.
        model: Prices whole assignments.
    """

    def whole(bits: Bits) -> float:
        return float(getattr(model.total(bits), ACCELERATOR[name]))

    wide = {layer.name: 8 for layer in layers}
    most = whole(wide)
    saved = {layer.name: most - whole({**wide, layer.name: 4}) for layer in layers}
    # What no layer's width changes is shared out equally.
    rest = (most - sum(saved.values())) / len(layers)
    return Budget(
        name, TableCost({each: {4: rest, 8: rest + price} for each, price in saved.items()}), limit, whole
    )
