"""What is wrong with the sound is said in the result, the same however the recording was cut."""

import numpy as np
import pytest

from anemone_lib import InferenceConfig, detect, load_classifier, open_recording
from anemone_lib.scoring import merge, plan, score_chunk
from anemone_lib.scoring.condition import measure

CONFIG = InferenceConfig()
RATE = 48_000


def warnings_of(path, loudness, config=CONFIG, **options):
    return list(detect(path, config=config, classifier=loudness, **options).metadata["warnings"])


def test_a_good_recording_has_no_warnings(write_wav, noise, loudness):
    assert warnings_of(write_wav(noise(20)), loudness) == []


@pytest.mark.parametrize("value", [0.0, 0.25, -0.5])
def test_a_hydrophone_that_was_dead_from_the_start_is_said(write_wav, loudness, value):
    (text,) = warnings_of(write_wav(np.full(10 * RATE, value)), loudness)
    assert "every sample is" in text
    assert "means nothing" in text


def test_a_hydrophone_that_died_is_said_with_the_time(write_wav, noise, loudness):
    sound = noise(20)
    sound[round(12.4 * RATE) :] = 0
    (text,) = warnings_of(write_wav(sound), loudness)
    assert "from 12.40 s to the end every sample is 0" in text


def test_a_stretch_without_sound_is_said(write_wav, noise, loudness):
    sound = noise(20)
    sound[4 * RATE : 8 * RATE] = 0.1
    (text,) = warnings_of(write_wav(sound), loudness)
    assert "from 4.00 s to 8.00 s every sample is 0.1 of full scale" in text


def test_clipping_is_said_with_its_share(write_wav, noise, loudness):
    sound = noise(20)
    clipped = np.clip(8 * sound, -1, 1)
    share = 100 * np.mean(np.abs(clipped) >= 0.99)
    (text,) = warnings_of(write_wav(clipped), loudness)
    assert text.startswith("clipped")
    assert f"{share:.3g} %" in text


def test_a_recording_that_is_clipped_all_over_is_said_in_plain_numbers(write_wav, loudness, noise):
    (text,) = warnings_of(write_wav(np.sign(noise(5))), loudness)
    assert text.startswith("clipped: 100 % of the samples")


@pytest.mark.parametrize("offset", [0, 4000])
def test_floats_in_counts_are_not_called_clipped(write_wav, loudness, noise, offset):
    sound = 32_768 * noise(5) + offset
    text, *others = warnings_of(write_wav(sound.astype(np.float32), subtype="FLOAT"), loudness)
    peak = float(f"{np.abs(sound).max():.3g}")
    assert text.startswith(f"the samples reach {peak:,.0f} times full scale")
    assert [other.split(" of ")[0] for other in others] == ["the samples have a constant offset"] * bool(offset)


def test_one_loud_click_is_no_clipping(write_wav, noise, loudness):
    sound = noise(20)
    sound[1000] = 0.999
    assert warnings_of(write_wav(sound), loudness) == []


@pytest.mark.parametrize("offset", [0.05, -0.2])
def test_an_offset_is_said_with_its_size(write_wav, noise, loudness, offset):
    (text,) = warnings_of(write_wav(0.3 * noise(20) + offset), loudness)
    assert f"constant offset of {100 * offset:.2g} % of full scale" in text


@pytest.mark.parametrize("frequency_hz", [500, 6_000, 12_000])
def test_a_tone_has_no_offset(write_wav, loudness, frequency_hz):
    tone = 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(10 * RATE) / RATE + 1)
    assert warnings_of(write_wav(tone), loudness) == []


@pytest.mark.parametrize("sample_rate", [4_000, 7_999, 250_000])
def test_a_rate_that_no_hydrophone_has_is_said(write_wav, noise, loudness, sample_rate):
    config = InferenceConfig.for_sample_rate(sample_rate)
    (text,) = warnings_of(write_wav(noise(3, sample_rate), sample_rate), loudness, config)
    assert f"{sample_rate:,} Hz" in text


