"""Processors that the C export is compiled for and run on, most of them in emulation."""

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ZIG = (sys.executable, "-m", "ziglang", "cc", "-static", "-target")
#: What every compiler is told; the code has no warning that any of them knows.
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-fno-strict-aliasing", "-DP2VIT_TRACE")
#: A Cortex-M without an operating system or a C library.
BARE = (
    "-mthumb",
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
    "-nostdlib",
    "-Wl,--gc-sections",
)
TIMEOUT_SECONDS = 7200


@dataclass(frozen=True)
class Target:
    """A processor, and how it is reached from here.

    Attributes:
        name: Short name, for the command line.
        title: What the table calls it.
        compiler: Compiler and its options.
        emulator: Words before the program; empty if this machine runs it.
        bare: No operating system: files are read through the emulator, and memory is that of a small microcontroller.
    """

    name: str
    title: str
    compiler: tuple[str, ...]
    emulator: tuple[str, ...] = ()
    bare: bool = False

    def missing(self) -> str | None:
        """Return what this machine lacks to compile and run for the processor, or None."""
        if self.compiler[1:3] == ("-m", "ziglang"):
            if importlib.util.find_spec("ziglang") is None:
                return "the Python package ziglang"
        elif shutil.which(self.compiler[0]) is None:
            return self.compiler[0]
        if self.emulator and shutil.which(self.emulator[0]) is None:
            return self.emulator[0]
        return None

    def build(self, folder: Path, traced: int) -> Path:
        """Compile an exported program and the runner.

        Args:
            folder: Folder of the export.
            traced: Number of photos whose every tensor is written.

        Returns:
            The executable file.
        """
        program = folder / f"run-{self.name}"
        sources = sorted(str(file) for file in folder.glob("*.c") if file.name != "check.c")
        runner = [str(HERE / "runner.c"), str(HERE / ("cortex_m.c" if self.bare else "hosted.c"))]
        if self.bare:
            runner += ["-T", str(HERE / "cortex_m.ld"), "-lgcc"]
        options = [*STRICT, f"-DTRACED={traced}", f"-I{folder}", f"-I{HERE}", "-o", str(program)]
        # The assembler looks for weights.bin in the current folder.
        run([*self.compiler, *options, *sources, *runner], folder)
        return program

    def run(self, program: Path) -> None:
        """Run the program in the folder of the export: ``photos.bin`` is read, ``integers.bin`` is written."""
        run([*self.emulator, str(program)], program.parent)

    def sizes(self, program: Path) -> tuple[int, int]:
        """Return the bytes of flash and of RAM of a bare program, with the stack that the last run used."""
        words = (
            subprocess.check_output(["arm-none-eabi-size", str(program)], text=True).splitlines()[1].split()
        )
        text, data, bss = (int(word) for word in words[:3])
        used = int.from_bytes((program.parent / "stack.bin").read_bytes(), "little")
        return text + data, data + bss - STACK_BYTES + used


#: Room for the stack in cortex_m.ld.
STACK_BYTES = 4096


def run(command: list[str], folder: Path) -> None:
    """Run a command; what it printed is shown if it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nexit status {done.returncode}\n{done.stdout}{done.stderr}")


def hosted(name: str, title: str, triple: str, emulator: str, *options: str, cpu: str = "") -> Target:
    """Linux on a processor, compiled by zig and run by QEMU."""
    words = (emulator, "-cpu", cpu) if cpu else (emulator,)
    return Target(name, title, (*ZIG, triple, "-O3", *options), words)


def cortex(name: str, title: str, board: str) -> Target:
    """A Cortex-M on a board of QEMU."""
    compiler = ("arm-none-eabi-gcc", f"-mcpu={name}", "-O2", *BARE)
    machine = ("qemu-system-arm", "-M", board, "-nographic", "-monitor", "none")
    files = ("-semihosting-config", "enable=on,target=native", "-kernel")
    return Target(name, title, compiler, (*machine, *files), bare=True)


PROCESSORS = {
    each.name: each
    for each in (
        Target("x86-64", "x86-64, SSE2", ("cc", "-O3")),
        Target("x86-64-portable", "x86-64, portable C", ("cc", "-O3", "-DP2VIT_PORTABLE")),
        hosted("i386", "i386 (32 bit)", "x86-linux-musl", "qemu-i386"),
        hosted("arm64", "Arm64", "aarch64-linux-musl", "qemu-aarch64"),
        hosted(
            "arm64-dot",
            "Arm64 with dot products",
            "aarch64-linux-musl",
            "qemu-aarch64",
            "-mcpu=generic+dotprod",
            cpu="max",
        ),
        hosted("riscv64", "RISC-V, 64 bit", "riscv64-linux-musl", "qemu-riscv64"),
        hosted("s390x", "s390x, big-endian", "s390x-linux-musl", "qemu-s390x"),
        cortex("cortex-m3", "Cortex-M3", "mps2-an385"),
        cortex("cortex-m4", "Cortex-M4, DSP instructions", "mps2-an386"),
        cortex("cortex-m7", "Cortex-M7, DSP instructions", "mps2-an500"),
    )
}
