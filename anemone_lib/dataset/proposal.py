"""Propose the score-deciding settings that fit recordings and their labels.

*Rules.* Resample to the lowest rate there is, so that every recording gives the same picture. A frame lasts a quarter
of the shortest class's median call, 8 to 64 ms: longer frames smear pulses, shorter ones blur harmonics together. A
window lasts a little longer than the longest class's median call, 0.5 to 2 s, and windows start five times as often.
The picture reaches to where nine tenths of each class's labels end, at most half the rate; without bands, to 2 kHz.
"""

from collections.abc import Sequence

import numpy as np

from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.detection.events import Annotation

#: Annotations longer than this mark a chorus, not a call.
CHORUS_S = 5.0
#: Length of a call, in seconds, and top of the picture, in Hz, where the labels do not tell.
USUAL_CALL_S, USUAL_FMAX_HZ = 0.8, 2000.0
#: Narrower bands are no bands of calls: in them, calls cannot be measured.
MIN_BAND_HZ = 50.0
#: Rows and columns of the picture at most.
HEIGHT_PIXELS, WIDTH_PIXELS = 64, 128


def propose_settings(recordings: Sequence[LabelledRecording]) -> dict[str, int | float | str | None]:
    """Propose settings; see the module's rules.

    Parameters
    ----------
    recordings : sequence of LabelledRecording, at least one

    Returns
    -------
    settings : dict, fields of `anemone_lib.config.InferenceConfig`

    Examples
    --------
    >>> from pathlib import Path
    >>> calls = (Annotation(1.0, 1.8, "grunt", 60.0, 700.0), Annotation(4.0, 4.8, "grunt", 80.0, 900.0))
    >>> reef = LabelledRecording(Path("reef.wav"), Path("reef.csv"), "reef", 10.0, 4000, calls)
    >>> settings = propose_settings([reef])
    >>> settings["target_sr"], settings["window_duration"], settings["fmax_hz"]
    (4000, 1.0, 1000.0)
    """
    rate = min(one.sample_rate for one in recordings)
    calls = [call for one in recordings for call in one.annotations]
    lengths = [
        float(np.median(own))
        for of_class in _group_by_label(calls)
        if (own := [n for n in (c.end_time - c.start_time for c in of_class) if n < CHORUS_S])
    ] or [USUAL_CALL_S]
    frame = float(np.clip(min(lengths) / 4, 0.008, 0.064))
    n_fft = int(np.clip(2 ** round(np.log2(frame * rate)), 16, 65_536))
    window = float(np.clip(round(1.25 * max(lengths) * 2) / 2, 0.5, 2.0))
    tops = [
        float(np.quantile(own, 0.9))
        for of_class in _group_by_label(calls)
        if (own := [call.high_hz for call in of_class if call.high_hz])
    ]
    fmax = float(min(rate / 2, max(_round_up(max(tops, default=USUAL_FMAX_HZ)), 8 * rate / n_fft)))
    return {
        "target_sr": rate,
        "n_fft": n_fft,
        "hop_length": max(1, n_fft // 4),
        "fmax_hz": fmax,
        "window_duration": window,
        "stride_duration": round(window / 5, 3),
        "height_pixels": HEIGHT_PIXELS,
        "width_pixels": WIDTH_PIXELS,
    }


def measure_bands(calls: Sequence[Annotation]) -> dict[str, tuple[float, float]]:
    """Return the band in which the calls of each class lie, from the boxes that people drew.

    Parameters
    ----------
    calls : sequence of Annotation

    Returns
    -------
    bands_hz : dict of (low, high) in Hz, by class
        Without the lowest and the highest twentieth of the boxes. Classes without boxes, or with a band of
        at most 50 Hz, are left out.

    Examples
    --------
    >>> boxes = [Annotation(1, 2, "grunt", low_hz=60.0, high_hz=400.0), Annotation(3, 4, "grunt", 80.0, 500.0)]
    >>> measure_bands([*boxes, Annotation(5, 6, "pop")])
    {'grunt': (61.0, 495.0)}
    """
    bands = {}
    for of_class in _group_by_label(calls):
        lows = [call.low_hz for call in of_class if call.low_hz is not None]
        highs = [call.high_hz for call in of_class if call.high_hz]
        if lows and highs:
            low, high = round(float(np.quantile(lows, 0.05)), 1), round(float(np.quantile(highs, 0.95)), 1)
            if high > low + MIN_BAND_HZ:
                bands[of_class[0].label] = (low, high)
    return bands


def _group_by_label(calls: Sequence[Annotation]) -> list[list[Annotation]]:
    """Return the calls of each class, by the name of the class."""
    return [[call for call in calls if call.label == name] for name in sorted({call.label for call in calls})]


def _round_up(frequency: float) -> float:
    """Round up to 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten, in Hz."""
    power = 10.0 ** np.floor(np.log10(max(frequency, 10.0)))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return float(next(step * power for step in steps if step * power >= frequency - 1e-6))
