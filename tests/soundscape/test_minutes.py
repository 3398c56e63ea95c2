"""Levels of every minute, compared with numbers that PyPAM 1.0 (lifewatch-pypam) gave for the same samples."""

import numpy as np
import pytest

from anemone_lib.audio import open_recording
from anemone_lib.soundscape.minutes import SINE_DB, MinuteMeter, add_bands, calibrate, lay_millidecades, measure_minutes

RATE = 8000
#: PyPAM's `get_hybrid_millidecade_limits` for half a sample rate: the number of edges and their sum, in Hz.
PYPAM_EDGES = {4000: (1401, 1648627.7491), 24_000: (2179, 10359687.0440), 48_000: (2480, 20812244.1094)}
#: Band → its lower edge in Hz, and its level by PyPAM's `spectra_ds_to_bands`, in dB re full scale² a hertz.
PYPAM_MILLIDECADES = {
    60: (59.5, -15.2288),
    61: (60.5, -21.2489),
    100: (99.5, -79.0694),
    433: (432.5, -82.1577),
    434: (433.5, -78.4321),
    435: (434.5102, -65.9593),
    436: (435.5119, -49.0221),
    437: (436.5158, -39.2930),
    700: (799.8343, -83.5619),
    971: (1492.7944, -80.4977),
    1399: (3999.4475, -81.8428),
}
#: Centre in Hz → level by PyPAM's decidecades, summed over the band, in dB re full scale².
PYPAM_THIRD_OCTAVES = {20: -73.2419, 50.1: -71.1875, 63.1: -13.4680, 398.1: -36.9716, 1000: -57.3175, 3162.3: -52.2052}


def compared_samples():
    """Ten seconds that are the same everywhere: tones in noise from whole numbers, of 16 bits."""
    n = np.arange(10 * RATE)
    noise = ((n * n * 40503 + n * 12345) % 65521) / 65521 - 0.5
    tones = sum(a * np.sin(2 * np.pi * f * n / RATE) for a, f in ((0.3, 60), (0.02, 437.3), (0.005, 1500)))
    return (np.round((0.02 * noise + tones) * 32768) / 32768).astype(np.float32)


@pytest.fixture
def measure(write_wav):
    def measured(samples, rate=RATE, **options):
        with open_recording(write_wav(np.asarray(samples, np.float32), rate, subtype="FLOAT")) as recording:
            return measure_minutes(recording, **options)

    return measured


@pytest.mark.parametrize("nyquist_hz", PYPAM_EDGES)
def test_hybrid_millidecades_have_the_edges_of_pypam(nyquist_hz):
    edges = lay_millidecades(nyquist_hz)
    assert (len(edges), edges.sum()) == (
        PYPAM_EDGES[nyquist_hz][0],
        pytest.approx(PYPAM_EDGES[nyquist_hz][1], abs=1e-3),
    )
    assert np.all(np.diff(edges) > 0)


def test_levels_are_those_of_pypam(measure):
    minutes = measure(compared_samples())
    for band, (low_hz, level) in PYPAM_MILLIDECADES.items():
        assert minutes.millidecades_hz[band] == pytest.approx(low_hz, abs=1e-4)
        assert minutes.millidecades[0, band] - SINE_DB == pytest.approx(level, abs=1e-3)
    for centre, level in PYPAM_THIRD_OCTAVES.items():
        at = np.abs(minutes.third_octaves_hz - centre).argmin()
        assert minutes.third_octaves[0, at] - SINE_DB == pytest.approx(level, abs=1e-3)


def test_a_sine_has_its_level_in_its_band(measure):
    n = np.arange(61 * RATE)
    minutes = measure(0.1 * np.sin(2 * np.pi * 600 * n / RATE), bands_hz={"calls": (300, 1000), "none": (5000, 9000)})
    np.testing.assert_allclose(minutes.bands["calls"], -20, atol=0.01)
    assert np.isnan(minutes.bands["none"]).all()
    assert minutes.start_times.tolist() == [0, 60]
    assert minutes.seconds.tolist() == [60, 1]


def test_seconds_that_could_not_be_read_are_left_out(measure, rng):
    samples = 0.1 * rng.standard_normal(180 * RATE)
    clean = measure(samples)
    samples[70 * RATE : 80 * RATE] = np.nan
    samples[120 * RATE :] = np.nan
    minutes = measure(samples)
    assert minutes.seconds.tolist() == [60, 50, 0]
    assert minutes.bands["calls"][1] == pytest.approx(clean.bands["calls"][1], abs=0.2)
    assert np.isnan(minutes.bands["calls"][2])
    assert np.isnan(minutes.millidecades[2]).all()


def test_less_than_a_second_has_no_minute(measure):
    assert len(measure(np.zeros(RATE - 1)).start_times) == 0


def test_power_of_a_bin_is_shared_by_the_bands_it_lies_in():
    assert add_bands(np.array([0.0, 8.0]), np.array([[0.5, 0.75], [0.75, 1.5], [2, 3]])).tolist() == [2, 6, 0]


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_a_minute_in_which_the_recorder_was_dead_has_no_level(measure, rng, value):
    sound = rng.normal(0, 0.1, 180 * RATE)
    sound[60 * RATE : 120 * RATE] = value
    levels = measure(sound)
    assert np.isnan(levels.bands["calls"]).tolist() == [False, True, False]
    assert np.isnan(levels.millidecades[1]).all()
    assert np.isnan(levels.third_octaves[1]).all()
    assert levels.seconds.tolist() == [60, 60, 60]


@pytest.mark.parametrize("sample_rate", [1, 2, 3])
def test_seconds_of_a_few_samples_are_no_spectrum_and_no_error(rng, sample_rate):
    meter = MinuteMeter(sample_rate)
    meter.add(0, rng.normal(0, 0.1, 90 * sample_rate).astype(np.float32))
    assert len(meter.finish(90 * sample_rate).start_times) == 2


def test_a_calibrated_level_is_that_of_the_sound_pressure():
    levels, reference = calibrate(np.array([-SINE_DB]), 176.0)  # hand-computed: a mean square of 1/4 is 6 dB below 1
    assert (levels[0], reference) == (pytest.approx(176 - 6.0206, abs=1e-4), "1 µPa")
    levels, reference = calibrate(np.array([0.0]), None)  # a sine of amplitude 1 has a mean square of 1/2
    assert (levels[0], reference) == (pytest.approx(10 * np.log10(0.5)), "full scale")
    assert calibrate(np.array([-20.0]), float("nan"))[1] == "full scale"
