"""Power of recordings of any length, compared with librosa and against sines of known level."""

import numpy as np
import pytest

from anemone_lib.soundscape import levels
from anemone_lib.soundscape.levels import compute_fraction_shown, measure_power


def power_of(samples, **options):
    options = {"start": 0, "stop": len(samples), "n_fft": 1024, "hop_length": 256, "n_bins": 513, **options}
    return measure_power(lambda a, b: samples[a:b], len(samples), **options)


def sine(seconds, hz=1500.0, rate=48000):
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def test_a_full_scale_sine_is_0_db():
    power = power_of(sine(1.0))  # 1500 Hz is bin 32 exactly
    assert power.argmax(axis=1)[2:-2].tolist() == [32] * (len(power) - 4)
    np.testing.assert_allclose(10 * np.log10(power[2:-2, 32]), 0, atol=1e-3)


def test_columns_are_the_frames_of_librosa(rng):
    librosa = pytest.importorskip("librosa")
    samples = rng.standard_normal(48000).astype(np.float32)
    # librosa centres frame f at f · hop, ours at (f + ½) · hop: give it the samples half a hop later.
    theirs = np.abs(librosa.stft(samples[128:], n_fft=1024, hop_length=256)) ** 2 * (4 / 1024) ** 2
    ours = power_of(samples)
    np.testing.assert_allclose(ours[2:180].T, theirs[:, 2:180], rtol=1e-3, atol=1e-6)


def test_a_part_of_a_recording_is_the_same_power_as_in_the_whole(rng):
    samples = rng.standard_normal(100_000).astype(np.float32)
    whole = power_of(samples)
    part = power_of(samples, start=256 * 100, stop=256 * 150)
    np.testing.assert_allclose(part, whole[100:150], rtol=1e-5)


def test_columns_of_many_frames_are_the_mean_of_their_power(rng, monkeypatch):
    samples = rng.standard_normal(256 * 400).astype(np.float32)
    frames = power_of(samples)
    monkeypatch.setattr(levels, "MAX_COLUMNS", 50)
    monkeypatch.setattr(levels, "BLOCK_SAMPLES", 7 * 1024)  # blocks that end within a column
    np.testing.assert_allclose(power_of(samples), frames.reshape(50, 8, -1).mean(axis=1), rtol=1e-5)


def test_a_long_recording_is_read_in_small_pieces_and_only_in_part():
    n_samples = 5 * 3600 * 48000
    asked = []

    def read(start, stop):
        asked.append((start, stop))
        return np.ones(stop - start, np.float32)

    power = measure_power(read, n_samples, start=0, stop=n_samples, n_fft=1024, hop_length=256, n_bins=43)
    assert power.shape == (levels.MAX_COLUMNS, 43)
    assert len(asked) == levels.MAX_COLUMNS * levels.STRETCHES
    assert max(stop - start for start, stop in asked) < 10_000
    assert min(asked)[0] >= 0
    assert max(asked)[1] <= n_samples
    # Every column is looked at, at evenly spread places.
    starts = np.array([start for start, _ in asked])
    assert np.ptp(np.diff(starts)) <= 2 * 256
    read_part = sum(stop - start for start, stop in asked) / n_samples
    assert compute_fraction_shown(n_samples // 256) == pytest.approx(read_part, rel=0.15)


def test_a_sampled_column_has_the_level_of_its_part(monkeypatch):
    monkeypatch.setattr(levels, "MAX_COLUMNS", 10)
    loud = sine(10.0)
    samples = np.concatenate([0.1 * loud, loud])
    assert compute_fraction_shown(len(samples) // 256) < 0.4
    level = 10 * np.log10(power_of(samples)[:, 32])
    np.testing.assert_allclose(level[1:-1], [-20] * 4 + [0] * 4, atol=0.1)


def test_frames_that_hold_nan_count_for_nothing():
    samples = sine(2.0)
    samples[48000:72000] = np.nan
    power = power_of(samples)
    assert np.isnan(power[190:278]).all()
    np.testing.assert_allclose(power[2:180, 32], 1, rtol=1e-3)
    np.testing.assert_allclose(power[285:370, 32], 1, rtol=1e-3)


def test_a_recording_shorter_than_a_frame_is_one_column():
    assert power_of(np.ones(10, np.float32)).shape == (1, 513)
