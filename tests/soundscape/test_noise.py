from contextlib import ExitStack

import numpy as np
import pytest

from anemone_lib.audio.recording import open_recording
from anemone_lib.soundscape.noise import describe_noise, find_snaps, find_tones, measure_band_levels

RATE = 48_000


def tone(frequency, seconds, amplitude):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


@pytest.fixture
def record(write_wav):
    with ExitStack() as opened:

        def make(samples, sample_rate=RATE):
            path = write_wav(np.asarray(samples, np.float32), sample_rate, subtype="FLOAT")
            return opened.enter_context(open_recording(path))

        yield make


def test_a_sine_has_its_level_in_its_band_and_nowhere_else(record):
    recording = record(tone(600, 5, 0.1))
    _, levels = measure_band_levels(recording, {"low": (20, 300), "calls": (300, 1000)})
    np.testing.assert_allclose(levels["calls"][1:-1], -20, atol=0.05)
    assert levels["low"][1:-1].max() < -60


def test_white_noise_has_the_share_of_its_power_that_the_band_has_of_the_spectrum(record, rng):
    recording = record(0.1 * rng.standard_normal(20 * RATE))
    _, levels = measure_band_levels(recording, {"all": (0, RATE), "calls": (300, 1000)})
    mean = {name: 10 * np.log10(np.mean(10 ** (level / 10))) for name, level in levels.items()}
    assert mean["all"] == pytest.approx(10 * np.log10(2 * 0.01), abs=0.1)  # a full-scale sine has power 1/2
    assert mean["calls"] - mean["all"] == pytest.approx(10 * np.log10(700 / (RATE / 2)), abs=0.2)


@pytest.mark.parametrize("per_minute", [60, 600])
def test_snaps_are_counted(rng, per_minute):
    seconds = 20
    samples = 0.01 * rng.standard_normal(seconds * RATE)
    n = per_minute * seconds // 60
    starts = np.linspace(0.1, seconds - 0.1, n) + rng.uniform(-0.02, 0.02, n)
    time = np.arange(round(0.0003 * RATE)) / RATE
    for start in (starts * RATE).astype(int):
        samples[start : start + len(time)] += 0.5 * np.sin(2 * np.pi * 6000 * time) * np.exp(-time / 1e-4)
    found = find_snaps(samples, RATE)
    assert len(found) == pytest.approx(n, rel=0.05)
    nearest = np.abs(found[:, None] - starts[None]).min(axis=1)
    assert np.median(nearest) < 0.001


def test_noise_and_fish_make_no_snaps(rng):
    samples = 0.01 * rng.standard_normal(20 * RATE)
    time = np.arange(round(0.02 * RATE)) / RATE
    for start in range(0, len(samples) - RATE, RATE // 2):
        samples[start : start + len(time)] += 0.3 * np.sin(2 * np.pi * 600 * time) * np.exp(-time / 0.005)
    assert len(find_snaps(samples, RATE)) <= 1


def test_a_boats_tones_are_found_at_their_frequencies(record, rng):
    samples = 0.02 * rng.standard_normal(60 * RATE) + tone(120, 60, 0.01) + tone(240, 60, 0.005)
    found = find_tones(record(samples))
    assert sorted(round(one.frequency_hz) for one in found) == pytest.approx([120, 240], abs=2)
    assert all(one.presence == 1 for one in found)


def test_a_call_now_and_then_is_no_tone(record, rng):
    samples = 0.02 * rng.standard_normal(60 * RATE)
    samples[: 10 * RATE] += tone(500, 10, 0.1)
    assert find_tones(record(samples)) == []


def test_overdriven_and_dead_stretches_are_told(record, rng):
    samples = np.clip(0.1 * rng.standard_normal(40 * RATE), -1, 1)
    samples[:RATE] = 1.0
    samples[20 * RATE : 30 * RATE] = 0
    context = describe_noise(record(samples))
    assert context.clipped == pytest.approx(1 / 40, rel=0.01)
    assert context.silent == pytest.approx(0.25)
    assert [doubt.split(" of the ")[0] for doubt in context.list_doubts()][:2] == ["25%", "2.50%"]


def test_a_passing_boat_masks_the_calls_while_it_passes(record, rng):
    samples = 0.01 * rng.standard_normal(40 * RATE)
    samples[: 10 * RATE] *= 10
    samples += tone(120, 40, 0.02)
    context = describe_noise(record(samples))
    assert context.masked == pytest.approx(0.25, abs=0.02)
    assert "louder than in quiet times" in context.list_doubts()[0]
    assert "Tones stay at 120 Hz" in context.list_doubts()[1]


def test_a_quiet_night_leaves_no_doubt(record, rng):
    assert describe_noise(record(0.01 * rng.standard_normal(40 * RATE))).list_doubts() == []


def test_what_cannot_be_read_counts_for_nothing(record, rng):
    samples = 0.01 * rng.standard_normal(20 * RATE)
    samples[5 * RATE : 15 * RATE] = np.nan
    context = describe_noise(record(samples))
    assert context.snaps_per_minute < 10
    assert np.isnan(context.levels["calls"]).mean() == pytest.approx(0.5, abs=0.1)


def test_a_recorder_that_cannot_hold_a_snap_says_so(record, rng):
    context = describe_noise(record(0.1 * rng.standard_normal(20_000), 4000))
    assert np.isnan(context.snaps_per_minute)
    assert np.isnan(context.levels["shrimp"]).all()


def test_one_band_must_be_that_of_the_calls(record, rng):
    with pytest.raises(ValueError, match="one must be 'calls'"):
        describe_noise(record(0.1 * rng.standard_normal(5000)), bands_hz={"low": (0, 100)})


def test_digital_silence_is_no_measure_of_the_quiet(write_wav, rng):
    samples = 0.01 * rng.standard_normal(40 * 8000).astype(np.float32)
    samples[: 10 * 8000] = 0
    with open_recording(write_wav(samples, 8000)) as recording:
        context = describe_noise(recording)
    assert context.silent == pytest.approx(0.25, abs=0.01)
    assert context.masked < 0.05
