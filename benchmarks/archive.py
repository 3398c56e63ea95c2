"""Measure `anemone archive`: small files against a large one, planning, memory, what a second run costs.

``python benchmarks/archive.py [--files N] [--plan N] [--kill N] [--workers N] [--memory AMOUNT] [--keep]`` prints a
table, writes it to ``out/bench/ARCHIVE.md``, and with ``--keep`` into ``benchmarks/RESULTS.md``.
Processor time is the sum over all processes of a run, so that it says something on a machine with other work, too;
memory is the resident memory of all of them together. A tenth of the recordings is planned as well, to see whether
memory grows with their number. With ``--kill 2000``,
2,000 recordings of mixed formats, rates and sites, some of them odd, are analysed by a run that is killed ten times,
five times itself and five times a worker first, and the tables are compared with those of a run that nothing stopped.
"""

import argparse
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from material import OUT, recording
from measure import ARCHIVE_HEADING, describe_machine, keep_section, resident_kb, tree_of

from anemone_lib.provenance import __version__, code_sha256

ROOT = Path(__file__).parent.parent
RATE = 48_000
BEGAN = datetime(2023, 2, 10)
TICKS = os.sysconf("SC_CLK_TCK")


def run(*arguments: object) -> tuple[float, float, float]:
    """Run the command; return wall seconds, processor seconds and peak memory (MB) of all its processes together."""
    command = [sys.executable, "-c", "from anemone_lib.cli import app; app()", "archive", *map(str, arguments)]
    began = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
    spent: dict[int, float] = {}
    peak = 0.0
    while process.poll() is None:
        tree = tree_of(process.pid)
        peak = max(peak, resident_kb(tree) / 1024)
        for pid in tree:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                spent[pid] = (int(fields[11]) + int(fields[12])) / TICKS
            except (OSError, IndexError):
                continue
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))} ended with {process.returncode}")
    return time.perf_counter() - began, sum(spent.values()), peak


def write_minutes(folder: Path, number: int, suffix: str = ".wav") -> Path:
    """Write recordings of one minute, no two with the same bytes."""
    import soundfile

    base, _ = soundfile.read(recording(RATE, 600), dtype="int16")
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(number):
        path = folder / f"{BEGAN + timedelta(minutes=k):%Y%m%d_%H%M%S}{suffix}"
        if not path.exists():
            soundfile.write(path, np.roll(base, 997 * k)[: 60 * RATE], RATE)
    return folder


