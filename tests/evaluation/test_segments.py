import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from anemone_lib.detection.events import Annotation
from anemone_lib.evaluation.presence import mark_presence
from anemone_lib.evaluation.segments import compute_f1, cut_segments, resample_groups, take_interval
from anemone_lib.evaluation.windows import compute_average_precision


def test_average_precision_and_f1_are_those_of_scikit_learn_weighted_or_not(rng):
    present, scores = rng.random(300) < 0.3, np.round(rng.random(300), 2)
    weights = rng.integers(0, 4, 300).astype(float)
    assert compute_average_precision(present, scores) == pytest.approx(average_precision_score(present, scores))
    assert compute_average_precision(present, scores, weights=weights) == pytest.approx(
        average_precision_score(present, scores, sample_weight=weights)
    )
    assert compute_f1(present, scores >= 0.5) == pytest.approx(f1_score(present, scores >= 0.5))
    assert compute_average_precision(np.zeros(3, bool), np.ones(3)) is None
    assert compute_f1(np.zeros(3, bool), np.ones(3, bool)) is None


def test_a_segment_is_positive_if_any_part_of_an_annotation_lies_in_it():
    starts = np.arange(0, 11, 0.5)
    present, scores = cut_segments(
        [(2.9, 3.1), (8.0, 8.5)], starts / 10, start_times=starts, end_times=starts + 1, span=(0.0, 11.5)
    )
    assert present.tolist() == [True, True, True]  # the last 2.5 s are no segment
    assert scores == pytest.approx([0.2, 0.5, 0.8])


def test_short_calls_count_and_what_is_cut_is_not_known():
    calls = [Annotation(0.98, 1.5, "a"), Annotation(1.0, 1.04, "b"), Annotation(3.2, 3.4, "?")]
    starts = np.arange(0.0, 4.0)
    present, known = mark_presence(
        calls[:2], start_times=starts, end_times=starts + 1, classes=("noise", "a", "b"), unclear=calls[2:]
    )
    assert present[:, 1].tolist() == [False, True, False, False]
    assert known[:, 1].tolist() == [False, True, True, False]  # 20 ms of a call; a label of no class
    assert present[:, 2].tolist() == [False, True, False, False]
    assert known[:, 0].tolist() == [False, True, True, False]
    assert present[2, 0]


def test_overlapping_classes_are_both_present():
    calls = [Annotation(0.1, 0.9, "a"), Annotation(0.5, 0.7, "b")]
    present, known = mark_presence(
        calls, start_times=np.array([0.0]), end_times=np.array([1.0]), classes=("noise", "a", "b")
    )
    assert present[0].tolist() == [False, True, True]
    assert known.all()


def test_groups_are_resampled_whole_and_one_group_gives_no_interval():
    for weights in resample_groups(["x", "x", "y", "z"], n_resamples=20):
        assert weights[0] == weights[1]
        assert weights[[0, 2, 3]].sum() == 3
    assert resample_groups(["x", "x"]) == []
    assert take_interval([]) is None
    assert take_interval([None, None, 0.5]) is None


def test_what_is_unclear_is_no_call_also_where_its_label_is_a_class():
    starts = np.arange(4.0)
    present, known = mark_presence(
        [Annotation(3.2, 3.8, "a")],
        start_times=starts,
        end_times=starts + 1,
        classes=("noise", "a", "b"),
        unclear=[Annotation(1.2, 1.8, "a")],
    )
    assert present[:, 1].tolist() == [False, False, False, True]
    assert known.all(axis=1).tolist() == [True, False, True, True]
