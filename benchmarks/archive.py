"""Measure `anemone archive`: small files against a large one, planning, memory, what a second run costs.

``python benchmarks/archive.py [--files N] [--plan N] [--kill N] [--workers N] [--memory AMOUNT]`` prints a table.
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
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from material import OUT, recording
from measure import resident_kb, tree_of

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


def show(*cells: str) -> None:
    """Print a row of the table, as soon as it is known."""
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000, help="recordings of one minute")
    parser.add_argument("--plan", type=int, default=100_000, help="recordings that are planned")
    parser.add_argument("--kill", type=int, default=0, help="recordings of a run that is killed ten times")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--memory", default="2GB", help="of all processes together, in one of the runs")
    asked = parser.parse_args()
    root = OUT / "archive"
    shutil.rmtree(root, ignore_errors=True)
    options = ("--workers", asked.workers, "--quiet")
    if asked.kill:
        kill_ten_times(asked.kill, root, options)
    else:
        print(
            f"load of the machine before: {os.getloadavg()[0]:.1f}; {asked.workers} workers where no number is named\n"
        )
        measure_runs(asked.files, root, options, asked.memory)
        if asked.plan:
            measure_plans(asked.plan, root)
    shutil.rmtree(root)


def add(name: str, n_minutes: int, *arguments: object) -> tuple[float, float]:
    """Run the command, show its row, and return wall and processor seconds."""
    wall, spent, peak = run(*arguments)
    each = f"{1000 * spent / n_minutes:.1f}" if n_minutes else ""
    show(name, f"{wall:.1f}", f"{spent:.1f}", each, f"{peak:.0f}")
    return wall, spent


def measure_runs(number: int, root: Path, options: tuple[object, ...], memory: str) -> None:
    """Measure small files against a large one, other formats, limits, and what a second run costs."""
    minutes = write_minutes(root / f"minutes-{number}", number)
    flac = write_minutes(root / f"flac-{number}", number, ".flac")
    # With a time of day in its name, as the others have: otherwise its page lacks all figures over time.
    long = root / "long-season" / f"{BEGAN:%Y%m%d_%H%M%S}.wav"
    long.parent.mkdir()
    long.symlink_to(recording(RATE, 60 * number))
    alone, many_name = ("--workers", 1, "--quiet"), f"{number} recordings of 1 min"
    show("", "wall, s", "processor, s", "ms a minute of audio", "peak memory, MB")
    show("---", "---:", "---:", "---:", "---:")
    first = next(minutes.iterdir())
    run("run", first, "--out", root / "warm up", *options)
    _, empty = add("one recording of a minute (start and end of a run)", 1, "run", first, "--out", root / "1", *options)
    _, one = add(f"one recording of {number} min", number, "run", long, "--out", root / "long", *options)
    name = f"one recording of {number} min, without noise"
    add(name, number, "run", long, "--out", root / "quiet", "--no-noise", *options)
    two_s, many = add(many_name, number, "run", minutes, "--out", root / "many", *options)
    one_s, _ = add(f"{many_name}, 1 worker", number, "run", minutes, "--out", root / "alone", *alone)
    limit = ("--memory", memory, *options)
    add(f"{many_name}, --memory {memory}", number, "run", minutes, "--out", root / "limit", *limit)
    add(f"{many_name} in FLAC", number, "run", flac, "--out", root / "flac", *options)
    add("the same again, all done", 0, "run", flac, "--out", root / "flac", *options)
    rate, faster = (one - empty) / (many - empty), one_s / two_s
    print(f"\nsmall files at {rate:.0%} of the rate of one long recording, a core")
    print(f"{options[1]} workers are {faster:.2f} times as fast as one, start and end of the run included\n")


def measure_plans(number: int, root: Path) -> None:
    """Measure the planning of a tenth of the recordings, and of all."""
    show("", "wall, s", "processor, s", "", "peak memory, MB")
    show("---", "---:", "---:", "---:", "---:")
    for part in (number // 10, number):
        folder = root / f"headers-{part}"
        write_headers(folder, part)
        add(f"plan of {part:,} recordings", 0, "plan", folder, "--out", root / f"plan-{part}", "--quiet")
    add("the same again", 0, "plan", folder, "--out", root / f"plan-{number}", "--quiet")


if __name__ == "__main__":
    main()
