"""Measure `anemone archive`: small files against a large one, planning, memory, what a second run costs.

``python benchmarks/archive.py [--files N] [--plan N] [--kill N] [--workers N]`` prints a table. Processor time is the
sum over all processes of a run, so that it says something on a machine with other work, too. With ``--kill 2000``,
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


def write_minutes(folder: Path, number: int) -> None:
    """Write recordings of one minute, no two with the same bytes."""
    import soundfile

    base, _ = soundfile.read(recording(RATE, 600), dtype="int16")
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(number):
        path = folder / f"{BEGAN + timedelta(minutes=k):%Y%m%d_%H%M%S}.wav"
        if not path.exists():
            soundfile.write(path, np.roll(base, 997 * k)[: 60 * RATE], RATE)


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
    asked = parser.parse_args()
    root = OUT / "archive"
    shutil.rmtree(root, ignore_errors=True)
    options = ("--workers", asked.workers, "--quiet")
    if asked.kill:
        kill_ten_times(asked.kill, root, options)
        shutil.rmtree(root)
        return
    minutes = root / f"minutes-{asked.files}"
    write_minutes(minutes, asked.files)
    long = recording(RATE, 60 * asked.files)
    show("", "wall, s", "processor, s", "ms a minute of audio", "peak memory, MB")
    show("---", "---:", "---:", "---:", "---:")

    def add(name: str, n_minutes: int, *arguments: object) -> float:
        wall, spent, peak = run(*arguments)
        each = f"{1000 * spent / n_minutes:.1f}" if n_minutes else ""
        show(name, f"{wall:.1f}", f"{spent:.1f}", each, f"{peak:.0f}")
        return spent

    empty = add(
        "one recording of a minute (start and end of a run)",
        1,
        "run",
        next(minutes.iterdir()),
        "--out",
        root / "1",
        *options,
    )
    one = add(f"one recording of {asked.files} min", asked.files, "run", long, "--out", root / "long", *options)
    quiet = root / "quiet"
    add(
        f"one recording of {asked.files} min, without noise",
        asked.files,
        "run",
        long,
        "--out",
        quiet,
        "--no-noise",
        *options,
    )
    many = add(f"{asked.files} recordings of 1 min", asked.files, "run", minutes, "--out", root / "many", *options)
    add("the same again, all done", 0, "run", minutes, "--out", root / "many", *options)
    if asked.plan:
        write_headers(root / "headers", asked.plan)
        add(f"plan of {asked.plan:,} recordings", 0, "plan", root / "headers", "--out", root / "plan", "--quiet")
        add("the same again", 0, "plan", root / "headers", "--out", root / "plan", "--quiet")
    print(f"\nsmall files at {(one - empty) / (many - empty):.0%} of the rate of one long recording, a core")
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
