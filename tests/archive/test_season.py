"""Rates and their intervals: simulated seasons whose truth is known, and cases computed by hand."""

import numpy as np
import pandas as pd
import pytest

from anemone_lib.archive.season import (
    SiteDays,
    arrange_days,
    compare_sites,
    measure_diel,
    measure_rate,
    measure_season,
)
from anemone_lib.errors import ConfigError
from anemone_lib.simulation.season import DIEL

SEEDS = range(100)
TRUE_RATES = 6 * DIEL / DIEL.mean()


def simulate_days(seed, *, factor=1.0, n_days=30, spread=0.4):
    """Days whose rate differs from day to day, a tenth of the hours not recorded."""
    rng = np.random.default_rng((seed, round(100 * factor)))
    of_day = rng.gamma(1 / spread**2, spread**2, n_days)
    effort = (rng.random((n_days, 24)) > 0.1).astype(float)
    events = rng.poisson(factor * TRUE_RATES * of_day[:, None] * effort).astype(float)
    return SiteDays(f"x{factor:g}", "fish", np.arange(n_days).astype("M8[D]"), events, effort, effort * np.nan)


def made(events, effort=None):
    events = np.asarray(events, float)
    effort = np.ones_like(events) if effort is None else np.asarray(effort, float)
    return SiteDays("reef", "fish", np.arange(len(events)).astype("M8[D]"), events, effort, events * np.nan)


@pytest.fixture(scope="module")
def seasons():
    return [simulate_days(seed) for seed in SEEDS]


def test_the_curve_over_the_day_contains_the_truth_as_often_as_it_says(seasons):
    curves = [measure_diel(days, n_resamples=400) for days in seasons]
    hits = np.array([(curve.low <= TRUE_RATES) & (curve.high >= TRUE_RATES) for curve in curves])
    assert 0.93 <= hits.mean() <= 0.99  # 2,400 intervals of 95 %
    assert hits.mean(axis=0).min() >= 0.85  # no hour is far from it


def test_the_rate_of_a_season_contains_the_truth_as_often_as_it_says(seasons):
    rates = [measure_rate(days, n_resamples=400) for days in seasons]
    assert 90 <= sum(rate.low[0] <= 6 <= rate.high[0] for rate in rates) <= 100


def test_the_course_of_a_season_contains_the_truth_as_often_as_it_says(seasons):
    # Hours that were not recorded fall on all hours of the day alike.
    hits = [((one.low <= 6) & (one.high >= 6)).mean() for one in map(measure_season, seasons)]
    assert 0.92 <= np.mean(hits) <= 0.98


def test_the_ratio_of_two_sites_contains_the_truth_as_often_as_it_says(seasons):
    ratios = [
        compare_sites(days, simulate_days(seed, factor=0.5), n_resamples=400) for seed, days in enumerate(seasons)
    ]
    assert 90 <= sum(one.low <= 2 <= one.high for one in ratios) <= 100


def test_a_rate_is_events_by_effort_not_a_mean_of_rates():
    diel = measure_diel(made([[4] * 24, [0] * 24], [[1] * 24, [0.25] * 24]))
    assert diel.rate.tolist() == [pytest.approx(4 / 1.25)] * 24


def test_hours_without_effort_have_no_rate():
    effort = np.ones((10, 24))
    effort[:, 3] = 0
    diel = measure_diel(made(effort, effort))
    assert np.flatnonzero(np.isnan(diel.rate)).tolist() == [3]
    assert np.isnan([diel.low[3], diel.high[3]]).all()
    assert np.isfinite(np.delete(diel.high, 3)).all()


def test_no_event_is_not_a_rate_of_exactly_nothing():
    diel = measure_diel(made(np.zeros((10, 24))))
    np.testing.assert_allclose(diel.low, 0)
    np.testing.assert_allclose(diel.high, 3.689 / 10, atol=1e-3)  # Garwood 1936: 3.689 for no event, at 95 %


