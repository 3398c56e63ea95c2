from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anemone_lib import find_events
from anemone_lib.detection import smooth

CLASSES = ("noise", "anemonefish", "biological")
SETTINGS = {
    "classes": CLASSES,
    "target_class": "anemonefish",
    "confidence_threshold": 0.5,
    "smoothing_window": 1,
    "min_gap_duration": 0.1,
    "min_event_duration": 0.2,
}


def events_in(target, *, stride=0.4, window=1.0, duration=None, **changes):
    """Events of windows whose target probability is given; the rest is noise."""
    target = np.asarray(target, np.float32)
    probabilities = np.stack([1 - target, target, np.zeros_like(target)], axis=1)
    starts = np.arange(len(target)) * stride
    ends = np.minimum(starts + window, duration if duration else np.inf)
    return find_events(probabilities, start_times=starts, end_times=ends, **{**SETTINGS, **changes})


def intervals(events):
    return [(round(event.start_time, 6), round(event.end_time, 6)) for event in events]


def test_a_run_of_windows_is_an_event_from_the_first_start_to_the_last_end():
    assert intervals(events_in([0, 0, 0.9, 0.8, 0, 0, 0, 0])) == [(0.8, 2.2)]


def test_the_threshold_itself_is_in_the_event():
    assert intervals(events_in([0, 0.5, 0])) == [(0.4, 1.4)]


def test_confidences_are_over_the_windows_that_reached_the_threshold():
    (event,) = events_in([0, 0.9, 0.2, 0.6, 0])  # the gap between both runs is negative: their windows overlap
    assert event.mean_confidence == pytest.approx(0.75)
    assert event.max_confidence == pytest.approx(0.9)
    assert event.num_windows == 2
    assert event.duration == pytest.approx(1.8)


def test_events_closer_than_the_minimum_gap_become_one():
    apart = [0.9, 0, 0, 0, 0.9]  # [0, 1) and [1.6, 2.6): a gap of 0.6 s
    assert intervals(events_in(apart, min_gap_duration=0.6)) == [(0, 1), (1.6, 2.6)]
    assert intervals(events_in(apart, min_gap_duration=0.61)) == [(0, 2.6)]


def test_short_events_are_dropped_after_joining():
    target = [0.9, 0, 0, 0.9]
    assert events_in(target, stride=1, window=1, min_event_duration=1.5, min_gap_duration=0) == []
    assert intervals(events_in(target, stride=1, window=1, min_event_duration=1.5, min_gap_duration=2.5)) == [(0, 4)]
    assert len(events_in([0.9], min_event_duration=1.0)) == 1  # as long as the minimum is not shorter


def test_the_median_filter_removes_what_is_shorter_than_half_of_it():
    assert events_in([0, 0, 0.9, 0.9, 0, 0, 0], smoothing_window=5) == []
    assert intervals(events_in([0, 0, 0.9, 0.9, 0.9, 0, 0], smoothing_window=5)) == [(0.8, 2.6)]


def test_the_edges_are_repeated_by_the_filter():
    assert intervals(events_in([0.9, 0.9, 0, 0, 0], smoothing_window=5)) == [(0, 1.4)]
    # by hand: [.9 .9 .9 .9 0] -> .9, [.9 .9 .9 0 0] -> .9, [.9 .9 0 0 0] -> 0


def test_an_event_never_passes_the_end_of_the_recording():
    assert events_in([0, 0.9], duration=1.1)[0].end_time == 1.1


def test_skipped_windows_are_in_no_event_and_nothing_reaches_across_them():
    target = [0.9, 0.9, np.nan, 0.9, 0.9]
    events = events_in(target, smoothing_window=3, min_gap_duration=60)
    assert intervals(events) == [(0, 1.4), (1.2, 2.6)]
    assert np.isfinite([event.mean_confidence for event in events]).all()


def test_an_event_has_the_same_id_wherever_it_is_found_again():
    one, two = events_in([0.9, 0, 0, 0, 0, 0.9], recording_id="a" * 64)
    assert one.id != two.id
    assert events_in([0.8, 0, 0], recording_id="a" * 64)[0].id == one.id
    assert events_in([0.9, 0, 0], recording_id="b" * 64)[0].id != one.id
    assert len(one.id) == 12


def test_other_classes_may_be_asked_for():
    assert intervals(events_in([0.1, 0.9, 0.1], target_class="noise", stride=2)) == [(0, 1), (4, 5)]


@pytest.mark.parametrize(
    ("changes", "words"), [({"target_class": "whale"}, "whale.*noise, anemonefish"), ({"smoothing_window": 4}, "odd")]
)
def test_wrong_settings_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        events_in([0.9], **changes)


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="2 start times"):
        find_events(np.zeros((3, 3), np.float32), start_times=np.zeros(2), end_times=np.zeros(3), **SETTINGS)


@given(
    st.lists(st.floats(0, 1, width=32), max_size=60), st.sampled_from([1, 3, 5, 9]), st.floats(0, 2), st.floats(0, 3)
)
def test_events_are_apart_long_enough_and_confident(target, smoothing_window, gap, shortest):
    events = events_in(target, smoothing_window=smoothing_window, min_gap_duration=gap, min_event_duration=shortest)
    for event in events:
        assert event.duration >= shortest - 1e-6
        assert 0.5 <= event.mean_confidence <= event.max_confidence <= 1
    for before, after in pairwise(events):
        assert after.start_time - before.end_time >= gap - 1e-6


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40), st.sampled_from([1, 3, 5, 9]))
def test_smoothing_is_the_median_of_the_neighbours(values, size):
    values = np.array(values, np.float32)
    padded = np.pad(values, size // 2, mode="edge")
    expected = [np.median(padded[k : k + size]) for k in range(len(values))]
    np.testing.assert_array_equal(smooth(values, smoothing_window=size), np.array(expected, np.float32))
