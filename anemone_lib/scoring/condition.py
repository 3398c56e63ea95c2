"""Faults of the sound itself: a dead hydrophone, clipping, an offset; settings that do not fit the rate.

*How it is measured.* When a chunk is scored, five numbers are measured for every window, from the samples between its
start and the start of the next window: the lowest, the highest, the mean, the share at full scale and the share that
is lost. They are kept with the window's probabilities. So they do not depend on how the recording was cut, and nothing
is read twice.
"""

from collections.abc import Iterator

import numpy as np

from anemone_lib.config import DEFAULT_RATE_HZ, fit_transform
from anemone_lib.errors import spell_number

#: Columns of `measure`.
LOWEST, HIGHEST, MEAN, CLIPPED, LOST = range(5)
N_MEASURES = 5
#: Samples as large as this share of full scale count as clipped (8-bit samples reach 0.992).
FULL_SCALE = 0.99
#: Shares and levels from which a warning is given.
CLIPPED_SHARE, OFFSET, DEAD_S = 1e-4, 0.01, 1.0
#: A warning is also given if the offset is larger than this share of the usual peak.
SMALL_OFFSET = 1e-3
#: Floats may go a little over full scale; those that go this many times over it are in another unit.
OTHER_UNIT = 2.0
#: Range of the sample rates of hydrophones, Hz, and of the length of a frame that shows pulses, seconds.
RATES_HZ = (8_000, 200_000)
FRAME_S = (0.005, 0.050)


