"""Sun and moon against almanacs (United States Naval Observatory, Astronomical Almanac)."""

from datetime import date

import numpy as np
import pytest

from anemone_lib.archive.sky import find_sun_times, measure_moon_phase, measure_sun_altitude


@pytest.mark.parametrize(
    ("moment", "phase_deg"),
    [("2023-01-21T20:53", 0), ("2023-01-28T15:19", 90), ("2023-02-05T18:29", 180), ("2023-02-13T16:01", 270)],
)
def test_phases_of_the_moon_are_those_of_the_almanac(moment, phase_deg):
    phase, illumination = measure_moon_phase(np.array([moment], "M8[ms]"))
    assert abs((phase[0] - phase_deg + 180) % 360 - 180) < 3
    assert illumination[0] == pytest.approx((1 - np.cos(np.deg2rad(phase_deg))) / 2, abs=0.03)


def test_the_sun_rises_and_sets_by_the_recorders_clock():
    sunrise, sunset = find_sun_times([date(2023, 6, 21)], 26.2, 127.7, offset_hours=9)  # Naha: 5:38 and 19:25
    assert (sunrise[0], sunset[0]) == (pytest.approx(5.63, abs=0.1), pytest.approx(19.42, abs=0.1))
    in_utc = find_sun_times([date(2023, 6, 21)], 26.2, 127.7, offset_hours=0)
    assert in_utc[0][0] == pytest.approx(sunrise[0] - 9 + 24, abs=0.05)
    assert in_utc[1][0] == pytest.approx(sunset[0] - 9, abs=0.05)


def test_the_sun_of_midsummer_in_the_north_does_not_set():
    assert np.isnan(find_sun_times([date(2023, 6, 21)], 69.6, 18.9, offset_hours=2)).all()


def test_the_sun_is_up_by_day():
    times = np.array(["2023-02-10T03:30", "2023-02-10T15:30"], "M8[ms]")  # 12:30 and 0:30 in Okinawa
    noon, night = measure_sun_altitude(times, 26.5, 127.9)
    assert noon == pytest.approx(90 - 26.5 - 14.4, abs=1)  # the sun's declination is −14.4°
    assert night < -60
