import numpy as np

from anemone_lib.plots import plot_long_term_spectrum, plot_precision_curve, plot_sites, plot_timeline
from anemone_lib.plots.season import NO_EFFORT_COLOUR

HOURS = np.arange("2023-02-01T00", "2023-02-03T00", dtype="M8[h]")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_timeline_names_what_was_skipped_only_where_something_was():
    spans = HOURS[:5], HOURS[1:6]
    assert legend(plot_timeline({"north": spans})) == ["analysed", "not recorded"]
    ax = plot_timeline({"north": spans, "south": spans}, skipped={"south": (HOURS[7:8], HOURS[8:9])})
    assert legend(ax) == ["analysed", "skipped", "not recorded"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["north", "south"]


def test_a_timeline_of_nothing_is_drawn():
    plot_timeline({}).figure.canvas.draw()
    plot_timeline({"north": (HOURS[:0], HOURS[:0])}).figure.canvas.draw()


def test_sites_are_in_the_order_given_from_above():
    ax = plot_sites(["a", "b"], np.array([1.0, 2]), np.array([0.5, 1]), np.array([2.0, 3]))
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.get_xlim()[0] == 0


def test_hours_without_sound_are_grey_in_the_long_term_spectrum():
    edges = np.geomspace(10, 1000, 21)
    levels = np.random.default_rng(1).normal(-60, 5, (48, 20))
    levels[7] = np.nan
    ax = plot_long_term_spectrum(levels, HOURS, edges, label="Level (dB)")
    assert ax.get_facecolor()[:3] == tuple(int(NO_EFFORT_COLOUR[k : k + 2], 16) / 255 for k in (1, 3, 5))
    assert np.ma.getmaskarray(ax.collections[0].get_array()).sum() == 20
    ax.figure.canvas.draw()


def test_the_wanted_precision_is_marked():
    x = np.linspace(0, 1, 11)
    ax = plot_precision_curve(x, x, x / 2, np.minimum(1, 1.5 * x), threshold=0.9, target_precision=0.9)
    assert "90% from 0.90 on" in legend(ax)
