"""What else happens on the machine while runtimes are timed: load by other processes, and the energy of the package."""

import time
from pathlib import Path

#: Share of the CPU time that other processes may take before the user is warned.
QUIET = 0.1
POWERCAP = Path("/sys/class/powercap")


def busy_share(seconds: float = 0.3, source: Path = Path("/proc/stat")) -> float | None:
    """Return the share of all CPU time that processes take while this one sleeps: 0 to 1.

    Args:
        seconds: Time to watch.
        source: Counters of the kernel.

    Returns:
        The share; None where the kernel does not have these counters.
    """

    def counters() -> tuple[int, int]:
        numbers = [int(word) for word in source.read_text().split("\n", 1)[0].split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]  # idle, and idle while a disk works

    try:
        total, idle = counters()
        time.sleep(seconds)
        total_after, idle_after = counters()
    except (OSError, ValueError, IndexError):
        return None
    passed = total_after - total
    return round(1 - (idle_after - idle) / passed, 3) if passed > 0 else None


class PackageEnergy:
    """Energy counters of the processor packages (RAPL), where the kernel lets this user read them.

    Attributes:
        counters: Folder of each package's counter.
    """

    def __init__(self, folder: Path = POWERCAP) -> None:
        """Find the counters.

        Args:
            folder: Folder of the kernel's power capping.
        """
        self.counters = [
            each
            for each in sorted(folder.glob("intel-rapl:*"))
            if each.name.count(":") == 1 and _readable(each)
        ]

    def read(self) -> list[int]:
        """Return the counter of each package, µJ."""
        return [int((each / "energy_uj").read_text()) for each in self.counters]

    def joules_since(self, before: list[int]) -> float:
        """Return the energy of all packages since an earlier `read`, in J. A counter may have wrapped once."""
        total = 0
        for each, earlier, now in zip(self.counters, before, self.read(), strict=True):
            wrap = int((each / "max_energy_range_uj").read_text()) if now < earlier else 0
            total += now - earlier + wrap
        return total / 1e6


def _readable(counter: Path) -> bool:
    try:
        int((counter / "energy_uj").read_text())
        int((counter / "max_energy_range_uj").read_text())
    except (OSError, ValueError):
        return False
    return True
