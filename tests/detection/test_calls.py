"""The calls inside events, against simulated sounds whose pulses are known, librosa, and real sounds read by eye."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.fft
from scipy.signal import find_peaks, welch

from anemone_lib import open_recording
from anemone_lib.detection.calls import add_calls, choose_band, estimate_length, measure_calls
from anemone_lib.detection.events import Event
from anemone_lib.simulation import simulate_recording
from anemone_lib.simulation.reef import measure_band_power
from anemone_lib.simulation.sounds import echoes, make_aggressive_train, make_chirp, make_submissive_call

RATE = 16_000


def as_recording(samples, sample_rate=RATE):
    """What `measure_calls` reads of a recording, without a file."""
    samples = np.asarray(samples, np.float32)
    return SimpleNamespace(
        sample_rate=sample_rate, n_samples=len(samples), read=lambda start, stop: samples[start:stop].copy()
    )


def as_event(start, end):
    return Event("id", "anemonefish", start, end, 0.9, 0.9, 3)


def measures(call):
    """What depends on how numbers are rounded."""
    return {name: getattr(call, name) for name in ("low_hz", "high_hz", "peak_hz", "snr_db", "level_db")}


def train(starts, *, frequency=600.0, duration=0.02, total=3.0, noise=1e-4, gain=0.1, rate=RATE):
    """Damped pulses in faint noise."""
    samples = noise * np.random.default_rng(0).standard_normal(round(total * rate))
    t = np.arange(round(duration * rate)) / rate
    for start in starts:
        first = round(start * rate)
        samples[first : first + len(t)] += gain * np.sin(2 * np.pi * frequency * t) * np.exp(-3 * t / duration)
    return samples


@pytest.fixture(scope="module")
def measured():
    """120 anemonefish calls with echoes at 12 dB in the noise of two reefs: (start, sound, as heard, calls found)."""
    cases = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        makers = rng.choice([make_aggressive_train, make_chirp, make_submissive_call], p=[0.6, 0.3, 0.1], size=60)
        sounds = [make(rng, RATE, length_mm=rng.uniform(55, 130)) for make in makers]
        starts = 1 + np.cumsum([0, *(len(sound.samples) / RATE + 1.2 for sound in sounds[:-1])])
        duration = float(starts[-1]) + 3
        samples, _ = simulate_recording(
            duration=duration, seed=seed + 1000, sample_rate=RATE, bouts_per_minute=0, neighbours_per_minute=0
        )
        placed = []
        for start, sound in zip(starts, sounds, strict=True):
            first = round(start * RATE)
            band = {"sample_rate": RATE, "low_hz": sound.low_hz, "high_hz": sound.high_hz}
            around = measure_band_power(samples[first - RATE // 2 : first + RATE // 2], **band)
            gain = np.sqrt(around * 10**1.2 / measure_band_power(sound.samples, **band))
            heard = echoes(rng, RATE, sound.samples * np.float32(gain))
            samples[first : first + len(heard)] += heard
            placed.append((first / RATE, sound, heard))
        recording = as_recording(samples)
        for start, sound, heard in placed:
            end = start + len(sound.samples) / RATE
            calls = measure_calls(recording, as_event(start - 0.3, end + 0.3))
            cases.append((start, sound, heard, [c for c in calls if c.start_time < end and c.end_time > start]))
    return cases


def test_every_simulated_call_is_found_within_10_ms_of_its_onset(measured):
    assert all(calls for *_, calls in measured)
    errors = [min(abs(call.start_time - start) for call in calls) for start, _, _, calls in measured]
    assert np.mean(np.array(errors) <= 0.010) >= 0.95
    assert np.median(errors) < 0.003


def test_the_pulses_are_counted_exactly_in_nine_of_ten_calls(measured):
    exact = [sum(call.n_pulses for call in calls) == len(sound.onsets_s) for _, sound, _, calls in measured]
    assert np.mean(exact) >= 0.9


def test_the_pulse_period_is_within_5_percent_in_nine_of_ten_calls(measured):
    errors = [
        calls[0].pulse_period_s / np.median(np.diff(sound.onsets_s)) - 1
        for _, sound, _, calls in measured
        if len(sound.onsets_s) > 1 and calls[0].pulse_period_s
    ]
    assert len(errors) > 100
    assert np.mean(np.abs(errors) <= 0.05) >= 0.9


def test_the_peak_frequency_is_within_5_percent_of_that_of_the_sound_without_noise(measured):
    errors = []
    for _, _, heard, calls in measured:
        frequency, power = welch(heard, RATE, nperseg=min(len(heard), 256), nfft=2048)
        errors.append(max(calls, key=lambda call: call.level_db).peak_hz / frequency[power.argmax()] - 1)
    assert np.mean(np.abs(errors) <= 0.05) >= 0.9


def test_a_train_is_measured_as_it_was_made():
    starts = [1.0, 1.05, 1.1, 1.15]
    [call] = measure_calls(as_recording(train(starts)), as_event(0.5, 2.5))
    np.testing.assert_allclose(call.pulse_times, starts, atol=0.004)
    assert call.pulse_period_s == pytest.approx(0.05, abs=0.001)
    assert call.peak_hz == pytest.approx(600, abs=10)
    assert call.low_hz < 590 < 610 < call.high_hz
    assert call.duration == pytest.approx(0.165, abs=0.02)


def test_level_and_snr_are_those_of_the_sound():
    rng = np.random.default_rng(3)
    tone = np.zeros(3 * RATE)
    tone[RATE : RATE + RATE // 5] = 0.1 * np.sin(2 * np.pi * 600 * np.arange(RATE // 5) / RATE)
    noise = 0.01 * rng.standard_normal(len(tone))
    [call] = measure_calls(as_recording(tone + noise), as_event(0.5, 2), calibration_db=170)
    assert call.level_db == pytest.approx(170 + 10 * np.log10(0.1**2 / 2), abs=0.5)
    in_band = 0.01**2 * 700 / (RATE / 2)
    assert call.snr_db == pytest.approx(10 * np.log10(0.1**2 / 2 / in_band), abs=1.5)


@pytest.mark.slow
def test_onsets_agree_with_librosa():
    import librosa

    starts = [0.8, 0.95, 1.1, 1.3]
    samples = train(starts, noise=1e-3)
    found = [time for call in measure_calls(as_recording(samples), as_event(0.5, 2.5)) for time in call.pulse_times]
    strength = librosa.onset.onset_strength(y=samples, sr=RATE, hop_length=64)
    onsets = find_peaks(strength, height=0.5 * strength.max(), distance=20)[0] * 64 / RATE
    assert len(onsets) == len(starts)
    assert len(found) == len(starts)
    for time in found:
        assert np.abs(onsets - time).min() < 0.02


def test_pulses_far_apart_are_different_calls():
    samples = train([1.0, 1.05, 1.4, 1.45])
    assert [c.n_pulses for c in measure_calls(as_recording(samples), as_event(0.5, 2.5))] == [2, 2]
    [one] = measure_calls(as_recording(samples), as_event(0.5, 2.5), max_pulse_gap=0.5)
    assert one.n_pulses == 4


def test_noise_silence_and_a_snap_are_no_calls():
    rng = np.random.default_rng(1)
    snap = 1e-4 * rng.standard_normal(3 * RATE)
    snap[RATE : RATE + 8] += 0.1 * np.diff(rng.standard_normal(10), 2)  # shrimp are loudest above 2 kHz
    for samples in (1e-3 * rng.standard_normal(3 * RATE), np.zeros(3 * RATE), snap):
        assert measure_calls(as_recording(samples), as_event(0.5, 2.5)) == []


def test_only_calls_that_begin_inside_the_event_are_its_own():
    samples = train([0.9, 0.95, 1.6, 1.65])
    assert [round(c.start_time, 1) for c in measure_calls(as_recording(samples), as_event(1.2, 2.5))] == [1.6]


def test_an_event_of_minutes_is_measured_piece_by_piece_with_the_same_calls():
    starts = np.arange(1.0, 149, 1.7)
    calls = measure_calls(as_recording(train(starts, total=150, rate=4000), 4000), as_event(0, 150))
    np.testing.assert_allclose([call.start_time for call in calls], starts, atol=0.005)


def test_unreadable_samples_beside_and_inside_an_event_are_survived():
    samples = train([1.0, 1.05, 2.0])
    samples[: RATE // 2] = np.nan
    samples[round(1.5 * RATE) : round(1.6 * RATE)] = np.nan
    calls = measure_calls(as_recording(samples), as_event(0.6, 2.5))
    assert [call.n_pulses for call in calls] == [2, 1]
    assert all(np.isfinite([call.snr_db, call.level_db, call.peak_hz]).all() for call in calls)


@pytest.mark.parametrize("duration", [0.0, 0.01, 0.2])
def test_an_event_or_a_recording_may_be_shorter_than_a_call(duration):
    samples = train([0.05], total=0.3)[: round(duration * RATE) or 1]
    assert isinstance(measure_calls(as_recording(samples), as_event(0, max(duration, 0.001))), list)


def test_a_band_that_the_rate_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="band_hz"):
        measure_calls(as_recording(np.zeros(1000), 500), as_event(0, 1), band_hz=(300, 1000))
    with pytest.raises(ValueError, match="max_pulse_gap"):
        measure_calls(as_recording(np.zeros(RATE)), as_event(0, 1), max_pulse_gap=0)


def test_a_rate_that_cannot_hold_the_band_leaves_calls_unmeasured():
    events = [as_event(0, 1)]
    assert add_calls(as_recording(np.zeros(1000), 500), events, band_hz=(300, 1000))[0].calls is None


def test_many_events_are_measured_in_their_order():
    recording = as_recording(train([1.0, 1.05, 2.0], total=4))
    found = add_calls(recording, [as_event(0.5, 1.5), as_event(1.6, 2.5), as_event(3, 3.5)], band_hz=(300, 1000))
    assert [[call.n_pulses for call in event.calls] for event in found] == [[2], [1], []]


@pytest.mark.parametrize("rate", [8000, 48_000])
def test_events_measured_together_have_the_calls_of_each_alone(rate):
    samples, _ = simulate_recording(duration=90, seed=5, sample_rate=rate, bouts_per_minute=6)
    samples[50 * rate : 50 * rate + 300] = np.nan
    recording = as_recording(samples)
    spans = [(0, 4.2), (3, 9), (9, 9.01), (12.4, 75.1), (30, 33.3), (49, 51), (86, 90)]
    events = [as_event(*span) for span in spans]
    found = add_calls(recording, events, band_hz=(300, 1000))
    together = [call for event in found for call in event.calls]
    alone = [call for event in events for call in measure_calls(recording, event)]
    assert len(together) > 20
    assert [len(event.calls) for event in found] == [len(measure_calls(recording, event)) for event in events]
    for one, other in zip(together, alone, strict=True):
        assert one.pulse_times == other.pulse_times
        assert dataclasses.replace(one, **measures(other)) == other
        assert measures(one) == pytest.approx(measures(other), rel=1e-4)


def test_many_short_events_take_no_more_transforms_than_one(monkeypatch):
    recording = as_recording(train(np.arange(1, 59, 1.5), total=60))
    events = [as_event(start - 0.3, start + 0.5) for start in np.arange(1, 59, 1.5)]
    counted, transform = [], scipy.fft.rfft
    monkeypatch.setattr(scipy.fft, "rfft", lambda rows, **options: counted.append(rows) or transform(rows, **options))
    found = add_calls(recording, events, band_hz=(300, 1000))
    assert all(len(event.calls) == 1 for event in found)
    assert len(counted) == 1


def test_the_band_is_that_on_the_card_or_what_the_class_suggests():
    assert choose_band("toadfish", {"toadfish": [60, 700]}, fmax_hz=2000) == (60, 700)
    assert choose_band("anemonefish", {}, fmax_hz=2000) == (300, 1000)
    assert choose_band("meagre", {}, fmax_hz=1500) == (50, 1500)


def test_the_length_of_a_fish_has_an_interval_and_is_unknown_outside_of_the_band():
    length, low, high = estimate_length([370.0, 900.0, 2000.0])
    assert 130 < length[0] < 135
    assert 53 < length[1] < 56
    assert np.isnan(length[2])
    assert (low[:2] < length[:2]).all()
    assert (length[:2] < high[:2]).all()


# Read by eye in spectrogram and waveform: recording, what is heard, first onset and last in s, pulses, dominant Hz.
BY_EYE = [
    ("reef/SanctSound_FK01_04_soundscape_20200411T022449Z.wav", (0.83, 1.23), 7, (480, 620)),
    ("reef/SanctSound_FK01_04_soundscape_20200411T022449Z.wav", (2.42, 2.80), 5, (250, 330)),
    ("reef/SanctSound_FK01_04_soundscape_20200411T022449Z.wav", (4.05, 4.31), 5, (250, 330)),
    ("reef/SanctSound_FK02_05_soundscape_20200821T031123Z.wav", (2.71, 3.02), 4, (250, 330)),
    ("fish/Pulse train.wav", (1.05, 1.67), 6, (400, 480)),
    ("fish/Pulse train.wav", (3.18, 3.18), 1, (390, 470)),
    ("fish/Pulse train.wav", (4.31, 4.31), 1, (400, 480)),
    ("fish/Pulse train.wav", (4.57, 4.57), 1, (400, 480)),
    # Boatwhistles of toadfish: hums, whose pulses no eye can count.
    ("fish/SanctSound_GR01_01_toadfish_20190327T080530Z.wav", (1.42, None), None, (130, 320)),
    ("fish/SanctSound_GR01_01_toadfish_20190327T080530Z.wav", (3.86, None), None, (130, 320)),
]


@pytest.mark.parametrize(("name", "span", "n_pulses", "peak"), BY_EYE)
def test_pulse_trains_of_real_fish_are_measured_as_read_by_eye(shared_recordings, name, span, n_pulses, peak):
    with open_recording(shared_recordings / name) as recording:
        calls = measure_calls(recording, as_event(0, recording.duration), band_hz=(100, 1000))
    call = min(calls, key=lambda one: abs(one.start_time - span[0]))
    assert call.start_time == pytest.approx(span[0], abs=0.02)
    if n_pulses:
        assert call.pulse_times[-1] == pytest.approx(span[1], abs=0.02)
        assert call.n_pulses == n_pulses
    assert peak[0] <= call.peak_hz <= peak[1]
