"""``--budget`` of ``p2vit search``: a limit on the weights, or on the latency or energy of an accelerator."""

from collections.abc import Sequence

from p2vit.accel.costing import CostModel
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.workload.build import workload_of_config
from p2vit.accel.workload.precision import Precision
from p2vit.errors import P2vitError
from p2vit.models.config import ModelConfig
from p2vit.quant.search.cost import COSTS, Bits, Budget, TableCost, parse_budget, parse_limit
from p2vit.quant.search.layers import Layer

#: Name of a budget → field of the accelerator's modelled cost of one image.
ACCELERATOR = {"latency-ms": "latency_ms", "energy-mj": "energy_mj"}
#: Weight widths that the accelerator's MAC array supports, in bits.
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
        text: The value of ``--budget``.
        layers: All layers of the search.
        widths: Widths that a layer may have, in bits.
        config: Configuration of the model.
        hardware: Accelerator for latency and energy; ``paper`` if None.
        log2_softmax: Whether the program's softmax has 4-bit log2 codes.

    Raises:
        P2vitError: The text is not understood, or the MAC array does not support one of the widths.
        AccelError: There is no such accelerator, or the model does not fit it.
    """
    name, limit = parse_limit(text, (*COSTS, *ACCELERATOR))
    if name in COSTS:
        if hardware is not None:
            raise P2vitError(
                f"--hw {hardware} is for budgets of an accelerator, not for {name}; give "
                f"--budget {' or '.join(f'{each}=NUMBER' for each in ACCELERATOR)}, or omit --hw"
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
    """Return a limit on the modelled latency or energy of one image.

    The cost of a layer at 8 bits is what the whole model saves if only that layer has 4 bits. The latencies of layers
    add up only within a few percent, so the cost of the whole model is always checked as well.

    Args:
        name: A key of :data:`ACCELERATOR`.
        limit: The limit, in the unit of the name (ms or mJ).
        layers: All layers of the search.
        model: Cost model for whole assignments of widths.
    """

    def whole(bits: Bits) -> float:
        return float(getattr(model.total(bits), ACCELERATOR[name]))

    wide = {layer.name: 8 for layer in layers}
    most = whole(wide)
    saved = {layer.name: most - whole({**wide, layer.name: 4}) for layer in layers}
    # The cost that does not depend on any width is divided equally among the layers.
    rest = (most - sum(saved.values())) / len(layers)
    return Budget(
        name, TableCost({each: {4: rest, 8: rest + price} for each, price in saved.items()}), limit, whole
    )