def test_a_model_that_was_trained_at_a_low_rate_is_not_said_to_be_given_a_wrong_one(write_wav, noise, loudness):
    config = InferenceConfig(target_sr=4000, n_fft=256, hop_length=64, fmax_hz=1000)
    path = write_wav(noise(3, 4000), 4000)
    assert len(warnings_of(path, loudness, config)) == 2  # the rate, and frames of 64 ms
    card = load_classifier().card
    loudness.card = card.model_copy(update={"settings": config.model_dump(), "transform_sr": None})
    assert warnings_of(path, loudness, config) == []


@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "words"),
    [
        (16_000, 1024, ("64 ms", "n_fft=342", "hop_length=85", "target_sr=48000")),
        (8_000, 1024, ("128 ms", "n_fft=170")),
        (8_000, 65_536, ("8,190 ms",)),
        (48_000, 4096, ("85.3 ms", "n_fft=1024", "target_sr=192000")),
        (96_000, 256, ("2.67 ms", "n_fft=2048")),
    ],
)
def test_frames_too_long_or_too_short_are_said_with_the_setting_that_fits(
    write_wav, noise, loudness, sample_rate, n_fft, words
):
    config = InferenceConfig(n_fft=n_fft, hop_length=n_fft // 4)
    (text,) = warnings_of(write_wav(noise(3, sample_rate), sample_rate), loudness, config)
    assert all(word in text for word in words), text
    fitting = InferenceConfig.for_sample_rate(sample_rate)
    assert warnings_of(write_wav(noise(3, sample_rate), sample_rate), loudness, fitting) == []


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 22_050, 44_100, 96_000, 192_000])
def test_settings_for_a_sample_rate_keep_the_resolution_of_the_defaults(sample_rate):
    config = InferenceConfig.for_sample_rate(sample_rate, confidence_threshold=0.7)
    assert config.n_fft / sample_rate == pytest.approx(1024 / 48_000, rel=0.01)
    assert config.hop_length / sample_rate == pytest.approx(256 / 48_000, rel=0.02)
    assert config.n_fft % 2 == 0
    assert config.confidence_threshold == 0.7


@pytest.mark.parametrize("sample_rate", [100, 1_000_000])
def test_settings_for_an_odd_rate_stay_within_their_limits(sample_rate):
    config = InferenceConfig.for_sample_rate(sample_rate)
    assert 16 <= config.n_fft <= 65_536
    assert 1 <= config.hop_length <= config.n_fft


@pytest.mark.parametrize("chunk_windows", [1, 7, 16, 1000])
def test_the_warnings_do_not_depend_on_how_the_recording_was_cut(write_wav, noise, loudness, chunk_windows):
    sound = np.clip(4 * noise(30) + 0.03, -1, 1)
    sound[20 * RATE :] = 0
    path = write_wav(sound)
    expected = warnings_of(path, loudness)
    assert len(expected) == 3
    with open_recording(path) as recording:
        chunks = plan(recording, CONFIG, chunk_windows=chunk_windows)
        results = {chunk: score_chunk(recording, chunk, loudness, CONFIG) for chunk in chunks}
        scores = merge(results, recording=recording, classifier=loudness, config=CONFIG)
    assert list(scores.warnings) == expected


def test_measures_of_cells_are_those_of_their_samples(rng):
    samples = rng.standard_normal(1050).astype(np.float32) * 0.1
    samples[150] = 1.0
    samples[320:330] = np.nan
    samples[700:800] = np.nan
    measures = measure(samples, 10, 100)
    for k in range(10):
        cell = samples[100 * k : 1050 if k == 9 else 100 * (k + 1)]
        finite = cell[np.isfinite(cell)]
        assert measures[k, 4] == pytest.approx(np.isnan(cell).mean(), abs=1e-6)
        if len(finite):
            np.testing.assert_allclose(measures[k, :2], [finite.min(), finite.max()])
            assert measures[k, 2] == pytest.approx(finite.mean(), abs=1e-6)
    assert measures[1, 3] == pytest.approx(0.01)
    assert np.isnan(measures[7, :3]).all()
