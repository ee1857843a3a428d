"""Benches of an outsider: from rtl-interface.md, rtl.md, the comments in the Verilog, and nothing else.

Nothing here imports the project's packing, layouts, descriptors or benches. The project's code only makes what is
checked (the bundle, the Verilog) and what it must equal (the reference program, `p2vit.numerics`).
"""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from math import isqrt
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from p2vit.engine.reference import ReferenceExecutor
from p2vit.hdl.bundle.writer import write_bundle
from p2vit.hdl.catalog import CATALOG
from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.tools.verilog import to_verilog
from p2vit.numerics import AttentionValues, LayerNorm, Linear, Softmax
from p2vit.numerics.layernorm import rsqrt_table
from support.programs import random_pixels, random_program
from support.rtl_programs import TINY

pytestmark = pytest.mark.skipif(not shutil.which("iverilog"), reason="needs iverilog")

#: A bench for one or two photos, by what the page says.
ACCELERATOR = """
module stranger;
  reg clk = 0, rst = 1, cold = 1;
  always #5 clk = ~clk;
  reg [8*@LINES@-1:0] memory [0:@WORDS@-1];
  reg [255:0] descriptors [0:@DESCRIPTORS@-1];
  // Answers wait in a FIFO of 1024 words, the most that can be in flight.
  reg [8*@LINES@-1:0] answers [0:1023];
  reg [9:0] put = 0, get = 0;
  reg [10:0] waiting = 0;
  integer sent = 0, cycle = 0, photo = 0, file, i;
  wire descriptor_ready, read_valid, write_valid, done;
  wire [31:0] read_address, write_address;
  wire [8*@LINES@-1:0] write_data;
  // A memory that is ready in two of three cycles and answers in every second one.
  wire ready = cycle % 3 != 0;
  wire answer = waiting != 0 && cycle % 2 == 0;
  p2vit_accelerator dut(
    .clk(clk), .rst(rst), .cold_rst(cold),
    .descriptor_valid(sent < @DESCRIPTORS@), .descriptor_ready(descriptor_ready),
    .descriptor_data(descriptors[sent < @DESCRIPTORS@ ? sent : 0]),
    .memory_read_valid(read_valid), .memory_read_ready(ready), .memory_read_address(read_address),
    .memory_answer_valid(answer), .memory_answer_data(answers[get]),
    .memory_write_valid(write_valid), .memory_write_ready(ready), .memory_write_address(write_address),
    .memory_write_data(write_data), .done(done));
  initial begin
    $readmemh("constants.hex", memory, @CONSTANTS@, @WORDS@ - 1);
    $readmemh("descriptors.hex", descriptors);
    $readmemh("photo0.hex", memory);
  end
  always @(posedge clk) begin
    cycle <= cycle + 1;
    rst <= 0;
    cold <= 0;
    if (!rst && descriptor_ready && sent < @DESCRIPTORS@) sent <= sent + 1;
    if (read_valid && ready) begin
      answers[put] <= memory[read_address];
      put <= put + 1;
    end
    if (answer) get <= get + 1;
    waiting <= waiting + (read_valid && ready) - answer;
    if (write_valid && ready) memory[write_address] <= write_data;
    if (!rst && done) begin
      file = $fopen(photo == 0 ? "tensors0.hex" : "tensors1.hex", "w");
      for (i = 0; i < @CONSTANTS@; i = i + 1) $fdisplay(file, "%h", memory[i]);
      $fclose(file);
      if (photo == @LAST@) $finish;
      photo <= photo + 1;
      $readmemh("photo1.hex", memory);
      sent <= 0;
      rst <= 1;
    end
    if (cycle == 200000) begin $display("too long"); $finish; end
  end
endmodule
"""


def words_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split()


