"""The peaks of a level, against those that SciPy finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks

from anemone_lib.detection.pulses import MIN_DIP_DB, MIN_LEVEL_DB, _find_peaks

# Halves of decibels, so that plateaus and equal heights are among them.
levels = st.lists(st.integers(0, 60).map(lambda k: k / 2), max_size=60).map(np.array)


@given(levels, st.integers(1, 12))
@settings(max_examples=1000, deadline=None)
def test_peaks_are_those_of_scipy(level, distance):
    expected, _ = find_peaks(level, height=MIN_LEVEL_DB, prominence=MIN_DIP_DB, distance=distance)
    assert _find_peaks(level, distance=distance).tolist() == expected.tolist()


@pytest.mark.parametrize("smoothing", [1, 5, 40])
def test_peaks_of_noise_are_those_of_scipy(rng, smoothing):
    level = 12 * np.convolve(rng.standard_normal(20_000), np.ones(smoothing) / smoothing**0.5, mode="same")
    expected, _ = find_peaks(level, height=MIN_LEVEL_DB, prominence=MIN_DIP_DB, distance=20)
    assert len(expected) > 100
    assert _find_peaks(level, distance=20).tolist() == expected.tolist()
