import numpy as np
import pytest

from anemone_lib.archive.noise import Noise, pack_minutes, unpack_minutes
from anemone_lib.soundscape.minutes import THIRD_OCTAVES, MinuteMeter
from anemone_lib.soundscape.noise import BANDS_HZ


@pytest.mark.parametrize("rate", [2000, 8000, 11_025])
def test_bands_of_what_is_kept_are_those_of_the_spectrum(rng, rate):
    samples = np.cumsum(rng.normal(0, 0.01, 5 * rate)).astype(np.float32)  # more power at low frequencies
    meter = MinuteMeter(rate)
    meter.add(0, samples)
    minutes = meter.finish(len(samples))
    noise = unpack_minutes(pack_minutes(minutes, rate))
    bands = noise.add_up(list(BANDS_HZ.values()))[0]
    np.testing.assert_allclose(bands, [level[0] for level in minutes.bands.values()], atol=0.01)
    edges = [(10 ** (k / 10 - 0.05), 10 ** (k / 10 + 0.05)) for k in THIRD_OCTAVES][: len(minutes.third_octaves_hz)]
    np.testing.assert_allclose(noise.add_up(edges), minutes.third_octaves, atol=0.01)
    np.testing.assert_allclose(noise.millidecades, minutes.millidecades, atol=0.004)


def test_a_minute_in_which_nothing_could_be_read_is_not_known():
    meter = MinuteMeter(2000)
    meter.add(60 * 2000, np.tile([0.5, -0.5], 60 * 1000).astype(np.float32))
    noise = unpack_minutes(pack_minutes(meter.finish(120 * 2000), 2000))
    assert noise.seconds.tolist() == [0, 60]
    assert np.isnan(noise.millidecades).all(axis=1).tolist() == [True, False]
    assert np.isnan(noise.add_up([(100, 200)])).ravel().tolist() == [True, False]


def test_digital_silence_is_kept_without_a_level():
    meter = MinuteMeter(2000)
    meter.add(0, np.zeros(4000, np.float32))
    noise = unpack_minutes(pack_minutes(meter.finish(4000), 2000))
    assert np.isnan(noise.millidecades).all()


def test_a_recording_without_a_minute_has_no_levels():
    noise = unpack_minutes(pack_minutes(MinuteMeter(2000).finish(1000), 2000))
    assert noise.add_up([(100, 200)]).shape == (0, 1)


def test_a_band_beyond_half_the_rate_is_cut():
    noise = Noise(2000, np.array([60.0]), np.full((1, 797), -60.0, np.float32))
    assert noise.add_up([(900, 1100), (900, 1000)]).tolist() == [[pytest.approx(-40, abs=0.01)] * 2]