def simulate(folder: Path, bench: str, sources: list[Path]) -> None:
    (folder / "stranger.v").write_text(bench, encoding="utf-8")
    compiled = [
        "iverilog",
        "-g2012",
        "-s",
        "stranger",
        "-o",
        "stranger.vvp",
        "stranger.v",
        *map(str, sources),
    ]
    subprocess.run(compiled, cwd=folder, check=True, capture_output=True, timeout=120)
    done = subprocess.run(
        ["vvp", "-n", "stranger.vvp"], cwd=folder, check=True, capture_output=True, text=True, timeout=300
    )
    assert "too long" not in done.stdout


def number(tensor: dict, words: list[str], matrix: int, row: int, column: int) -> int:
    """One number of a tensor, by the formula of the page."""
    lines = tensor["lines"]
    groups = -(-(tensor["first_row"] + tensor["rows"]) // lines)
    stride = tensor["columns"] * tensor["bytes_each"] + tensor["extra"]
    line, group = (tensor["first_row"] + row) % lines, (tensor["first_row"] + row) // lines
    value = 0
    for byte in range(tensor["bytes_each"]):
        word = words[
            tensor["base"] + (matrix * groups + group) * stride + column * tensor["bytes_each"] + byte
        ]
        at = len(word) - 2 * line - 2
        value |= int(word[at : at + 2], 16) << (8 * byte)
    bits = 8 * tensor["bytes_each"]
    return value - (1 << bits) if tensor["signed"] and value >> (bits - 1) else value


def photo_words(pixels: np.ndarray, base: int, lines: int) -> str:
    """Pixels in the order row, column, channel; byte i is byte i mod lines of word base + i // lines."""
    flat = [int(value) for row in pixels for pixel in row for value in pixel]
    flat += [0] * (-len(flat) % lines)
    words = [
        "".join(f"{value:02x}" for value in flat[at : at + lines][::-1]) for at in range(0, len(flat), lines)
    ]
    return f"@{base:x}\n" + "\n".join(words) + "\n"


@pytest.mark.parametrize("form", ["linear", "log2"])
def test_two_photos_of_ones_own_through_a_program(tmp_path, form):
    program = random_program(
        image=(6, 6), patch=3, dim=14, depth=1, heads=2, mlp=26, classes=3, form=form, weight_bits=4
    )
    photos = random_pixels(program, 3, seed=5)
    reference = ReferenceExecutor(program)
    write_bundle(compile_program(program, TINY), reference, photos[2], tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    memory, lines = manifest["memory"], manifest["memory"]["bytes_per_word"]
    for name in ("constants", "descriptors"):
        shutil.copy(tmp_path / "bundle" / "data" / f"{name}.hex", tmp_path)
    for index in range(2):
        (tmp_path / f"photo{index}.hex").write_text(photo_words(photos[index], memory["pixels"], lines))
    values = {
        "LINES": lines,
        "WORDS": memory["words"],
        "CONSTANTS": memory["tensor_words"],
        "DESCRIPTORS": manifest["descriptors"],
        "LAST": 1,
    }
    bench = re.sub(r"@(\w+)@", lambda match: str(values[match[1]]), ACCELERATOR)
    simulate(tmp_path, bench, sorted((tmp_path / "bundle" / "rtl").glob("*.v")))
    compared = wrong = 0
    for index in range(2):
        words = words_of(tmp_path / f"tensors{index}.hex")
        expected = reference.run(photos[index : index + 1], keep=list(manifest["tensors"]))
        for name, tensor in manifest["tensors"].items():
            whole = expected[name][0]
            if tensor["transposed"]:  # values of attention: heads, channels of the head, tokens
                whole = whole.reshape(len(whole), tensor["stack"], -1).transpose(1, 2, 0)
            whole = whole.reshape(tensor["stack"], tensor["rows"], tensor["columns"])
            for place, want in np.ndenumerate(whole):
                compared += 1
                wrong += number(tensor, words, *place) != int(want)
    assert compared == 2 * sum(np.prod(t["shape"]) for t in manifest["tensors"].values())
    assert wrong == 0
    # Rows of codes are followed by their sums.
    codes = next(tensor for tensor in manifest["tensors"].values() if tensor["extra"])
    guard = next(node.operator.guard for node in program.nodes if isinstance(node.operator, AttentionValues))
    sums = {**codes, "columns": 1, "bytes_each": 4, "signed": False}
    groups = -(-codes["rows"] // lines)
    for head in range(codes["stack"]):
        for row in range(codes["rows"]):
            one = [number(codes, words, head, row, key) for key in range(codes["columns"])]
            at = (
                codes["base"]
                + (head * groups + row // lines) * (codes["columns"] + codes["extra"])
                + codes["columns"]
            )
            found = number({**sums, "base": at, "rows": lines, "extra": 0}, words, 0, row % lines, 0)
            assert found == (
                sum(one) if form == "linear" else sum(1 << (guard - c) for c in one if c <= guard)
            )


def documented_fields() -> dict[str, dict[str, tuple[int, int]]]:
    """Kind → field → (high bit, low bit), from the tables of the page."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "rtl-interface.md").read_text(encoding="utf-8")
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for table in re.split(r"\n\| (?=[A-Z]+ \| bits)", page)[1:]:
        fields = found.setdefault(table.split(" ", 1)[0], {})
        for name, high, low in re.findall(
            r"^\| `(\w+)` \| (\d+)(?::(\d+))? \|", table.split("\n\n", 1)[0], re.MULTILINE
        ):
            fields[name] = (int(high), int(low or high))
    return found


def descriptor(kind: str, **values: int) -> str:
    fields = documented_fields()[kind]
    values["kind"] = ("LOAD", "ARRAY", "VECTOR", "STORE", "END").index(kind)
    word = 0
    for name, value in values.items():
        high, low = fields[name]
        assert 0 <= value < 1 << (high - low + 1), name
        word |= value << low
    return f"{word:064x}"


def in_words(matrix: np.ndarray, lines: int) -> list[str]:
    """A matrix of bytes as words: groups of rows, column by column, row 0 of the group in byte 0."""
    padded = np.zeros((-(-len(matrix) // lines) * lines, matrix.shape[1]), np.int64)
    padded[: len(matrix)] = matrix & 255
    return [
        "".join(f"{int(value):02x}" for value in group[::-1, column])
        for group in padded.reshape(-1, lines, matrix.shape[1])
        for column in range(matrix.shape[1])
    ]


@pytest.mark.parametrize("pairs", [0, 1])
def test_a_linear_layer_with_descriptors_written_by_hand(tmp_path, pairs):
    from p2vit.hdl.top.verilog import accelerator_verilog

    rng = np.random.default_rng(3)
    machine = replace(TINY, split=bool(pairs))
    tokens, inputs, outputs, lines, lanes = 6, 10, 11, machine.lines, machine.lanes
    steps = -(-outputs // 2) if pairs else outputs
    bound = 8 if pairs else 128
    layer = Linear(
        rng.integers(-bound, bound, (outputs, inputs)).astype(np.int8),
        rng.integers(-5000, 5000, outputs).astype(np.int32),
        rng.integers(4, 9, outputs).astype(np.int8),
        8,
        8,
    )
    x = rng.integers(-128, 128, (tokens, inputs)).astype(np.int8)
    # The memory: x, then y, then the constants.
    groups = -(-tokens // lines)
    y_at = groups * inputs
    constants_at = y_at + groups * outputs
    columns = layer.weight.astype(np.int64)
    if pairs:  # a row per pair of outputs, the even one in the low half
        columns = np.concatenate([columns, np.zeros((outputs % 2, inputs), np.int64)])
        columns = (columns[0::2] & 15) | (columns[1::2] & 15) << 4
    weights = in_words(columns, lines)
    parameters = []
    for bias, shift in zip(layer.bias, layer.shift, strict=True):
        whole = (int(bias) & 0xFFFFFFFF) | (int(shift) & 63) << 48
        raw = [f"{whole >> (8 * byte) & 255:02x}" for byte in range(8)]
        parameters += ["".join(raw[at : at + lines][::-1]) for at in range(0, 8, lines)]
    column_groups = -(-steps // lines)
    stream = [
        descriptor(
            "LOAD",
            dest=1,
            open=1,
            close=1,
            inner=inputs,
            outer=column_groups,
            stride=inputs,
            address=constants_at,
        ),
        descriptor(
            "LOAD",
            dest=2,
            open=1,
            close=1,
            inner=len(parameters),
            outer=1,
            address=constants_at + len(weights),
        ),
    ]
    chunks = -(-inputs // lanes)
    for group in range(groups):
        first, last = int(group == 0), int(group == groups - 1)
        stream += [
            descriptor("LOAD", dest=0, open=1, close=1, inner=inputs, outer=1, address=group * inputs),
            descriptor(
                "ARRAY",
                columns=steps,
                pairs=pairs,
                chunks=chunks,
                tail=inputs - (chunks - 1) * lanes,
                signed_rows=1,
                take_rows=1,
                release_rows=1,
                take_weights=first,
                release_weights=last,
                take_parameters=first,
                release_parameters=last,
                mode=0,
                planes=1,
            ),
            descriptor("STORE", source=0, address=y_at + group * outputs, columns=outputs, planes=1),
        ]
    stream.append(descriptor("END", after=groups))
    (tmp_path / "descriptors.hex").write_text("\n".join(stream) + "\n")
    (tmp_path / "constants.hex").write_text("\n".join([*weights, *parameters]) + "\n")
    (tmp_path / "photo0.hex").write_text("\n".join(in_words(x.astype(np.int64), lines)) + "\n")
    sources = []
    for name, text in accelerator_verilog(machine).items():
        (tmp_path / name).write_text(text)
        sources.append(tmp_path / name)
    values = {
        "LINES": lines,
        "WORDS": constants_at + len(weights) + len(parameters),
        "CONSTANTS": constants_at,
        "DESCRIPTORS": len(stream),
        "LAST": 0,
    }
    simulate(tmp_path, re.sub(r"@(\w+)@", lambda match: str(values[match[1]]), ACCELERATOR), sources)
    words = words_of(tmp_path / "tensors0.hex")
    form = {
        "base": y_at,
        "first_row": 0,
        "rows": tokens,
        "columns": outputs,
        "bytes_each": 1,
        "extra": 0,
        "lines": lines,
    }
    found = [
        [number({**form, "signed": True}, words, 0, r, c) for c in range(outputs)] for r in range(tokens)
    ]
    # The golden, from the page: bias, product, shift half up, saturate.
    exact = x.astype(np.int64) @ layer.weight.astype(np.int64).T + layer.bias
    shifts = layer.shift.astype(np.int64)
    assert found == np.clip((exact + (1 << (shifts - 1))) >> shifts, -128, 127).tolist()
    assert np.array_equal(found, layer.compute(x[None])[0])


def test_the_documented_fields_are_those_of_the_hardware():
    from p2vit.hdl.top.descriptor import FIELDS

    wanted: dict[str, dict[str, tuple[int, int]]] = {}
    for kind, fields in FIELDS.items():
        at = 0
        for name, width in fields:
            if not name.startswith("_"):
                wanted.setdefault(kind.name, {})[name] = (at + width - 1, at)
            at += width
    assert documented_fields() == wanted


# --- operator modules, from the comments behind their ports


def payload_fields(verilog: str, top: str) -> dict[str, tuple[bool, dict[str, list[tuple[int, int, bool]]]]]:
    """Stream → (is an input, field → (low bit, width, signed) of each of its numbers), from the comments."""
    body = re.search(rf"^module {top}\b.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    assert body
    found = {}
    for side, stream, comment in re.findall(
        r"^  (input|output) (?:\[\d+:0\] )?(\w+)_payload;  // (.*)$", body[0], re.MULTILINE
    ):
        fields = {}
        for part in comment.split("; "):
            match = re.fullmatch(r"(\w+) \[(\d+)(?::(\d+))?\](?: (?:(\d+) x )?(int|uint)(\d+))?", part)
            assert match, part
            name, high, low, count, kind, width = match.groups()
            low, each = int(low or high), int(width or 1)
            assert int(high) - low + 1 == int(count or 1) * each, part
            fields[name] = [(low + k * each, each, kind == "int") for k in range(int(count or 1))]
        found[stream] = (side == "input", fields)
    return found


def beat_bench(top: str, streams: dict, counts: dict[str, int], widths: dict[str, int]) -> str:
    """A bench that sends every beat as soon as it is taken, and takes outputs in two of three cycles."""
    lines = ["module stranger;", "  reg clk = 0, rst = 1; integer cycle = 0;", "  always #5 clk = ~clk;"]
    ports, complete = [], []
    for name, (is_input, _) in streams.items():
        high, count = widths[name] - 1, counts[name]
        lines += [f"  integer {name}_at = 0;"]
        moves = f"{name}_valid && {name}_ready && !rst"
        ports += [f".{name}_{part}({name}_{part})" for part in ("payload", "valid", "ready")]
        if is_input:
            lines += [
                f"  reg [{high}:0] {name}_beats [0:{count}];",
                f'  initial $readmemh("{name}.hex", {name}_beats);',
                f"  wire {name}_valid = {name}_at < {count}; wire {name}_ready;",
                f"  wire [{high}:0] {name}_payload = {name}_beats[{name}_at];",
                f"  always @(posedge clk) if ({moves}) {name}_at <= {name}_at + 1;",
            ]
        else:
            lines += [
                f"  wire {name}_valid; wire {name}_ready = cycle % 3 != 0; wire [{high}:0] {name}_payload;",
                f'  integer {name}_file; initial {name}_file = $fopen("{name}.out", "w");',
                f"  always @(posedge clk) if ({moves}) begin",
                f'    $fdisplay({name}_file, "%b", {name}_payload); {name}_at <= {name}_at + 1;',
                "  end",
            ]
            complete.append(f"{name}_at == {count}")
    return "\n".join(
        [
            *lines,
            f"  {top} dut(.clk(clk), .rst(rst), {', '.join(ports)});",
            "  always @(posedge clk) begin",
            "    cycle <= cycle + 1; rst <= cycle < 2;",
            f"    if ({' && '.join(complete)}) $finish;",
            '    if (cycle == 100000) begin $display("too long"); $finish; end',
            "  end",
            "endmodule",
            "",
        ]
    )


def through_module(folder: Path, module, inputs: dict[str, dict], counts: dict[str, int]) -> dict[str, dict]:
    """Send beats to a module and return its output beats: stream → field → numbers [beats][n]."""
    verilog = to_verilog(module, module.key)
    (folder / "dut.v").write_text(verilog)
    streams = payload_fields(verilog, module.key)
    widths = {
        name: max(low + width for field in fields.values() for low, width, _ in field)
        for name, (_, fields) in streams.items()
    }
    counts = dict(counts)
    for name, (is_input, fields) in streams.items():
        if not is_input:
            continue
        beats = {key: np.asarray(value).reshape(len(value), -1) for key, value in inputs[name].items()}
        assert set(beats) == set(fields)
        counts[name] = len(next(iter(beats.values())))
        words = []
        for beat in range(counts[name]):
            word = 0
            for key, places in fields.items():
                for value, (low, width, _) in zip(beats[key][beat], places, strict=True):
                    word |= (int(value) & ((1 << width) - 1)) << low
            words.append(f"{word:0{-(-widths[name] // 4)}x}")
        (folder / f"{name}.hex").write_text("\n".join([*words, "0"]) + "\n")
    simulate(folder, beat_bench(module.key, streams, counts, widths), [folder / "dut.v"])
    found: dict[str, dict] = {}
    for name, (is_input, fields) in streams.items():
        if is_input:
            continue
        rows = words_of(folder / f"{name}.out")
        assert len(rows) == counts[name]
        for key, places in fields.items():
            numbers = []
            for row in rows:
                bits = [row[len(row) - low - width : len(row) - low] for low, width, _ in places]
                numbers.append(
                    [
                        None if "x" in one else int(one, 2) - (int(one[0]) << len(one) if signed else 0)
                        for one, (_, _, signed) in zip(bits, places, strict=True)
                    ]
                )
            found.setdefault(name, {})[key] = numbers
    return found


@pytest.mark.parametrize("name", CATALOG)
def test_a_module_with_beats_packed_by_its_comments(name, tmp_path):
    make, _, beats = CATALOG[name]
    module = make()
    inputs = module.sample(np.random.default_rng(11), 3 * beats)
    expected = module.compute(inputs)
    counts = {stream: len(next(iter(fields.values()))) for stream, fields in expected.items()}
    found = through_module(tmp_path, module, inputs, counts)
    compared = 0
    for stream, fields in expected.items():
        for key, want in fields.items():
            want = np.asarray(want).reshape(counts[stream], -1)
            where = module.specified(stream, key, expected)
            where = np.ones(want.shape, bool) if where is None else np.asarray(where).reshape(want.shape)
            for beat, lane in zip(*np.nonzero(where), strict=True):
                compared += 1
                assert found[stream][key][beat][lane] == want[beat, lane], (stream, key, beat, lane)
    assert compared


def half_up(x: int, s: int) -> int:
    return (x + (1 << (s - 1))) >> s if s > 0 else x << -s


def test_the_softmax_that_the_page_describes():
    table = [int(2 ** (15 - (i + 0.5) / 128) + 0.5) for i in range(128)]
    rng = np.random.default_rng(0)
    scores = rng.integers(-(1 << 20), 1 << 20, (50, 9)).astype(np.int32) >> rng.integers(
        0, 16, (50, 1)
    ).astype(np.int32)
    for shift in (-3, 0, 5):
        for form in ("linear", "log2"):
            found = Softmax(shift=np.array([shift], np.int8), form=form).compute(scores[None, None])[0, 0]
            for row, codes in zip(scores.tolist(), found.tolist(), strict=True):
                for score, code in zip(row, codes, strict=True):
                    u = (min(half_up(max(row) - score, shift), 65535) * 23637) >> 15
                    linear = min(255, half_up(table[(u >> 4) % 128], 7 + (u >> 11)))
                    assert code == (linear if form == "linear" else min(15, half_up(u, 11)))


@pytest.mark.parametrize("channels", [2, 13, 384])
def test_the_layernorm_that_the_page_describes(channels):
    def entry(i: int, fraction: int) -> int:
        return (isqrt((channels << (2 * fraction + 2)) // ((2 * i + 513) << 19)) + 1) >> 1

    fraction = max(k for k in range(40) if entry(0, k) < 1 << 15)
    roots = [entry(i, fraction) for i in range(768)]
    assert rsqrt_table(channels)[0].tolist() == roots
    reduce = next(t for t in range(15) if channels << (28 - 2 * t) <= 1 << 30)
    rng = np.random.default_rng(1)
    x = rng.integers(-9, 9, (6, channels)).astype(np.int16) << rng.integers(0, 8, (6, 1)).astype(np.int16)
    x[5] = 3
    for epsilon, least in ((0, -14), (12345, -3), (1 << 29, 2)):
        norm = LayerNorm(
            channels, np.zeros(channels, np.int8), np.array(roots, np.uint16), np.full(channels, 20, np.int8),
            epsilon, least, output_bits=16,
        )  # fmt: skip
        found = norm.compute(x[None])[0].tolist()
        for row, got in zip(x.tolist(), found, strict=True):
            centred = [channels * a - sum(row) for a in row]
            k = max(max(map(abs, centred)).bit_length() - 14, least)
            d = [half_up(c, k) for c in centred]
            shift = 2 * (k - least)
            v = sum(half_up(value, reduce) ** 2 for value in d) + (
                half_up(epsilon, shift) if shift <= 31 else 0
            )
            v = max(v, 1)
            j = (v.bit_length() - 29) // 2
            w = v >> (2 * j) if j >= 0 else v << (-2 * j)
            want = [max(-32768, min(32767, half_up(value * roots[(w >> 20) - 256], 20 + j))) for value in d]
            assert got == want
