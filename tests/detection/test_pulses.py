"""The peaks of a level, against those that SciPy finds; sound at a lower rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks

from anemone_lib.detection.pulses import MIN_DIP_DB, MIN_LEVEL_DB, _decimate, _find_peaks

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


@pytest.mark.parametrize(("rate", "factor"), [(48_000, 7), (44_100, 7), (192_000, 30), (16_000, 2)])
@pytest.mark.parametrize("frequency", [100, 950, 2400])
def test_sound_at_a_lower_rate_is_the_same_up_to_the_highest_frequency_that_is_needed(rate, factor, frequency):
    time = np.arange(rate + 17) / rate
    lower, new_rate = _decimate(np.sin(2 * np.pi * frequency * time).astype(np.float32), rate, 2500)
    assert new_rate == rate / factor
    assert len(lower) == -(-len(time) // factor)
    expected = np.sin(2 * np.pi * frequency * np.arange(len(lower)) / new_rate)
    np.testing.assert_allclose(lower[100:-100], expected[100:-100], atol=0.004)
    above = np.sin(2 * np.pi * (new_rate - frequency) * time).astype(np.float32)  # would be heard as the frequency
    assert np.abs(_decimate(above, rate, 2500)[0][100:-100]).max() < 0.002


def test_sound_at_a_low_rate_stays_as_it_is():
    samples = np.ones(4000, np.float32)
    assert _decimate(samples, 4000, 1800)[0] is samples
