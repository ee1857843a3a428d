"""The report about a program: its data as one JSON object, and a self-contained HTML page of the same data."""

from collections.abc import Mapping
from math import prod
from typing import Any

from p2vit.numerics import Linear
from p2vit.program.audit import AuditReport, audit
from p2vit.program.graph import IntegerProgram
from p2vit.program.inspect import ProgramSummary, summarize
from p2vit.report.charts.columns import bar_chart, sensitivity_plot
from p2vit.report.peers import peers_of
from p2vit.report.template import environment
from p2vit.version import __version__

#: Width of the registers that every program must fit, in bits.
REGISTER = 32


def report_data(
    program: IntegerProgram,
    *,
    quantize: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
    proof: AuditReport | None = None,
) -> dict[str, Any]:
    """Collect everything that the page shows.

    Args:
        program: The program.
        quantize: Result of ``p2vit quantize``, or the content of ``sensitivity.json``.
        evaluation: Result of ``p2vit eval``.
        proof: The audit of the program; None to run it.

    Returns:
        An object of JSON values.
    """
    proof = proof or audit(program)
    summary = summarize(program)
    quantize, evaluation = dict(quantize or {}), dict(evaluation or {})
    return {
        "p2vit": __version__,
        "program_sha256": proof.program_sha256,
        "source": program.provenance.get("source", "unknown"),
        "bits": quantize.get("bits"),
        "method": quantize.get("method"),
        "seconds": quantize.get("seconds"),
        "calibration_images": quantize.get("calibration_images"),
        "preprocessing": program.preprocessing.in_words,
        "evaluation": evaluation or None,
        "audit": {**proof.model_dump(exclude={"layers"}), "passed": proof.passed},
        "accumulators": accumulators(proof),
        "registers": registers(proof),
        "exponents": exponents(program),
        "sizes": sizes(summary),
        "blocks": [dict(row) for row in quantize.get("blocks", [])],
        "peers": peers_of(str(evaluation.get("data"))),
    }


def accumulators(proof: AuditReport) -> list[dict[str, Any]]:
    """Return the proven accumulator width of every layer with weights, in bits."""
    return [
        {"name": layer.name, "bits": layer.accumulator_bits, "weight_bits": layer.weight_bits}
        for layer in proof.layers
        if layer.weight_bits is not None
    ]


def registers(proof: AuditReport) -> list[dict[str, Any]]:
    """Return the widest register of each kind of operator, and the node that has it."""
    widest: dict[str, Any] = {}
    for layer in proof.layers:
        if layer.kind not in widest or layer.widest_bits > widest[layer.kind].widest_bits:
            widest[layer.kind] = layer
    return [
        {"kind": kind, "node": layer.name, "register": layer.widest, "bits": layer.widest_bits}
        for kind, layer in widest.items()
    ]


def exponents(program: IntegerProgram) -> list[dict[str, Any]]:
    """Return the scale exponents of every tensor, and of the accumulators of layers with weights."""
    rows = []
    for node in program.nodes:
        spec = program.tensors[node.name]
        row: dict[str, Any] = {
            "name": node.name,
            "low": int(spec.exponent.min()),
            "high": int(spec.exponent.max()),
            "count": int(spec.exponent.size),
        }
        if isinstance(node.operator, Linear) and node.operator.accumulator_exponent.size:
            row["accumulator_low"] = int(node.operator.accumulator_exponent.min())
            row["accumulator_high"] = int(node.operator.accumulator_exponent.max())
        rows.append(row)
    return rows


def sizes(summary: ProgramSummary) -> dict[str, int]:
    """Return sizes in bytes, multiply-accumulates per photo, and the number of nodes."""
    return {
        "weight_bytes": summary.weight_bytes,
        "float_weight_bytes": 4 * sum(prod(row.weight_shape) for row in summary.layers if row.weight_shape),
        "parameter_bytes": summary.parameter_bytes,
        "peak_activation_bytes": summary.peak_activation_bytes,
        "macs": summary.macs,
        "nodes": len(summary.layers),
    }


def charts(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the charts as SVG texts by name. A chart without data is left out."""
    found = {}
    if data["blocks"]:
        found["sensitivity"] = sensitivity_plot(data["blocks"])
    rows = data["accumulators"]
    if rows:
        bits = [row["bits"] for row in rows]
        found["accumulators"] = bar_chart(
            [row["name"] for row in rows],
            [0] * len(rows),
            bits,
            "bits",
            "Proven accumulator width of each layer",
            limit=(REGISTER, "int32"),
        )
    for key, low, high, title in (
        ("activations", "low", "high", "Exponents of each tensor"),
        ("products", "accumulator_low", "accumulator_high", "Exponents of each accumulator"),
    ):
        chosen = [row for row in data["exponents"] if low in row]
        if chosen:
            lows, highs = ([row[edge] for row in chosen] for edge in (low, high))
            found[key] = bar_chart([row["name"] for row in chosen], lows, highs, "log2 of the scale", title)
    return found


def render(data: Mapping[str, Any]) -> str:
    """Return the HTML page.

    Args:
        data: Result of `report_data`.

    Returns:
        Self-contained HTML: it loads no scripts, fonts or pictures.
    """
    return environment().get_template("report.html.j2").render(data=data, charts=charts(data))
