"""Simulated recordings: truth compared with the samples by means that the simulation does not use."""

import tracemalloc

import numpy as np
import pytest
import soundfile
from scipy import signal

from anemone_lib.errors import ConfigError
from anemone_lib.evaluation.intervals import as_intervals, join_intervals
from anemone_lib.simulation import mammals, noises, sounds
from anemone_lib.simulation import reef as simulate
from anemone_lib.simulation.reef import simulate_recording, write_recording

RATES = (8_000, 16_000, 44_100, 48_000, 96_000, 200_000)


def peak_hz(samples, sample_rate):
    frequency, power = signal.periodogram(samples, sample_rate, nfft=1 << 18)
    return frequency[power.argmax()]


def n_pulses(samples, sample_rate, *, apart_s):
    """Count the peaks of the envelope."""
    envelope = np.abs(signal.hilbert(samples))
    smooth = signal.sosfiltfilt(signal.butter(2, 200, fs=sample_rate, output="sos"), envelope)
    return len(signal.find_peaks(np.pad(smooth, 10), height=0.3 * smooth.max(), distance=apart_s * sample_rate)[0])


# ---------------------------------------------------------------------- recordings


def test_the_same_seed_gives_the_same_recording_and_another_seed_another():
    first, truth = simulate_recording(duration=20, seed=7, sample_rate=16_000)
    again, same_truth = simulate_recording(duration=20, seed=7, sample_rate=16_000)
    other, other_truth = simulate_recording(duration=20, seed=8, sample_rate=16_000)
    np.testing.assert_array_equal(first, again)
    assert truth == same_truth
    assert not np.array_equal(first, other)
    assert truth != other_truth


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_written_recording_holds_the_samples_and_the_truth_of_the_one_in_memory(tmp_path, suffix):
    settings = {"duration": 130.3, "seed": 3, "sample_rate": 8_000, "neighbours_per_minute": 20}
    samples, truth = simulate_recording(**settings)
    written_truth = write_recording(tmp_path / f"reef{suffix}", **settings)
    written, sample_rate = soundfile.read(tmp_path / f"reef{suffix}", dtype="float32")
    assert sample_rate == 8_000
    np.testing.assert_array_equal(samples, written)
    assert truth == written_truth


def test_a_long_recording_is_written_without_holding_it(tmp_path):
    n_minutes, sample_rate = 12, 8_000
    tracemalloc.start()
    write_recording(tmp_path / "season.wav", duration=60 * n_minutes, seed=1, sample_rate=sample_rate)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert soundfile.info(tmp_path / "season.wav").frames == 60 * n_minutes * sample_rate
    assert peak < 4 * 60 * n_minutes * sample_rate  # the recording in float32


def test_the_signal_to_noise_ratio_is_the_one_asked_for():
    settings = {"duration": 60, "seed": 11, "sample_rate": 16_000, "noises": ["wind"], "neighbours_per_minute": 0}
    noise, nothing = simulate_recording(**settings, bouts_per_minute=0)
    mixed, truth = simulate_recording(**settings, bouts_per_minute=5, snr_db=(12, 12))
    assert not nothing
    assert len(truth) >= 5
    for call in truth:
        start, end = round(call.start_time * 16_000), round(call.end_time * 16_000)
        band = signal.butter(4, (call.low_hz, call.high_hz), "band", fs=16_000, output="sos")
        alone = signal.sosfilt(band, (mixed - noise)[start : end + 800])
        around = signal.sosfilt(band, noise[max(0, start - 8_000) : end + 8_000])
        snr_db = 10 * np.log10(np.sum(alone**2) / (end - start) / np.mean(around**2))
        assert snr_db == pytest.approx(12, abs=3.5)  # ±1 from call to call, echoes, the filter's skirts


def test_annotations_lie_within_the_recording_in_order_and_say_what_was_heard():
    _, truth = simulate_recording(duration=90, seed=5, sample_rate=8_000, neighbours_per_minute=30)
    assert [a.start_time for a in truth] == sorted(a.start_time for a in truth)
    assert {a.label for a in truth} == {"anemonefish", "biological"}
    assert len({a.id for a in truth}) == len(truth)
    for annotation in truth:
        assert 0 <= annotation.start_time < annotation.end_time <= 90
        assert 0 < annotation.low_hz < annotation.high_hz <= 4_000
        kind = annotation.id.rsplit("-", 1)[0]
        calls = {"aggressive_train", "chirp", "submissive_call"}
        assert kind in (calls if annotation.label == "anemonefish" else sounds.NEIGHBOURS)


