import itertools
import math
import sys
import types
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anemone_lib.detection.events import Annotation, Event
from anemone_lib.evaluation.intervals import as_intervals, join_intervals, mark_windows
from anemone_lib.evaluation.matching import count_events, match_intervals
from anemone_lib.evaluation.rates import Counts, add_counts, bootstrap_interval, compute_wilson_interval
from anemone_lib.evaluation.windows import count_confusions, measure_reliability, trace_thresholds

# Eighths of a second are exact in binary: intervals that touch in a test touch in the computer too.
seconds = st.integers(0, 40).map(lambda eighths: eighths / 8)
interval_lists = st.lists(st.tuples(seconds, st.integers(1, 15).map(lambda eighths: eighths / 8)), max_size=5).map(
    lambda items: sorted((start, start + length) for start, length in items)
)


def overlap(a, b):
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0]))


def best_by_trying_all(reference, estimated):
    """The largest number of overlapping pairs, and of those the most overlap, over every assignment."""
    n = min(len(reference), len(estimated))
    best = (0, 0.0)
    for size in range(1, n + 1):
        for chosen in itertools.combinations(range(len(reference)), size):
            for partners in itertools.permutations(range(len(estimated)), size):
                overlaps = [overlap(reference[i], estimated[j]) for i, j in zip(chosen, partners, strict=True)]
                if all(value > 1e-9 for value in overlaps):
                    best = max(best, (size, round(sum(overlaps), 6)))
    return best


# ---------------------------------------------------------------------- matching


def test_a_long_event_over_three_calls_is_matched_once():
    counts = count_events([(1, 2), (3, 4), (5, 6)], [(0, 10)], duration=3600)
    assert (counts.n_reference, counts.n_estimated, counts.n_matched) == (3, 1, 1)
    assert counts.precision == 1
    assert counts.recall == pytest.approx(1 / 3)
    assert counts.f1 == pytest.approx(0.5)


def test_three_events_over_one_call_are_one_hit_and_two_false_alarms():
    counts = count_events([(0, 10)], [(1, 2), (3, 4), (5, 6)], duration=1800)
    assert counts.n_matched == 1
    assert counts.false_alarms_per_hour == pytest.approx(4)


def test_as_many_pairs_as_possible_come_before_the_most_overlap():
    # The greedy choice, (0-4) with (1-6), would leave (5-6) and (0-1) alone.
    pairs = match_intervals([(0, 4), (5, 6)], [(0, 1), (1, 6)])
    assert pairs.tolist() == [[0, 0], [1, 1]]


def test_of_two_events_over_one_call_the_one_with_more_overlap_is_matched():
    assert match_intervals([(10, 20)], [(8, 12), (13, 20)]).tolist() == [[0, 1]]


def test_intervals_that_only_touch_do_not_match():
    assert len(match_intervals([(0, 1)], [(1, 2)])) == 0


def test_a_point_label_matches_the_event_it_lies_in():
    assert len(match_intervals([(5.5, 5.5)], [(5, 6)])) == 1
    assert len(match_intervals([(6.5, 6.5)], [(5, 6)])) == 0


@given(interval_lists, interval_lists)
@settings(max_examples=60, deadline=None)
def test_matching_is_the_best_of_all_assignments(reference, estimated):
    pairs = match_intervals(reference, estimated)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    overlaps = [overlap(sorted(reference)[i], sorted(estimated)[j]) for i, j in pairs]
    assert (len(pairs), round(sum(overlaps), 6)) == best_by_trying_all(reference, estimated)


