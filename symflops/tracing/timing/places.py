"""Where kernels run: a device and a number format of torch, what they are called, and what memory is free.

>>> where = place("cpu", "fp32")
>>> where.kind, where.element, where.free > 2**20
('cpu', Fraction(4, 1), True)
>>> place("cpu", "fp8")
Traceback (most recent call last):
symflops.errors.UnknownName: unknown number format to time 'fp8-e4m3'; did you mean ... (known: bf16, fp16, fp32)
>>> place("tpu", "fp32")
Traceback (most recent call last):
symflops.errors.UnknownName: unknown device to time on 'tpu'; did you mean ... (known: cpu, cuda, cuda:N)
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import torch

from symflops.errors import SymflopsError, UnknownName
from symflops.timing.calibrating import PROCESSORS
from symflops.training.formats_known import number_format

DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
)
"""The formats that kernels are timed in. Matmuls of fp32 stay full: TensorFloat-32 is torch's default nowhere."""
_TIMES, _LEAST_FLUSH, _MOST_FLUSH = 2, 1 << 26, 1 << 27
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
_STATE = ("clocks.sm", "clocks.max.sm", "clocks_event_reasons.active", "temperature.gpu", "power.draw")


@dataclass(frozen=True)
class Place:
    """A device and a number format."""

    device: torch.device
    form: str

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return self.device.type

    @property
    def dtype(self) -> torch.dtype:
        """The format as torch has it."""
        return DTYPES[self.form]

    @property
    def element(self) -> Fraction:
        """Bytes of a number."""
        return number_format(self.form).bytes

    @property
    def name(self) -> str:
        """What the maker calls the device."""
        return torch.cuda.get_device_name(self.device) if self.kind == "cuda" else _processor()

    @property
    def flush(self) -> int:
        """Bytes that are overwritten before each run, so that nothing is left in the last cache."""
        if self.kind == "cuda":
            return max(_LEAST_FLUSH, _TIMES * torch.cuda.get_device_properties(self.device).L2_cache_size)
        return max(_LEAST_FLUSH, min(_MOST_FLUSH, _TIMES * _last_cache()))

    @property
    def free(self) -> int:
        """Bytes of memory that can be had."""
        if self.kind == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0])
        return _available()

    @property
    def versions(self) -> dict[str, str]:
        """Of torch, and of what it calls; and how many processors a CUDA device computes tiles on."""
        found = {"python": platform.python_version(), "torch": str(torch.__version__)}
        if self.kind == "cuda":
            cudnn: object = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
            found |= {"cuda": str(torch.version.cuda), "cudnn": str(cudnn), "driver": _asked("driver_version")}
            found[PROCESSORS] = str(torch.cuda.get_device_properties(self.device).multi_processor_count)
        return found

    def note(self, when: str) -> str:
        """How the device is doing: clocks and what holds them back, or the threads of a processor."""
        if self.kind == "cuda":
            return f"{when}: " + ", ".join(f"{name} {_asked(name)}" for name in _STATE)
        return f"{when}: {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.2f}"


def place(device: str, dtype: str) -> Place:
    """A device and a format by name.

    Raises `UnknownName` for others, `SymflopsError` where the device is not there.
    """
    kind, colon, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (colon and not (kind == "cuda" and number.isascii() and number.isdigit())):
        raise UnknownName("device to time on", device, ("cpu", "cuda", "cuda:N"))
    form = number_format(dtype).name
    if form not in DTYPES:
        raise UnknownName("number format to time", form, DTYPES)
    there = torch.cuda.device_count() if kind == "cuda" else 1
    if int(number or 0) >= there:
        raise SymflopsError(
            f"no device {device}: torch sees {there} CUDA devices; time on cpu, or install a CUDA build"
        )
    return Place(torch.device(device), form)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _last_cache() -> int:
    """Bytes of the third level's cache, where Linux says; else 0."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text(encoding="ascii").strip()
        return 1024 * int(text.removesuffix("K"))
    except (OSError, ValueError):
        return 0


def _available() -> int:
    """What Linux says can be had without swapping, or less where a group of processes has a limit."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        machine = 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    except (OSError, StopIteration):
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(machine, *(limit - used for limit, used in map(_group, _GROUPS) if limit is not None), machine)


def _group(files: tuple[str, str]) -> tuple[int | None, int]:
    """The limit of a control group and what it uses; no limit where there is none that can be read."""
    try:
        limit, used = (Path(each).read_text(encoding="ascii").strip() for each in files)
        return int(limit), int(used)
    except (OSError, ValueError):
        return None, 0


def _asked(field: str) -> str:
    """What nvidia-smi says of a field, if it answers."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else "unknown"
