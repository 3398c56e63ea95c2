import matplotlib.collections
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from anemone_lib.plots import plot_diel, plot_hours, plot_season
from anemone_lib.plots.season import NO_EFFORT_COLOUR

DATES = np.arange("2023-02-01", "2023-02-21", dtype="M8[D]")


@pytest.fixture
def rates(rng):
    return rng.gamma(2, 2, (20, 24))


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []


def mesh(ax):
    return next(child for child in ax.collections if isinstance(child, matplotlib.collections.QuadMesh))


def test_hours_without_effort_are_grey_and_those_without_events_are_not(rates):
    rates[3, 5], rates[4, 5] = np.nan, 0
    ax = plot_hours(rates, DATES, label="rate")
    drawn = mesh(ax)
    drawn.update_scalarmappable()
    colours = drawn.get_facecolors().reshape(24, 20, 4)
    assert colours[5, 3, 3] == 0  # nothing is drawn over the grey
    assert ax.get_facecolor() == to_rgba(NO_EFFORT_COLOUR)
    assert colours[5, 4, 3] == 1
    assert np.abs(colours[5, 4, :3] - ax.get_facecolor()[:3]).max() > 0.3
    assert legend(ax) == ["not recorded"]


def test_days_lie_from_left_to_right_and_hours_upwards(rates):
    rates[:] = 0
    rates[19, 23] = 5
    values = np.asarray(mesh(plot_hours(rates, DATES, label="rate")).get_array()).reshape(24, 20)
    assert np.argwhere(values > 0).tolist() == [[23, 19]]


def test_sun_moon_and_masked_hours_are_named(rates):
    masked = rates > 8
    hours = {"sunrise": np.full(20, 6.0), "sunset": np.full(20, 18.0), "moon": np.linspace(0, 1, 20)}
    ax = plot_hours(rates, DATES, label="rate", masked=masked, **hours)
    assert legend(ax) == ["too loud to hear the reference call", "sunrise", "sunset"]
    assert [child.get_ylabel() for child in ax.child_axes] == ["moon lit"]


def test_without_a_place_there_is_no_sun(rates):
    assert legend(plot_hours(rates, DATES, label="rate", sunrise=np.full(20, np.nan), sunset=np.full(20, np.nan))) == []


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_season_without_events_or_effort_is_drawn(value):
    nothing = np.full((20, 24), value)
    plot_hours(nothing, DATES, label="rate").figure.canvas.draw()
    plot_hours(nothing, DATES, label="level", from_zero=False).figure.canvas.draw()
    of_day = nothing[:, 0]
    plot_season(DATES, of_day, of_day, of_day, daily=of_day, effort_h=np.zeros(20)).figure.canvas.draw()
    plot_diel(nothing[0], nothing[0], nothing[0]).figure.canvas.draw()


def test_the_night_of_any_clock_is_shaded():
    rate = np.ones(24)
    spans = [patch.get_label() for patch in plot_diel(rate, rate, rate, sunrise=6.0, sunset=18.0).patches]
    assert spans.count("night") == 1
    ax = plot_diel(rate, rate, rate, sunrise=21.0, sunset=9.0)  # a clock in UTC, half a world away
    shaded = [patch.get_x() for patch in ax.patches if patch.get_label() == "night"]
    assert shaded == [9.0]


def test_days_with_little_effort_are_hollow():
    one = np.ones(20)
    effort = np.r_[np.full(19, 24.0), 3.0]
    ax = plot_season(DATES, one, one, one, daily=one, effort_h=effort)
    assert "one day, less than 12 h recorded" in legend(ax)
    assert ax.get_xlabel() == "Date, 2023"