@pytest.fixture(scope="module")
def sed_eval():
    """The reference implementation of the DCASE challenges.

    Its helper imports pkg_resources, which setuptools no longer has, for the path of its example sounds only.
    """
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setitem(sys.modules, "pkg_resources", types.ModuleType("pkg_resources"))
        warnings.simplefilter("ignore")
        import sed_eval

        return sed_eval


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("collar", "ratio"), [(0.2, 0.0), (0.2, 0.5), (1.0, 0.2)])
def test_matching_within_tolerances_counts_as_sed_eval_does(sed_eval, seed, collar, ratio):
    rng = np.random.default_rng(seed)
    reference = np.sort(rng.uniform(0, 120, 40))[:, None] + np.c_[np.zeros(40), rng.uniform(0.1, 3, 40)]
    kept = reference[rng.random(40) < 0.8]
    moved = kept + rng.normal(0, 0.2, kept.shape)
    false = np.repeat(rng.uniform(0, 118, (10, 1)), 2, axis=1) + np.array([0, 1])
    estimated = np.vstack([moved, false])
    estimated = estimated[estimated[:, 0] < estimated[:, 1]]

    metrics = sed_eval.sound_event.EventBasedMetrics(
        event_label_list=["call"],
        t_collar=collar,
        percentage_of_length=ratio,
        event_matching_type="optimal",
    )
    as_dicts = [
        [
            {"event_onset": float(a), "event_offset": float(b), "event_label": "call", "filename": "reef.wav"}
            for a, b in side
        ]
        for side in (reference, estimated)
    ]
    metrics.evaluate(*as_dicts)
    expected = metrics.results_overall_metrics()["f_measure"]

    counts = count_events(
        reference,
        estimated,
        duration=120,
        onset_tolerance=collar,
        offset_tolerance=collar,
        offset_ratio=ratio,
    )
    assert 0 < counts.n_matched < 40
    assert counts.f1 == pytest.approx(expected["f_measure"])
    assert counts.precision == pytest.approx(expected["precision"])
    assert counts.recall == pytest.approx(expected["recall"])


def test_a_tolerance_on_the_onset_alone_ignores_the_ends():
    reference, estimated = [(1.0, 2.0)], [(1.15, 9.0)]
    assert len(match_intervals(reference, estimated, onset_tolerance=0.2)) == 1
    assert len(match_intervals(reference, estimated, onset_tolerance=0.1)) == 0
    assert len(match_intervals(reference, estimated, onset_tolerance=0.2, offset_tolerance=0.2)) == 0
    assert len(match_intervals(reference, [(5, 2000)], offset_tolerance=0.2)) == 0


def test_nothing_found_leaves_precision_unknown_and_recall_zero():
    counts = count_events([(1, 2)], [], duration=60)
    assert math.isnan(counts.precision)
    assert counts.recall == 0
    assert counts.f1 == 0
    assert counts.to_dict()["precision"] is None


def test_nothing_there_leaves_recall_unknown_and_counts_false_alarms():
    counts = count_events([], [(1, 2)], duration=60)
    assert math.isnan(counts.recall)
    assert counts.precision == 0
    assert counts.false_alarms_per_hour == 60


def test_counts_of_recordings_add_up():
    assert add_counts([Counts(3, 2, 1, 60.0), Counts(0, 1, 0, 30.0)]) == Counts(3, 3, 1, 90.0)


# ---------------------------------------------------------------------- intervals


def test_annotations_are_chosen_by_label_whatever_its_case():
    annotations = [Annotation(3, 4, "Anemonefish "), Annotation(1, 2, "grunt"), Annotation(0, 1, "anemonefish")]
    assert as_intervals(annotations, labels=["ANEMONEFISH"]).tolist() == [[0, 1], [3, 4]]


def test_events_are_chosen_by_class():
    event = Event("a", "anemonefish", 1.0, 2.0, 0.9, 0.9, 3)
    assert as_intervals([event], labels=["anemonefish"]).tolist() == [[1, 2]]
    assert as_intervals([event], labels=["noise"]).shape == (0, 2)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([(2, 1)], "interval 2.0 to 1.0 s"),
        ([(0, math.nan)], "finite"),
        ([(0, 1, 2)], "3 columns"),
    ],
)
def test_an_impossible_interval_is_refused_by_its_value(items, message):
    with pytest.raises(ValueError, match=message):
        as_intervals(items)


def test_pairs_of_numbers_have_no_labels_to_choose_by():
    with pytest.raises(ValueError, match="no label"):
        as_intervals([(0, 1)], labels=["anemonefish"])


def test_calls_no_further_apart_than_the_gap_become_a_bout():
    calls = [(0, 1), (2, 3), (4.5, 5), (2.2, 2.4)]
    assert join_intervals(calls, max_gap=1.0).tolist() == [[0, 3], [4.5, 5]]
    assert join_intervals(calls, max_gap=1.5).tolist() == [[0, 5]]
    assert join_intervals(calls).tolist() == [[0, 1], [2, 3], [4.5, 5]]