def measure(samples: np.ndarray, n_cells: int, cell_samples: int) -> np.ndarray:
    """Measure a stretch of samples in cells.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32
        NaN where they are lost.
    n_cells : int > 0
    cell_samples : int > 0
        The last cell may have fewer, or more.

    Returns
    -------
    measures : np.ndarray [shape=(n_cells, 5)], float32
        Lowest, highest, mean, share at full scale, share lost; the first four are NaN where all is lost.
    """
    measures = np.empty((n_cells, N_MEASURES), np.float32)
    n_whole = min(n_cells - 1, len(samples) // cell_samples)
    whole = samples[: n_whole * cell_samples].reshape(n_whole, cell_samples)
    np.min(whole, axis=1, out=measures[:n_whole, LOWEST])
    np.max(whole, axis=1, out=measures[:n_whole, HIGHEST])
    np.mean(whole, axis=1, out=measures[:n_whole, MEAN])
    measures[:, CLIPPED:] = 0
    odd = ~((measures[:n_whole, HIGHEST] < FULL_SCALE) & (measures[:n_whole, LOWEST] > -FULL_SCALE))
    cells = [(int(k), whole[k]) for k in np.flatnonzero(odd)]
    cells += [(k, samples[k * cell_samples : (k + 1) * cell_samples]) for k in range(n_whole, n_cells - 1)]
    for k, cell in [*cells, (n_cells - 1, samples[(n_cells - 1) * cell_samples :])]:
        measures[k] = _measure_cell(cell)
    return measures


def _measure_cell(cell: np.ndarray) -> tuple[float, float, float, float, float]:
    finite = cell[np.isfinite(cell)]
    if not len(finite):
        return np.nan, np.nan, np.nan, 0.0, 1.0
    clipped = np.count_nonzero(np.abs(finite) >= FULL_SCALE) / len(finite)
    return float(finite.min()), float(finite.max()), float(finite.mean()), clipped, 1 - len(finite) / len(cell)


def describe_condition(measures: np.ndarray, starts: np.ndarray, duration: float) -> list[str]:
    """Describe the faults of the sound.

    Parameters
    ----------
    measures : np.ndarray [shape=(n, 5)], from `measure`, of every cell; NaN where it is not known
    starts : np.ndarray [shape=(n,)], of the cells, seconds
    duration : float, of the recording, seconds

    Returns
    -------
    warnings : list of str
    """
    heard = np.isfinite(measures[:, LOWEST])
    if not heard.any():
        return []
    peak = float(np.abs(measures[heard][:, [LOWEST, HIGHEST]]).max())
    loud = (
        [
            f"the samples reach {spell_number(peak)} times full scale: they are in another unit, such as counts of the "
            "converter, and so are all levels; whether they are clipped is not known"
        ]
        if peak >= OTHER_UNIT
        else _find_clipped(measures, heard, np.diff(starts, append=duration))
    )
    return [
        *_find_dead(measures, heard, starts, duration),
        *loud,
        *_find_offset(measures, heard, full_scale=peak if peak >= OTHER_UNIT else 1.0),
    ]


def _find_dead(measures: np.ndarray, heard: np.ndarray, starts: np.ndarray, duration: float) -> Iterator[str]:
    constant = heard & (measures[:, LOWEST] == measures[:, HIGHEST])
    if not constant.any():
        return
    ends = np.append(starts[1:], duration)
    if (constant | ~heard).all() and len(np.unique(measures[heard, LOWEST])) == 1:
        yield (
            f"every sample is {_format_level(measures[heard, LOWEST][0])}: the hydrophone, its cable or the recorder "
            "was dead; the absence of events means nothing there"
        )
        return
    edges = np.flatnonzero(np.diff(constant.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    runs = [(first, stop) for first, stop in edges if ends[stop - 1] - starts[first] >= DEAD_S]
    total = sum(ends[stop - 1] - starts[first] for first, stop in runs)
    for first, stop in runs[:3]:
        until = "to the end" if stop == len(starts) else f"to {ends[stop - 1]:.2f} s"
        yield (
            f"from {starts[first]:.2f} s {until} every sample is {_format_level(measures[first, LOWEST])}: nothing was "
            "heard there; the absence of events means nothing there"
        )
    if len(runs) > 3:
        yield f"{len(runs) - 3} more stretches without sound, {total:.6g} s in all"


def _format_level(value: float) -> str:
    return "0" if value == 0 else f"{spell_number(value)} of full scale"


def _find_clipped(measures: np.ndarray, heard: np.ndarray, lengths: np.ndarray) -> Iterator[str]:
    moving = heard & (measures[:, LOWEST] < measures[:, HIGHEST])
    if not moving.any():
        return
    share = float(np.average(measures[moving, CLIPPED], weights=lengths[moving]))
    if share >= CLIPPED_SHARE:
        places = int(np.count_nonzero(measures[:, CLIPPED] > 0))
        yield (
            f"clipped: {spell_number(100 * share)} % of the samples are at full scale, in {places} of {len(measures)} "
            "windows; loud sounds are distorted there, record with less gain"
        )


def _find_offset(measures: np.ndarray, heard: np.ndarray, *, full_scale: float) -> Iterator[str]:
    moving = heard & (measures[:, LOWEST] < measures[:, HIGHEST])
    if not moving.any():
        return
    offset = float(measures[moving, MEAN].mean(dtype=np.float64))
    peak = float(np.median(measures[moving, HIGHEST] - measures[moving, LOWEST])) / 2
    share = abs(offset) / full_scale
    if share >= OFFSET or (share >= SMALL_OFFSET and abs(offset) > peak / 2):
        percent, times = spell_number(100 * offset / full_scale, 2), spell_number(abs(offset) / peak, 2)
        yield (
            f"the samples have a constant offset of {percent} % of full scale, {times} times "
            "the usual peak; it hides quiet sounds in the spectrogram: remove it, or check the recorder"
        )


def describe_rates(sample_rate: int, *, original_rate: int, n_fft: int, trained_sr: int | None = None) -> list[str]:
    """Warn of a sample rate that no hydrophone has, and of a transform that does not fit the rate.

    Parameters
    ----------
    sample_rate : int, in Hz, that the windows are cut from
    original_rate : int, in Hz, of the file
    n_fft : int
    trained_sr : int, in Hz, optional
        The sample rate of the training recordings, if it used this transform: then there is no warning.

    Returns
    -------
    warnings : list of str

    Examples
    --------
    >>> len(describe_rates(4000, original_rate=4000, n_fft=256))
    2
    >>> describe_rates(4000, original_rate=4000, n_fft=256, trained_sr=4000)
    []
    """
    warnings = []
    if not min(RATES_HZ[0], trained_sr or RATES_HZ[0]) <= original_rate <= RATES_HZ[1]:
        warnings.append(
            f"the sample rate is {original_rate:,} Hz; hydrophones record {RATES_HZ[0]:,} to {RATES_HZ[1]:,} Hz: is "
            "the header right?"
        )
    length = n_fft / sample_rate
    if sample_rate != trained_sr and not FRAME_S[0] <= length <= FRAME_S[1]:
        fitting = fit_transform(sample_rate)
        target_sr = round(n_fft * DEFAULT_RATE_HZ / fit_transform(DEFAULT_RATE_HZ)[0])
        why = "pulses vanish in it" if length > FRAME_S[1] else "frequencies blur in it"
        warnings.append(
            f"n_fft={n_fft} at {sample_rate:,} Hz makes frames of {spell_number(1000 * length)} ms, and {why}; "
            f"n_fft={fitting[0]} and hop_length={fitting[1]} fit (InferenceConfig.for_sample_rate({sample_rate})), "
            f"or target_sr={target_sr} for a model that needs n_fft={n_fft}"
        )
    return warnings