def write_headers(folder: Path, number: int) -> None:
    """Write recordings of 32 samples at 20 sites: their headers are as long as those of any."""
    head = b"RIFF" + struct.pack("<I", 100) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    rng = np.random.default_rng(0)
    for k in range(number):
        path = folder / f"site {k % 20:02d}" / f"{BEGAN + timedelta(minutes=k // 20):%Y%m%d_%H%M%S}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(head + b"data" + struct.pack("<I", 64) + rng.bytes(64))


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """Start the command without waiting for it."""
    command = [sys.executable, "-c", "from anemone_lib.cli import app; app()", "archive", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_ten_times(number: int, root: Path, options: tuple[object, ...]) -> None:
    """Compare the tables of a run that is killed ten times with those of one that nothing stopped; print a row."""
    sys.path.insert(0, str(ROOT))
    from tests.archive.conftest import read_bytes, write_season

    odd = write_season(root / "season", number)
    whole, killed = root / "whole", root / "killed"
    began = time.perf_counter()
    start("run", root / "season", "--out", whole, *options).wait()
    took = time.perf_counter() - began
    dice = random.Random(1)
    for turn in range(10):
        process = start("run", root / "season", "--out", killed, *options)
        goal = min(number * (turn + 1) // 11, number - 50) - dice.randrange(number // 22)
        while process.poll() is None and len(list((killed / "scores").glob("*.npz"))) < goal:
            time.sleep(0.05)
        workers = [pid for pid in tree_of(process.pid) if pid != process.pid]
        if turn % 2 and workers:  # the run goes on: it is ended a little later, by hand
            os.kill(dice.choice(workers), signal.SIGKILL)
            time.sleep(2)
        if process.poll() is None:
            process.kill()
        process.wait()
    start("run", root / "season", "--out", killed, *options).wait()
    same = read_bytes(whole) == read_bytes(killed)
    said = "same bytes" if same else "DIFFERENT BYTES"
    print(f"\n{number:,} recordings, {len(odd):,} of them odd, killed ten times: {said} (undisturbed: {took:.0f} s)")
    if not same:
        raise SystemExit(1)


class Report:
    """The section of the results, printed line by line as it is known."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str = "") -> None:
        """Add a line."""
        print(line, flush=True)
        self.lines.append(line)

    def show(self, *cells: str) -> None:
        """Add a row of a table."""
        self.say("| " + " | ".join(cells) + " |")

    def head(self, *cells: str) -> None:
        """Begin a table."""
        self.show(*cells)
        self.show("---", *["---:"] * (len(cells) - 1))

    def add(self, name: str, n_minutes: int, *arguments: object) -> tuple[float, float]:
        """Run the command, add its row, and return wall and processor seconds."""
        return self.add_measured(name, n_minutes, run(*arguments))

    def add_measured(self, name: str, n_minutes: int, measured: tuple[float, float, float]) -> tuple[float, float]:
        """Add the row of a run that was measured."""
        wall, spent, peak = measured
        each = f"{1000 * spent / n_minutes:.1f}" if n_minutes else ""
        self.show(name, f"{wall:.1f}", f"{spent:.1f}", each, f"{peak:.0f}")
        return wall, spent


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300, help="recordings of one minute")
    parser.add_argument("--turns", type=int, default=3, help="runs of the two that are compared, in turns")
    parser.add_argument("--plan", type=int, default=100_000, help="recordings that are planned")
    parser.add_argument("--kill", type=int, default=0, help="recordings of a run that is killed ten times")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--memory", default="2GB", help="of all processes together, in one of the runs")
    parser.add_argument("--keep", action="store_true", help="replace the section of benchmarks/RESULTS.md")
    asked = parser.parse_args()
    root = OUT / "archive"
    shutil.rmtree(root, ignore_errors=True)
    options = ("--workers", asked.workers, "--quiet")
    if asked.kill:
        kill_ten_times(asked.kill, root, options)
    else:
        report, before = Report(), os.getloadavg()[0]
        report.say(ARCHIVE_HEADING)
        report.say()
        report.say(
            f"- `python benchmarks/archive.py --files {asked.files}`, {datetime.now(UTC):%Y-%m-%d}, Anemone "
            f"{__version__}, code {code_sha256()[:12]}; 48 kHz, 16 bits, with noise, tables and page"
        )
        for line in describe_machine():
            report.say(f"- {line}")
        report.say(
            f"- {asked.workers} workers where no number is named; processor time and memory are of all processes"
        )
        report.say()
        measure_runs(report, asked.files, asked.turns, root, options, asked.memory)
        if asked.plan:
            measure_plans(report, asked.plan, root)
        report.say(
            f"\nLoad average {before:.1f} before and {os.getloadavg()[0]:.1f} after: where other work ran, ratios and "
            "processor time count, and wall time does not."
        )
        (OUT / "ARCHIVE.md").write_text("\n".join(report.lines) + "\n", encoding="utf-8")
        if asked.keep:
            keep_section(Path(__file__).parent / "RESULTS.md", "\n".join(report.lines) + "\n")
    shutil.rmtree(root)


def measure_runs(report: Report, number: int, turns: int, root: Path, options: tuple[object, ...], memory: str) -> None:
    """Measure small files against a large one, other formats, limits, and what a second run costs."""
    minutes = write_minutes(root / f"minutes-{number}", number)
    flac = write_minutes(root / f"flac-{number}", number, ".flac")
    # With a time of day in its name, as the others have: otherwise its page lacks all figures over time.
    long = root / "long-season" / f"{BEGAN:%Y%m%d_%H%M%S}.wav"
    long.parent.mkdir()
    long.symlink_to(recording(RATE, 60 * number))
    alone, many_name = ("--workers", 1, "--quiet"), f"{number} recordings of 1 min"
    report.head("", "wall, s", "processor, s", "ms a minute of audio", "peak memory, MB")
    first = next(minutes.iterdir())
    run("run", first, "--out", root / "warm up", *options)
    name = "one recording of a minute (start and end of a run)"
    _, empty = report.add(name, 1, "run", first, "--out", root / "1", *options)
    pairs = [
        [run("run", source, "--out", root / f"{kind} {turn}", *options) for kind, source in kinds]
        for turn in range(turns)
        for kinds in [(("long", long), ("many", minutes))]
    ]
    _, one = report.add_measured(f"one recording of {number} min", number, take_median([pair[0] for pair in pairs]))
    two_s, many = report.add_measured(many_name, number, take_median([pair[1] for pair in pairs]))
    name = f"one recording of {number} min, without noise"
    report.add(name, number, "run", long, "--out", root / "quiet", "--no-noise", *options)
    one_s, _ = report.add(f"{many_name}, 1 worker", number, "run", minutes, "--out", root / "alone", *alone)
    limit = ("--memory", memory, *options)
    report.add(f"{many_name}, --memory {memory}", number, "run", minutes, "--out", root / "limit", *limit)
    report.add(f"{many_name} in FLAC", number, "run", flac, "--out", root / "flac", *options)
    _, again = report.add(f"{many_name} again, all done", 0, "run", minutes, "--out", root / "many 0", *options)
    _, page = report.add("their tables and page again (`report`)", 0, "report", root / "many 0", "--quiet")
    rates = [(a[1] - empty) / (b[1] - empty) for a, b in pairs]
    report.say()
    report.say(
        f"- small files at {(one - empty) / (many - empty):.0%} of the rate of one long recording, a core (medians of "
        f"{turns} turns: {', '.join(f'{rate:.0%}' for rate in rates)}; target ≥ 90 %), start and end of a run left out"
    )
    if os.getloadavg()[0] > 1.5 * int(str(options[1])):
        report.say("- how much faster several workers are than one: not measured, other work ran")
    else:
        report.say(f"- {options[1]} workers are {one_s / two_s:.2f} times as fast as one, start and end included")
    report.say(
        f"- a run that finds all {number} done takes {again - page:.1f} s of processor time beside its tables and page"
    )
    report.say()


def take_median(measured: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Return the run with the median of processor time."""
    return sorted(measured, key=lambda one: one[1])[len(measured) // 2]


def measure_plans(report: Report, number: int, root: Path) -> None:
    """Measure the planning of a tenth of the recordings, and of all."""
    report.head("", "wall, s", "processor, s", "", "peak memory, MB")
    for part in (number // 10, number):
        folder = root / f"headers-{part}"
        write_headers(folder, part)
        report.add(f"plan of {part:,} recordings", 0, "plan", folder, "--out", root / f"plan-{part}", "--quiet")
    report.add("the same again", 0, "plan", folder, "--out", root / f"plan-{number}", "--quiet")


if __name__ == "__main__":
    main()