def test_bouts_of_anemonefish_are_well_apart_and_their_calls_close():
    _, truth = simulate_recording(duration=600, seed=2, sample_rate=8_000, bouts_per_minute=4)
    bouts = join_intervals(as_intervals(truth, labels=["anemonefish"]), max_gap=1.3)
    gaps = bouts[1:, 0] - bouts[:-1, 1]
    assert len(bouts) == pytest.approx(40, abs=12)
    assert gaps.min() >= simulate.BOUT_GAP_S - 0.01


def test_no_bouts_and_no_neighbours_leave_noise_alone():
    samples, truth = simulate_recording(
        duration=10, seed=1, sample_rate=8_000, bouts_per_minute=0, neighbours_per_minute=0
    )
    assert truth == []
    assert samples.std() > 0


def test_hum_alone_stands_on_multiples_of_the_mains_frequency():
    samples, _ = simulate_recording(
        duration=60, seed=4, sample_rate=8_000, noises=["hum"], bouts_per_minute=0, neighbours_per_minute=0
    )
    frequency, power = signal.welch(samples, 8_000, nperseg=16_000)
    lines = frequency[signal.find_peaks(power, height=power.max() / 10, distance=10)[0]]
    distance = min(np.abs(lines / mains - np.round(lines / mains)).max() * mains for mains in (50, 60))
    assert len(lines) >= 2
    assert distance < 4


