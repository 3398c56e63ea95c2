import numpy as np
import pytest

from anemone_lib.errors import ConfigError
from anemone_lib.review.sampling import ReviewItem, draw_items, draw_windows, list_events, list_quiet_windows


def make_items(confidences):
    return [
        ReviewItem(f"e{k}", f"{k % 3}/reef.wav", k, k + 1, c) for k, c in enumerate(np.asarray(confidences).tolist())
    ]


def test_every_window_is_in_an_event_or_quiet(season):
    events, windows = list_events(season), list_quiet_windows(season)
    assert len(events) == 400
    assert len(windows) == 800
    assert sum(item.num_windows for item in events) + len(windows) == 1200
    assert len({item.id for item in [*events, *windows]}) == 1200
    assert {item.site for item in events} == {"north", "south"}


def test_a_stratified_sample_holds_as_many_of_each_confidence_however_rare(rng):
    items = make_items(np.concatenate([rng.uniform(0.5, 0.6, 900), rng.uniform(0.6, 1.0, 100)]))
    drawn = draw_items(items, "stratified", n=60, seed=3)
    counts = np.histogram([one.confidence for one in drawn], np.linspace(0.5, 1.0, 6))[0]
    assert counts.min() >= 10
    assert draw_items(items, "stratified", n=60, seed=3) == drawn
    assert draw_items(items, "stratified", n=60, seed=4) != drawn
    assert draw_items(items, "stratified", n=30, seed=3) == drawn[:30]  # any first part of it is stratified
    assert sorted(draw_items(items, "stratified"), key=lambda one: one.id) == sorted(items, key=lambda one: one.id)


def test_uncertain_goes_from_the_threshold_on_and_everything_by_recording_and_time():
    items = make_items([0.9, 0.52, 0.5, 0.7])
    assert [one.id for one in draw_items(items, "uncertain", threshold=0.5)] == ["e2", "e1", "e3", "e0"]
    assert [one.id for one in draw_items(items, "everything")] == ["e0", "e3", "e1", "e2"]


def test_windows_are_drawn_with_the_same_chance_from_every_site(season):
    windows = list_quiet_windows(season)
    drawn = draw_windows(windows, 200, seed=1)
    assert len({one.id for one in drawn}) == 200
    assert 70 <= sum(one.site == "north" for one in drawn) <= 130
    assert draw_windows(windows, 200, seed=1) == drawn


@pytest.mark.parametrize("wrong", [{"sample": "best"}, {"n": -1}])
def test_what_cannot_be_drawn_is_said(wrong):
    with pytest.raises(ConfigError, match="must be"):
        draw_items(make_items([0.5]), **wrong)
