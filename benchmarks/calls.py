"""How well calls are measured on simulated recordings, and what measuring them costs: prints two tables.

.venv/bin/python benchmarks/calls.py [SAMPLE_RATE]
"""

import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.signal import welch

from anemone_lib import detect
from anemone_lib.detection.calls import measure_calls
from anemone_lib.simulation import simulate_recording, write_recording
from anemone_lib.simulation.reef import measure_band_power
from anemone_lib.simulation.sounds import echoes, make_aggressive_train, make_chirp, make_submissive_call

LEVELS_DB = (3, 6, 9, 12, 15, 18)
SEEDS, CALLS = range(6), 60


def main() -> None:
    rate = int(sys.argv[1]) if len(sys.argv) > 1 else 16_000
    print(f"{len(SEEDS) * CALLS} calls at {rate} Hz\n")
    print("| level, dB | found | onset within 10 ms | pulses exact | period within 5 % | peak within 5 % |")
    print("|---|---|---|---|---|---|")
    for level_db in LEVELS_DB:
        rows = np.array([row for seed in SEEDS for row in measure_reef(seed, rate, level_db)], float)
        print(f"| {level_db} | " + " | ".join(f"{100 * value:.0f} %" for value in np.nanmean(rows, axis=0)) + " |")
    print()
    measure_cost()


def measure_reef(seed: int, rate: int, level_db: float) -> list[tuple[float, ...]]:
    """Of each call of one reef: found, onset, count, period, peak right (1) or not (0); NaN where it does not apply."""
    rng = np.random.default_rng(seed)
    makers = rng.choice([make_aggressive_train, make_chirp, make_submissive_call], p=[0.6, 0.3, 0.1], size=CALLS)
    sounds = [make(rng, rate, length_mm=rng.uniform(55, 130)) for make in makers]
    starts = 1 + np.cumsum([0, *(len(sound.samples) / rate + 1.2 for sound in sounds[:-1])])
    quiet = {"bouts_per_minute": 0, "neighbours_per_minute": 0}
    samples, _ = simulate_recording(duration=float(starts[-1]) + 3, seed=seed + 1000, sample_rate=rate, **quiet)
    placed = []
    for start, sound in zip(starts, sounds, strict=True):
        first = round(start * rate)
        band = {"sample_rate": rate, "low_hz": sound.low_hz, "high_hz": sound.high_hz}
        around = measure_band_power(samples[first - rate // 2 : first + rate // 2], **band)
        gain = np.sqrt(around * 10 ** (level_db / 10) / measure_band_power(sound.samples, **band))
        heard = echoes(rng, rate, sound.samples * np.float32(gain))
        samples[first : first + len(heard)] += heard
        placed.append((first / rate, sound, heard))
    recording = SimpleNamespace(sample_rate=rate, n_samples=len(samples), read=lambda a, b: samples[a:b].copy())
    return [compare(recording, *one) for one in placed]


def compare(recording, start, sound, heard) -> tuple[float, ...]:
    rate = recording.sample_rate
    end = start + len(sound.samples) / rate
    event = SimpleNamespace(start_time=start - 0.3, end_time=end + 0.3)
    calls = [c for c in measure_calls(recording, event) if c.start_time < end and c.end_time > start - 0.02]
    if not calls:
        return (0, 0, 0, np.nan, 0)
    loudest = max(calls, key=lambda call: call.level_db)
    frequency, power = welch(heard, rate, nperseg=min(len(heard), round(0.016 * rate)), nfft=8 * round(0.016 * rate))
    truth = frequency[power.argmax()]
    period = np.nan
    if len(sound.onsets_s) > 1 and loudest.pulse_period_s:
        period = abs(loudest.pulse_period_s / np.median(np.diff(sound.onsets_s)) - 1) <= 0.05
    return (
        1,
        min(abs(call.start_time - start) for call in calls) <= 0.010,
        sum(call.n_pulses for call in calls) == len(sound.onsets_s),
        period,
        abs(loudest.peak_hz / truth - 1) <= 0.05,
    )


def measure_cost() -> None:
    """Ten minutes at 48 kHz, detected with and without measuring calls, in turn; processor time."""
    print("| bouts a minute | events | without calls, s | with calls, s | more |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for bouts in (0.5, 3.0):
            path = Path(folder, f"{bouts}.wav")
            write_recording(path, duration=600, seed=1, bouts_per_minute=bouts)
            took: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(5):
                for calls in (False, True):
                    began = time.process_time()
                    found = detect(path, calls=calls)
                    took[calls].append(time.process_time() - began)
            without, full = float(np.median(took[False])), float(np.median(took[True]))
            more = 100 * (full / without - 1)
            print(f"| {bouts:g} | {len(found.events)} | {without:.2f} | {full:.2f} | {more:.0f} % |")


if __name__ == "__main__":
    main()
