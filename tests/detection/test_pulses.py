"""The peaks of a level, against those that SciPy finds; sound at a lower rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks, welch

from anemone_lib.detection.pulses import MIN_DIP_DB, MIN_LEVEL_DB, _find_peaks, find_pulses, lower_rate

BAND_HZ = (300, 1000)

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


@pytest.mark.parametrize(("rate", "factor"), [(48_000, 6), (44_100, 5), (192_000, 25), (16_000, 2)])
@pytest.mark.parametrize("frequency", [100, 950, 2400])
def test_sound_at_a_lower_rate_is_the_same_up_to_the_highest_frequency_that_is_needed(rate, factor, frequency):
    time = np.arange(rate + 17) / rate
    lower, new_rate = lower_rate(np.sin(2 * np.pi * frequency * time).astype(np.float32), rate, BAND_HZ)
    assert new_rate == rate / factor
    assert len(lower) == -(-len(time) // factor)
    expected = np.sin(2 * np.pi * frequency * np.arange(len(lower)) / new_rate)
    np.testing.assert_allclose(lower[100:-100], expected[100:-100], atol=0.004)
    above = np.sin(2 * np.pi * (new_rate - frequency) * time).astype(np.float32)  # would be heard as the frequency
    assert np.abs(lower_rate(above, rate, BAND_HZ)[0][100:-100]).max() < 0.002


@pytest.mark.parametrize("n", [0, 1, 5, 997, 20_011])
def test_sound_of_any_length_at_a_lower_rate_is_what_a_filter_gives_of_which_some_values_are_kept(rng, n):
    samples = rng.standard_normal(n).astype(np.float32)
    lower, _ = lower_rate(samples, 48_000, BAND_HZ)
    impulse = np.zeros(2401, np.float32)
    impulse[1200] = 1
    taps = np.array([lower_rate(np.roll(impulse, shift), 48_000, BAND_HZ)[0] for shift in range(6)]).T[:, ::-1].ravel()
    expected = np.convolve(samples, taps)[taps.argmax() :][:n:6] if n else samples
    np.testing.assert_allclose(lower, expected, atol=1e-5)


def test_sound_at_a_low_rate_stays_as_it_is():
    samples = np.ones(4000, np.float32)
    assert lower_rate(samples, 4000, BAND_HZ)[0] is samples


def test_a_band_alone_has_the_power_and_the_frequencies_of_the_sound_in_it(rng):
    rate, n = 8000, 40_000
    samples = rng.standard_normal(n).astype(np.float32)
    pulses = find_pulses([samples[:100], samples, samples[:9000]], rate, BAND_HZ)
    signal = pulses.signal[pulses.begins[1] : pulses.stops[1]]
    assert len(signal) == int(n * pulses.rate / rate)
    assert pulses.begins[0] == pulses.stops[0]  # shorter than a block: nothing is looked for
    frequency, power = welch(signal, pulses.rate, nperseg=512, return_onesided=False)
    frequency_of_sound, power_of_sound = welch(samples, rate, nperseg=4096)
    for low in range(350, 950, 50):
        inside = (frequency + pulses.origin_hz) % pulses.rate
        ours = power[(inside >= low) & (inside < low + 50)].mean()
        theirs = power_of_sound[(frequency_of_sound >= low) & (frequency_of_sound < low + 50)].mean()
        assert ours == pytest.approx(theirs, rel=0.1)


def test_a_tone_runs_on_where_transforms_meet():
    rate, frequency = 8000, 655.0
    samples = np.sin(2 * np.pi * frequency * np.arange(8 * rate) / rate).astype(np.float32)
    pulses = find_pulses([samples], rate, BAND_HZ)
    signal = pulses.signal[pulses.begins[0] : pulses.stops[0]]
    moved = signal * np.exp(-2j * np.pi * (frequency - pulses.origin_hz) * np.arange(len(signal)) / pulses.rate)
    inside = moved[200:-200] / moved[len(moved) // 2]
    assert np.abs(inside - 1).max() < 0.01
    assert np.square(np.abs(signal[200:-200])).mean() == pytest.approx(0.5, rel=0.01)  # mean square of a sine


def test_a_stretch_of_sound_is_the_same_whatever_is_measured_with_it(rng):
    rate = 8000
    sounds = []
    for n in (300, 9000, 24_000, 7000):
        samples = 1e-3 * rng.standard_normal(n).astype(np.float32)
        for start in range(0, n, 1500):  # pulses at both ends, too
            samples[start : start + 160] += np.float32(0.05) * np.sin(0.5 * np.arange(min(160, n - start)))
        sounds.append(samples)
    together = find_pulses(sounds, rate, BAND_HZ)
    assert len(together.peaks) > 10
    for k, samples in enumerate(sounds):
        alone, own = find_pulses([samples], rate, BAND_HZ), together.stretches == k
        for name in ("peaks", "starts", "ends"):
            moved = getattr(together, name)[own] - together.begins[k]
            assert moved.tolist() == (getattr(alone, name) - alone.begins[0]).tolist()
        for name in ("signal", "power", "floor", "level"):
            part, whole = (
                getattr(pulses, name)[pulses.begins[j] : pulses.stops[j]] for pulses, j in ((together, k), (alone, 0))
            )
            np.testing.assert_allclose(part, whole, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(together.excess_db[own], alone.excess_db, rtol=1e-4)


def test_sound_in_which_nothing_stands_out_has_no_pulses():
    pulses = find_pulses([np.zeros(8000, np.float32), np.zeros(10, np.float32)], 8000, BAND_HZ)
    assert len(pulses.peaks) == len(pulses.starts) == len(pulses.excess_db) == 0
