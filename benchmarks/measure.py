"""How things are measured: in processes of their own, interleaved, memory from outside, other work told.

A worker is a script that gets ready once and then measures as often as it is asked, so that runs of several workers
can take turns: what disturbs the machine for a while disturbs all of them alike.
"""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

WORKERS = Path(__file__).parent / "workers"
#: Share of the machine's time that others may take before a run counts as disturbed.
QUIET = 0.05


def serve(measure: Callable[..., dict[str, Any]]) -> None:
    """Answer requests, one JSON object a line, until there are no more: the main loop of a worker."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(**json.loads(line))), file=answers, flush=True)


class WorkerError(RuntimeError):
    """A worker that did not start, or ended before it was done; run by hand, its script says why."""


class Worker:
    """A script of ``workers/`` in a process of its own, optionally in another Python environment."""

    def __init__(
        self, name: str, *, python: str | Path = sys.executable, environ: dict[str, str] | None = None
    ) -> None:
        environ = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **(environ or {}),
        }
        self.process = subprocess.Popen(
            [str(python), str(WORKERS / f"with_{name}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environ,
        )
        self._peak_kb = 0
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Let it measure once."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("{"):  # libraries may print while they are imported
                answer: dict[str, Any] = json.loads(line)
                return answer
        self.close()
        raise WorkerError(f"the worker ended: {' '.join(map(str, self.process.args))}")  # type: ignore[arg-type]

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self._look()

    def _look(self) -> None:
        self._peak_kb = max(self._peak_kb, resident_kb(tree_of(self.process.pid)))

    def peak_mb(self) -> float:
        """Peak resident memory of its processes together, as the kernel counts it."""
        self._look()
        return self._peak_kb / 1024

    def close(self) -> None:
        """Let it end."""
        self._look()
        self._done.set()
        self._watcher.join()
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def interleaved(rounds: int, **runs: Callable[[], float]) -> dict[str, float]:
    """Take turns; return the median of each."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # a first time, for caches and lazy imports
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return {name: median(values) for name, values in found.items()}


def seconds(run: Callable[[], Any]) -> Callable[[], float]:
    """Turn a piece of work into a measurement of its time."""

    def timed() -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    return timed


# ---------------------------------------------------------------------- the machine


def tree_of(pid: int) -> list[int]:
    """Return a process and all that it started."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def resident_kb(pids: list[int]) -> int:
    """Resident memory: the highest one process ever had; of several what they have now, shared pages counted once."""
    file, field = ("status", "VmHWM") if len(pids) == 1 else ("smaps_rollup", "Pss")
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    return total


class Others:
    """Share of the machine's time that went to anything but this benchmark, the host's other guests included."""

    def __init__(self) -> None:
        self._began = self._now()

    def share(self) -> float:
        """Return it, since this object was made."""
        busy, own, wall = (now - then for now, then in zip(self._now(), self._began, strict=True))
        return max(0.0, busy - own) / (wall * (os.cpu_count() or 1))

    @staticmethod
    def _now() -> tuple[float, float, float]:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, _, _, irq, softirq, steal = fields
        ticks = os.sysconf("SC_CLK_TCK")
        own = sum(
            usage.ru_utime + usage.ru_stime
            for usage in (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )
        return (user + nice + system + irq + softirq + steal) / ticks, own, time.monotonic()


def describe_machine() -> list[str]:
    """Return in words what this machine is and which versions are measured."""
    import platform
    from importlib.metadata import version

    info = Path("/proc/cpuinfo").read_text()

    def field(name: str) -> str:
        return next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith(name)), "?")

    flags = set(field("flags").split() or field("Features").split())
    known = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "sha_ni", "asimddp", "i8mm")
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    packages = ("numpy", "scipy", "ai-edge-litert")
    return [
        f"{os.cpu_count()} cores, {field('model name')}, {', '.join(flag for flag in known if flag in flags)}; "
        f"{int(memory.split()[1]) / 2**20:.0f} GiB; {platform.system()} {platform.release().split('-')[0]}",
        f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages),
    ]


#: Where the section of ``archive.py`` begins in the results; it is the last.
ARCHIVE_HEADING = "## The archive"


def keep_section(path: Path, text: str) -> None:
    """Replace in the results what one of the two programs wrote there: all from its heading, or all before."""
    before, heading, after = path.read_text(encoding="utf-8").partition(ARCHIVE_HEADING)
    parts = (before, text) if text.startswith(ARCHIVE_HEADING) else (text, heading + after)
    path.write_text("\n\n".join(part.strip("\n") for part in parts if part) + "\n", encoding="utf-8")
