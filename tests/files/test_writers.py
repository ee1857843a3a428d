"""Only `p2vit.files` opens files for writing: what is in the way, full disks and kills are thought of in one place."""

import ast
from pathlib import Path

import p2vit

SOURCE = Path(p2vit.__file__).parent
#: Modules that write by themselves, and why that is right. Each writes where nobody keeps anything.
SCRATCH = {
    "quant/disk_array.py": "photos and activations, in a temporary folder",
    "cli/main.py": "the null device, in place of a pipe that its reader closed",
    "hdl/icarus.py": "a simulation's temporary folder",
    "hdl/synthesis/ecp5.py": "a tool's temporary folder",
    "hdl/synthesis/netlist.py": "a tool's temporary folder, and the stage of a set of files",
    "hdl/synthesis/timing.py": "a tool's temporary folder",
    "hdl/tools/cache.py": "the cache of compiled RTL, through a temporary folder",
    "hdl/tools/verilator.py": "the folder that the cache gives",
    "hdl/tools/verilog.py": "a tool's temporary folder",
    "bench/models.py": "the folder that made_once gives",
    "export/vectors.py": "np.save into memory",
    "workflows/synth.py": "the stage of a set of files",
    "cli/shared/terminal.py": "the standard streams, where they were closed",
    "export/c/compile.py": "a temporary folder",
    "export/web/compile.py": "a temporary folder",
}
#: Methods of paths, and functions of modules, that change what is on the disk.
METHODS = {
    "write_text", "write_bytes", "rename", "unlink", "rmdir", "mkdir", "touch", "symlink_to", "hardlink_to", "tofile",
}  # fmt: skip
FUNCTIONS = {
    "os": {"rename", "replace", "remove", "unlink", "rmdir", "mkdir", "makedirs", "open", "truncate", "link"},
    "shutil": {"rmtree", "copy", "copy2", "copyfile", "copytree", "move"},
    "np": {"save", "savez", "savez_compressed", "savetxt", "memmap"},
    "onnx": {"save", "save_model"},
    "torch": {"save"},
}  # fmt: skip


def writes(text: str) -> list[int]:
    """Lines that change something on the disk."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        function, named = node.func, {word.arg: word.value for word in node.keywords}
        if isinstance(function, ast.Name):
            if function.id == "save_file" or (
                function.id == "open" and _opens_to_write(node.args[1:2], named)
            ):
                found.append(node.lineno)
        elif isinstance(function, ast.Attribute):
            owner = function.value.id if isinstance(function.value, ast.Name) else None
            if owner in FUNCTIONS:
                hit = function.attr in FUNCTIONS[owner]
            elif function.attr == "open" and owner == "Image":
                hit = False
            elif function.attr == "open":
                hit = _opens_to_write(node.args[:1] if owner != "io" else node.args[1:2], named)
            else:
                # A text's replace takes two; a path's, one.
                of_path = function.attr == "replace" and len(node.args) == 1 and not node.keywords
                hit = function.attr in METHODS or of_path or function.attr == "save_model"
            if hit:
                found.append(node.lineno)
    return found


def _opens_to_write(mode: list[ast.expr], named: dict) -> bool:
    """Whether a mode, given or not, lets a file be written; what is no constant counts."""
    given = mode[0] if mode else named.get("mode")
    if given is None:
        return False
    return (
        not isinstance(given, ast.Constant)
        or not isinstance(given.value, str)
        or bool(set("wax+") & set(given.value))
    )


def test_the_search_sees_every_way():
    for line in (
        "open('x', 'w')", "open('x', mode='ab')", "path.open('r+')", "path.open(mode)", "path.write_text('')",
        "path.replace(other)", "os.replace(a, b)", "np.save(f, a)", "shutil.rmtree(x)", "(a / b).unlink()",
        "onnx.save(m, f)", "save_file(a, b)", "openvino.save_model(m, f)", "path.mkdir()",
    ):  # fmt: skip
        assert writes(line) == [1], line
    for line in (
        "open('x')",
        "path.open('rb')",
        "path.open(encoding='utf-8')",
        "Image.open(path)",
        "'a'.replace('a', 'b')",
        "save(p, f)",
    ):
        assert writes(line) == [], line


def test_nothing_else_writes():
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith("files/") and (lines := writes(path.read_text(encoding="utf-8"))):
            found[name] = lines
    foreign = {name: lines for name, lines in found.items() if name not in SCRATCH}
    assert not foreign, f"these write files by themselves; use p2vit.files: {foreign}"
    assert set(SCRATCH) == set(found), "SCRATCH names modules that do not write"