@given(interval_lists, st.integers(0, 10))
@settings(deadline=None)
def test_joined_intervals_cover_the_same_time_and_keep_their_distance(intervals, tenths):
    joined = join_intervals(intervals, max_gap=tenths / 10 + 0.05)
    for interval in intervals:
        assert any(start <= interval[0] and interval[1] <= end for start, end in joined)
    assert all(b[0] - a[1] > tenths / 10 for a, b in itertools.pairwise(joined))
    assert {start for start, _ in joined} <= {start for start, _ in intervals}


# ---------------------------------------------------------------------- how far to trust a rate


def test_recordings_all_alike_leave_no_doubt():
    low, high = bootstrap_interval([Counts(10, 8, 6, 60.0)] * 5)
    assert low == pytest.approx(12 / 18)
    assert high == pytest.approx(12 / 18)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """40 recordings of 25 calls, each found with a probability of its own recording; repeated 200 times."""
    rng = np.random.default_rng(7)
    inside = 0
    for repeat in range(200):
        found = rng.binomial(25, rng.beta(8, 2, 40))
        counts = [Counts(25, int(k), int(k), 60.0) for k in found]
        low, high = bootstrap_interval(counts, metric="recall", seed=repeat, n_resamples=400)
        inside += low <= 0.8 <= high
    assert 0.90 <= inside / 200 <= 0.99


def test_a_gain_on_every_recording_is_a_sure_gain():
    rng = np.random.default_rng(3)
    before = [Counts(20, 20, int(k), 60.0) for k in rng.integers(5, 15, 12)]
    after = [Counts(20, 20, one.n_matched + 2, 60.0) for one in before]
    low, high = bootstrap_interval(after, baseline=before, metric="recall")
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)


def test_one_recording_says_nothing_about_the_next():
    assert all(math.isnan(bound) for bound in bootstrap_interval([Counts(10, 8, 6, 60.0)]))


def test_the_proportion_interval_is_wilsons():
    from scipy.stats import binomtest

    for k, n in [(0, 5), (5, 5), (3, 10), (90, 100)]:
        expected = binomtest(k, n).proportion_ci(method="wilson")
        assert compute_wilson_interval(k, n) == pytest.approx((expected.low, expected.high))
    assert compute_wilson_interval(0, 0) == (0, 1)


def test_an_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"accuracy.*precision, recall, f1"):
        bootstrap_interval([Counts(1, 1, 1, 1.0)] * 2, metric="accuracy")


# ---------------------------------------------------------------------- window by window


def test_a_window_holds_the_calls_that_reach_into_it():
    starts = np.arange(5) * 0.4
    ends = starts + 1.0
    assert mark_windows([(1.1, 1.3)], start_times=starts, end_times=ends).tolist() == [0, 1, 1, 1, 0]
    enough = mark_windows([(1.1, 1.3)], start_times=starts, end_times=ends, min_overlap=0.15)
    assert enough.tolist() == [0, 1, 1, 0, 0]  # the first by 0.2 s (its end is at 1.4 s), the last by 0.1 s
    assert not mark_windows([], start_times=starts, end_times=ends).any()


def test_the_threshold_curve_is_scikit_learns(rng):
    from sklearn import metrics

    present = rng.random(300) < 0.3
    probabilities = np.round(np.clip(present * 0.3 + rng.random(300) * 0.7, 0, 1), 2)
    curve = trace_thresholds(np.r_[present, True], np.r_[probabilities, np.nan])
    precision, recall, thresholds = metrics.precision_recall_curve(present, probabilities)
    np.testing.assert_allclose(curve.thresholds, thresholds)
    np.testing.assert_allclose(curve.precision, precision[:-1])
    np.testing.assert_allclose(curve.recall, recall[:-1])
    assert curve.average_precision == pytest.approx(metrics.average_precision_score(present, probabilities))
    at = len(thresholds) // 2
    assert curve.f1[at] == pytest.approx(metrics.f1_score(present, probabilities >= thresholds[at]))


def test_reliability_is_that_of_a_coin_whose_odds_are_stated(rng):
    probabilities = rng.random(200_000)
    curve = measure_reliability(rng.random(200_000) < probabilities, probabilities)
    np.testing.assert_allclose(curve.frequency, curve.mean_probability, atol=0.015)
    assert curve.expected_calibration_error < 0.01
    boastful = measure_reliability(rng.random(200_000) < probabilities / 2, probabilities)
    assert boastful.expected_calibration_error == pytest.approx(0.25, abs=0.01)


def test_the_confusion_matrix_counts_what_was_taken_for_what():
    matrix = count_confusions(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), n_classes=3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