def test_snaps_are_broadband_clicks_far_above_the_noise():
    samples, _ = simulate_recording(
        duration=30, seed=6, noises=["wind", "snaps"], bouts_per_minute=0, neighbours_per_minute=0
    )
    high = signal.sosfilt(signal.butter(4, 15_000, "high", fs=48_000, output="sos"), samples)
    assert np.abs(high).max() > 8 * high.std()  # 5 for as much Gaussian noise


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_rate": 4_000}, "sample_rate is 4000; it must be 8000 to 200000"),
        ({"duration": 0}, "duration is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"snr_db": (6, 0)}, "snr_db is"),
        ({"bouts_per_minute": 9}, "bouts_per_minute is 9; it must be 0 to 6"),
        ({"neighbours_per_minute": -1}, "neighbours_per_minute is -1"),
        ({"noises": ["wind", "jazz"]}, "noises has jazz; each must be one of wind"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(settings, message):
    with pytest.raises(ConfigError, match=message):
        simulate_recording(**({"duration": 1, "seed": 0} | settings))


def test_nothing_is_written_when_a_setting_is_wrong(tmp_path):
    with pytest.raises(ConfigError):
        write_recording(tmp_path / "reef.wav", duration=1, seed=0, sample_rate=1)
    assert not (tmp_path / "reef.wav").exists()


# ---------------------------------------------------------------------- sounds


@pytest.mark.parametrize("length_mm", [55, 90, 130])
@pytest.mark.parametrize("sample_rate", [8_000, 48_000])
def test_the_dominant_frequency_falls_with_the_length_of_the_fish(rng, length_mm, sample_rate):
    peaks = [
        peak_hz(sounds.make_aggressive_train(rng, sample_rate, length_mm=length_mm).samples, sample_rate)
        for _ in range(25)
    ]
    assert np.median(peaks) == pytest.approx(49_000 / length_mm, rel=0.06)


def test_aggressive_trains_have_one_to_eight_pulses_about_a_period_apart(rng):
    counted = set()
    for _ in range(60):
        call = sounds.make_aggressive_train(rng, 16_000, length_mm=70, period_s=0.06)
        n = n_pulses(call.samples, 16_000, apart_s=0.03)
        counted.add(n)
        assert len(call.samples) / 16_000 == pytest.approx((n - 1) * 0.06 + 0.013, abs=0.08)
    assert counted <= set(range(1, 9))
    assert len(counted) >= 6


def test_chirps_last_89_ms_on_average(rng):
    durations = [len(sounds.make_chirp(rng, 48_000).samples) / 48_000 for _ in range(200)]
    assert np.mean(durations) == pytest.approx(0.089, rel=0.1)


def test_an_anemonefish_call_has_no_frequency_sweep(rng):
    drifts = []
    for _ in range(30):
        samples = sounds.make_submissive_call(rng, 16_000, length_mm=80).samples
        half = len(samples) // 2
        drifts.append(peak_hz(samples[half:], 16_000) - peak_hz(samples[:half], 16_000))
    assert abs(np.median(drifts)) < 10


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("kind", [*sounds.NEIGHBOURS, "knocks", "bubbles"])
def test_every_sound_can_be_made_at_every_rate_and_is_heard_in_its_band(rng, kind, sample_rate):
    make = (sounds.NEIGHBOURS | noises.TRANSIENTS)[kind]
    for _ in range(3):
        sound = make(rng, sample_rate)
        assert sound.samples.dtype == np.float32
        assert np.isfinite(sound.samples).all()
        assert 0 < sound.low_hz < sound.high_hz <= sample_rate / 2
        frequency, power = signal.periodogram(sound.samples, sample_rate)
        inside = (frequency >= sound.low_hz) & (frequency <= sound.high_hz)
        assert power[inside].sum() > 0.25 * power[frequency < max(4_000, sound.high_hz)].sum()


def test_grunts_repeat_their_pulses_87_to_121_times_a_second(rng):
    for _ in range(10):
        samples = sounds.grunt(rng, 48_000).samples
        envelope = np.abs(signal.hilbert(samples))
        frequency, power = signal.periodogram(envelope - envelope.mean(), 48_000, nfft=1 << 18)
        slow = (frequency > 60) & (frequency < 170)
        assert 80 < frequency[slow][power[slow].argmax()] < 130


# ---------------------------------------------------------------------- what disturbs


@pytest.mark.parametrize("sample_rate", [8_000, 96_000])
@pytest.mark.parametrize("kind", [*mammals.MAMMALS, "sonar", "explosions", "chain", "propeller"])
def test_every_voice_and_disturbance_can_be_made_at_low_and_high_rates(rng, kind, sample_rate):
    sound = (noises.TRANSIENTS | mammals.MAMMALS)[kind](rng, sample_rate)
    assert sound.samples.dtype == np.float32
    assert np.isfinite(sound.samples).all()
    assert 0 < sound.low_hz < sound.high_hz <= sample_rate / 2
    frequency, power = signal.periodogram(sound.samples, sample_rate)
    inside = (frequency >= sound.low_hz) & (frequency <= sound.high_hz)  # of a voice: its fundamental
    assert power[inside].sum() > 0.05 * power.sum()


def test_mammals_come_on_top_and_leave_the_calls_where_they_are():
    settings = {"duration": 60, "seed": 5, "sample_rate": 8_000, "bouts_per_minute": 4.0}
    _, alone = simulate_recording(**settings)
    _, together = simulate_recording(**settings, mammals_per_minute=10)
    voices = [one for one in together if one.id.rsplit("-", 1)[0] in mammals.MAMMALS]
    assert len(voices) >= 3
    assert {one.label for one in voices} == {"biological"}

    def places(truth):
        return [(one.start_time, one.end_time, one.label) for one in truth]

    assert sorted(places(alone) + places(voices)) == sorted(places(together))


def test_a_recording_disturbed_by_noise_has_the_same_calls():
    settings = {"duration": 30, "seed": 5, "sample_rate": 8_000, "bouts_per_minute": 6.0}
    quiet, alone = simulate_recording(**settings, noises=["wind"])
    loud, disturbed = simulate_recording(**settings, noises=["wind", "sonar", "explosions", "chain", "propeller"])
    assert alone == disturbed
    assert not np.array_equal(quiet, loud)


def test_no_recording_has_mammals_or_what_disturbs_unless_asked_for(rng):
    others = {"sonar", "explosions", "chain", "propeller"}
    assert others < set(simulate.NOISES)
    assert not any(others & set(simulate.choose_noises(rng)) for _ in range(50))


def test_reverberation_dies_away_and_lets_the_sound_begin_as_it_was(rng):
    sound = np.zeros(8_000, np.float32)
    sound[:800] = rng.standard_normal(800)
    heard = mammals.reverberate(rng, 8_000, sound)
    assert len(heard) > len(sound)
    assert np.abs(heard[:5] - sound[:5]).max() < 0.2 * np.abs(sound).max()
    tail = heard[800:]
    assert np.sum(tail[: len(tail) // 4] ** 2) > 10 * np.sum(tail[-len(tail) // 4 :] ** 2)


def test_over_recorded_noise_only_that_is_heard_again_and_again(rng):
    noise = (0.01 * rng.standard_normal(3 * 8_000)).astype(np.float32)
    settings = {"duration": 9, "seed": 1, "sample_rate": 8_000, "bouts_per_minute": 0, "neighbours_per_minute": 0}
    samples, truth = simulate_recording(**settings, noises=["wind"], background=noise)
    assert truth == []
    period = len(noise) - 1_600  # a fifth of a second fades into the beginning
    np.testing.assert_allclose(samples[period:], samples[:-period], atol=1e-6)
    middle = noise[4_000:8_000]
    at = signal.correlate(samples[: 2 * period], middle, "valid").argmax()
    np.testing.assert_allclose(samples[at : at + 4_000], middle, atol=1 / 32_768)
    assert 0.8 < samples.std() / noise.std() < 1.2
    loud, calls = simulate_recording(**{**settings, "bouts_per_minute": 6}, noises=["wind"], background=noise)
    assert {one.label for one in calls} == {"anemonefish"}
    assert not np.array_equal(loud, samples)