def test_one_day_has_no_interval():
    for rates in (measure_diel(made(np.ones((1, 24)))), measure_season(made(np.ones((1, 24))))):
        assert np.isfinite(rates.rate).all()
        assert np.isnan(rates.low).all()


def test_days_that_resemble_each_other_widen_the_interval():
    rng = np.random.default_rng(1)
    quick = np.repeat(rng.gamma(2, 2, 60)[:, None], 24, axis=1)
    slow = np.sort(quick, axis=0)
    widths = [np.ptp([one.low[0], one.high[0]]) for one in (measure_rate(made(slow)), measure_rate(made(quick)))]
    assert widths[0] > 1.2 * widths[1]


def test_the_course_of_a_season_is_that_of_the_week_around_each_day():
    events = np.zeros((20, 24))
    events[10] = 7
    season = measure_season(made(events))
    assert season.rate[[6, 7, 10, 13, 14]].tolist() == pytest.approx([0, 1, 1, 1, 0])
    assert (season.low <= season.rate).all()
    assert (season.high >= season.rate).all()


def test_a_day_without_effort_is_a_hole_in_the_course():
    effort = np.ones((20, 24))
    effort[5] = 0
    season = measure_season(made(effort, effort))
    assert np.flatnonzero(np.isnan(season.rate)).tolist() == [5]


def test_sites_are_compared_where_both_were_recorded():
    # At dusk twice as much as by day: a site that was recorded only at dusk is not louder.
    events = np.ones((10, 24))
    events[:, 18] = 20
    dusk = np.zeros((10, 24))
    dusk[:, 18] = 1
    ratio = compare_sites(made(events * dusk, dusk), made(events))
    assert (ratio.ratio, ratio.shared_h, ratio.n_days) == (1.0, 10.0, 10)


def test_sites_that_share_no_hour_are_not_compared():
    first, second = np.zeros((4, 24)), np.zeros((4, 24))
    first[:, 5], second[:, 6] = 1, 1
    ratio = compare_sites(made(first, first), made(second, second))
    assert np.isnan([ratio.ratio, ratio.low, ratio.high]).all()
    assert ratio.n_days == 0


def test_a_ratio_to_nothing_is_unknown():
    assert np.isnan(compare_sites(made(np.ones((9, 24))), made(np.zeros((9, 24)))).ratio)


def test_an_hour_that_comes_twice_is_one_cell_with_the_effort_of_both():
    stamps = pd.to_datetime(["2023-10-29T02:00", "2023-10-29T02:00"])
    table = {"site": "reef", "class": "fish", "events": [1, 2], "effort_s": 3600.0, "hour_local": stamps}
    days = arrange_days(pd.DataFrame({**table, "noise_db": [-60.0, None]}), "reef", "fish")
    assert (days.events[0, 2], days.effort_h[0, 2], days.noise_db[0, 2]) == (3, 2, -60)
    assert np.isnan(days.rates[0, 3])


def test_a_site_or_class_that_is_not_there_is_named(season_hours):
    with pytest.raises(ConfigError, match="'boat'.*'north'"):
        arrange_days(season_hours, "north", "boat")


def test_an_even_window_has_no_middle():
    with pytest.raises(ConfigError, match="odd"):
        measure_season(made(np.ones((9, 24))), window_days=6)


def test_the_same_seed_gives_the_same_interval(seasons):
    one, again = measure_diel(seasons[0]), measure_diel(seasons[0])
    assert one.low.tolist() == again.low.tolist()


def test_a_site_with_almost_no_events_gives_a_ratio_without_an_upper_bound():
    few = np.zeros((12, 24))
    few[3, 6] = few[9, 6] = 1
    ratio = compare_sites(made(np.ones((12, 24))), made(few))
    assert ratio.ratio == pytest.approx(144)
    assert 0 < ratio.low < ratio.ratio
    assert ratio.high == np.inf
    other = compare_sites(made(few), made(np.ones((12, 24))))
    assert (other.low, other.high) == (0.0, pytest.approx(1 / ratio.low, rel=0.2))
