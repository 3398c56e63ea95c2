"""A small season with classes of its own: hums and knocks at 4 kHz, in tables with a column of an odd name."""

import numpy as np
import soundfile

RATE = 4000


def write_season(folder, *, n_recordings=6, seconds=40, seed=0, hums=(8, 14), knocks=(2, 5), names=None):
    """Write recordings with Raven tables whose labels (h, k, ?) are in the column ``heard by Ana``."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for k in range(n_recordings):
        name = names[k] if names else f"2021{7 + k // 28:02d}{1 + k % 28:02d}_210000"
        samples = 0.01 * rng.standard_normal(seconds * RATE)
        rows, position = [], 0.5
        kinds = ["h"] * int(rng.integers(*hums)) + ["k"] * int(rng.integers(*knocks))
        for kind in rng.permutation(kinds):
            position += rng.uniform(1.0, 2.0)
            length = 0.7 if kind == "h" else 0.15
            if position + length > seconds - 0.5:
                break
            time = np.arange(round(length * RATE)) / RATE
            if kind == "h":
                call = sum(np.sin(2 * np.pi * 120 * n * time) / n for n in (1, 2, 3)) * np.hanning(len(time))
            else:
                call = np.sin(2 * np.pi * 700 * time) * np.exp(-((time * 25) % 1) * 6)
            start = round(position * RATE)
            samples[start : start + len(time)] += 0.12 * rng.uniform(0.6, 1.4) * call
            rows.append((position, position + length, *((80, 400) if kind == "h" else (500, 900)), kind))
            position += length
        path = folder / f"{name}.wav"
        soundfile.write(path, samples, RATE)
        header = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\theard by Ana\n"
        lines = [
            f"{i}\tSpectrogram 1\t1\t{a}\t{b}\t{lo}\t{hi}\t{kind}\n" for i, (a, b, lo, hi, kind) in enumerate(rows, 1)
        ]
        (folder / f"{name}.Table.1.selections.txt").write_text(header + "".join(lines))
        paths.append(path)
    return paths
