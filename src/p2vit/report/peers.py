"""Figures of other tools on the benchmarks, to print beside a program's. They are quoted, not measured in the run."""

from typing import Any

#: Where the rows below were measured; printed with them.
LABEL = "measured for this project on another machine (2 CPU cores, AVX512-VNNI); not measured in this run"
#: Top-1 in percent of the float model in that measurement, whose probe was fitted there.
FLOAT_THERE = {"elpv": 85.90, "textile": 75.80}
FLOAT_PARTS = "LayerNorm, softmax, GELU, adds, scales"

#: Benchmark → rows: tool, top-1 %, agreement %, SQNR dB, seconds to quantize, what stays float.
PEERS: dict[str, list[dict[str, Any]]] = {
    "elpv": [
        {
            "name": "NNCF 3.4 → OpenVINO int8, 300 images",
            "top1": 85.82,
            "agreement": 97.5,
            "sqnr_db": 22.5,
            "seconds": 29.5,
            "floats": FLOAT_PARTS,
        },
        {
            "name": "ONNX Runtime 1.32 static QDQ, 32 images",
            "top1": 78.66,
            "agreement": 84.2,
            "sqnr_db": 13.1,
            "seconds": 6.0,
            "floats": FLOAT_PARTS,
        },
        {
            "name": "released P²-ViT code, 16 images (on 328 photos; float there 88.1 %)",
            "top1": 67.4,
            "agreement": 77.4,
            "sqnr_db": None,
            "seconds": 229.0,
            "floats": "residual scales, GELU, LayerNorm statistics, biases",
        },
    ],
    "textile": [
        {
            "name": "NNCF → OpenVINO int8",
            "top1": 74.80,
            "agreement": 95.8,
            "sqnr_db": 26.1,
            "seconds": None,
            "floats": FLOAT_PARTS,
        },
        {
            "name": "ONNX Runtime int8",
            "top1": 51.1,
            "agreement": 36.5,
            "sqnr_db": 10.3,
            "seconds": None,
            "floats": FLOAT_PARTS,
        },
    ],
}


def peers_of(data: str) -> dict[str, Any]:
    """Return the figures of other tools on a benchmark.

    Args:
        data: Name of the benchmark. There are no rows for other photos.

    Returns:
        ``label``: where the rows were measured; ``rows``: the figures.
    """
    there = f"; the float model there: {FLOAT_THERE[data]:.2f} %" if data in FLOAT_THERE else ""
    return {"label": LABEL + there, "rows": PEERS.get(data, [])}
