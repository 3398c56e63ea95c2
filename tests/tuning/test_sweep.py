from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anemone_lib.audio.gaps import Gap
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import decide_events
from anemone_lib.errors import AnnotationError, ConfigError
from anemone_lib.evaluation.matching import count_events
from anemone_lib.evaluation.rates import Counts
from anemone_lib.tuning.sweep import SearchSpace, sweep_settings
from tests.conftest import make_annotated_recording

levels = st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.7, 0.9, np.nan])
intervals = st.tuples(st.integers(0, 80), st.integers(1, 40)).map(lambda pair: (pair[0] / 7, sum(pair) / 7))
samples = st.builds(
    make_annotated_recording,
    st.lists(levels, min_size=1, max_size=25).filter(lambda target: np.isfinite(target).any()),
    st.lists(intervals, max_size=6),
)
space = SearchSpace(
    smoothing_window=(1, 3, 5),
    confidence_threshold=(0.0, 0.25, 0.5, 0.7),
    min_gap_duration=(0.0, 0.1, 0.4, 1.3),
    min_event_duration=(0.0, 1.2, 2.0),
)


@pytest.mark.slow
@given(st.lists(samples, min_size=1, max_size=3), st.sampled_from([0.0, 0.15, 1.4]))
@settings(max_examples=30, deadline=None)
def test_the_sweep_counts_what_finding_and_matching_events_counts(recordings, bout_gap):
    tried = sweep_settings(recordings, space, bout_gap=bout_gap)
    for index in np.ndindex(space.shape):
        config = space.make_config(index, InferenceConfig())
        expected = [
            count_events(
                one.join_bouts(labels=["anemonefish"], bout_gap=bout_gap),
                decide_events(one.scores, config),
                duration=one.scores.duration,
            )
            for one in recordings
        ]
        found = tried.get_counts(index)
        assert [(c.n_reference, c.n_estimated, c.n_matched) for c in found] == [
            (c.n_reference, c.n_estimated, c.n_matched) for c in expected
        ]


def test_a_hand_computed_recording():
    # Events in windows 3 and 4 (1.2 to 2.6 s) and 10 (4.0 to 5.0 s); calls at 2 s, and at 20 s, which is not found.
    target = np.zeros(60)
    target[[3, 4]], target[10] = 0.8, 0.6
    tried = sweep_settings(
        [make_annotated_recording(target, [(2.0, 2.2), (20.0, 20.5)])],
        SearchSpace((1,), (0.5, 0.7), (0.1, 1.5), (0.2,)),
    )
    assert tried.n_estimated[0, :, :, 0, 0].tolist() == [[2, 1], [1, 1]]
    assert tried.n_matched[0, :, :, 0, 0].tolist() == [[1, 1], [1, 1]]
    assert tried.rates["recall"].tolist() == [[[[0.5], [0.5]], [[0.5], [0.5]]]]
    assert tried.rates["precision"][0, 0, :, 0].tolist() == [0.5, 1.0]
    assert tried.rates["false_alarms_per_hour"][0, 0, 0, 0] == pytest.approx(3600 / (59 * 0.4 + 1))


def test_events_do_not_run_from_one_recording_into_the_next():
    tried = sweep_settings(
        [make_annotated_recording([0.1, 0.9]), make_annotated_recording([0.9, 0.1])],
        SearchSpace((1,), (0.5,), (100.0,), (0.0,)),
    )
    assert tried.n_estimated[0, 0, 0, 0].tolist() == [1, 1]


def test_bouts_in_skipped_audio_count_neither_for_nor_against():
    one = make_annotated_recording(np.zeros(20), [(1, 1.2), (5, 5.5)])
    one = replace(one, scores=replace(one.scores, skipped=(Gap(4.8, 6.0, "unreadable"),)))
    assert one.join_bouts(labels=["anemonefish"]).tolist() == [[1, 1.2]]


def test_by_default_a_bout_ends_with_a_silence_of_a_window_and_a_stride():
    one = make_annotated_recording(np.zeros(20), [(0, 0.5), (1.9, 2.0), (3.5, 4.0)])
    assert one.join_bouts(labels=["anemonefish"]).tolist() == [[0, 2.0], [3.5, 4.0]]


def test_the_default_space_has_about_ten_thousand_settings_with_the_given_ones_among_them():
    config = InferenceConfig(confidence_threshold=0.123, min_event_duration=0.7)
    around = SearchSpace.around(config)
    assert 5_000 < around.size < 20_000
    assert around.make_config(around.find_index(config), config) == config


@pytest.mark.parametrize(("window", "stride"), [(1.0, 0.4), (1.0, 0.5), (2.0, 0.3), (0.5, 0.5)])
def test_the_default_space_has_one_value_between_every_two_gaps_that_can_be(window, stride):
    config = InferenceConfig(window_duration=window, stride_duration=stride, smoothing_window=1, min_gap_duration=0)
    around = replace(SearchSpace.around(config), smoothing_window=(1,), confidence_threshold=(0.5,))
    unbridged = []
    for empty in range(12):
        one = make_annotated_recording(
            [0.9, *[0.0] * empty, 0.9], sample_rate=20, stride=round(stride * 20), window=round(window * 20)
        )
        unbridged.append(int((sweep_settings([one], around).n_estimated[0, 0, :, 0, 0] == 2).sum()))
    steps = np.diff(unbridged)
    assert set(steps) == {0, 1}
    assert unbridged[-1] == len(around.min_gap_duration)


def test_the_best_setting_is_the_one_with_the_highest_f1():
    target = np.zeros(40)
    target[[5, 6]], target[20] = 0.8, 0.6
    best = sweep_settings(
        [make_annotated_recording(target, [(2.5, 2.8)])], SearchSpace.around(InferenceConfig())
    ).find_best(InferenceConfig())
    assert len(decide_events(make_annotated_recording(target).scores, best)) == 1


def test_of_equally_good_settings_the_nearest_to_the_given_in_the_middle_of_the_plateau_is_chosen():
    target = np.zeros(40)
    target[5:9] = 0.8
    base = InferenceConfig(smoothing_window=3)
    best = sweep_settings([make_annotated_recording(target, [(2.5, 2.8)])], SearchSpace.around(base)).find_best(base)
    assert best == base.replace(confidence_threshold=best.confidence_threshold)
    assert best.confidence_threshold == pytest.approx(0.41, abs=0.011)  # right from 0.02 to 0.80


def test_a_beta_below_one_prefers_precision_and_above_one_recall():
    # At 0.5: both calls and four false alarms. At 0.7: one call and no false alarm.
    target = np.zeros(120)
    target[10], target[[30, 50, 60, 70, 80]] = 0.8, 0.6
    recording = make_annotated_recording(target, [(4.2, 4.4), (12.2, 12.4)])
    choices = SearchSpace((1,), (0.5, 0.7), (0.1,), (0.2,))
    base = InferenceConfig(smoothing_window=1)
    tried = sweep_settings([recording], choices)
    assert tried.get_counts((0, 0, 0, 0)) == [Counts(2, 6, 2, recording.scores.duration)]
    assert tried.get_counts((0, 1, 0, 0)) == [Counts(2, 1, 1, recording.scores.duration)]
    assert tried.find_best(base, beta=0.5).confidence_threshold == 0.7
    assert tried.find_best(base, beta=3).confidence_threshold == 0.5
    assert tried.find_best(base, beta=3, max_false_alarms_per_hour=10).confidence_threshold == 0.7


def test_a_limit_on_false_alarms_that_nothing_meets_says_how_few_there_can_be():
    # One event over all of the 40.6 s, which is a false alarm, and a call of which nothing is found in 1 s.
    recordings = [make_annotated_recording(np.full(100, 0.9)), make_annotated_recording([0.0], [(0.2, 0.4)])]
    tried = sweep_settings(recordings, SearchSpace((1,), (0.5,), (0.1,), (0.2,)))
    with pytest.raises(ConfigError, match=rf"_hour is 1; of the 1 settings, the best has {3600 / 41.6:.3g} per hour"):
        tried.find_best(InferenceConfig(), max_false_alarms_per_hour=1)


def test_nothing_annotated_is_an_error_not_a_perfect_score():
    with pytest.raises(AnnotationError, match="no recording for tuning has an annotation of anemonefish"):
        sweep_settings([make_annotated_recording([0.9])], SearchSpace.around(InferenceConfig())).find_best(
            InferenceConfig()
        )


def test_the_curve_over_the_threshold_holds_the_other_settings():
    rng = np.random.default_rng(5)
    recording = make_annotated_recording(rng.random(200), [(10, 12), (40, 41), (60, 66)])
    around = SearchSpace.around(InferenceConfig())
    curve = sweep_settings([recording], around).get_curve(InferenceConfig())
    at = curve["confidence_threshold"].tolist().index(0.6)
    config = InferenceConfig(confidence_threshold=0.6)
    expected = count_events(
        recording.join_bouts(labels=["anemonefish"]), decide_events(recording.scores, config), duration=1.0
    )
    assert curve["f1"][at] == pytest.approx(expected.f1)


def test_a_value_that_was_not_tried_is_named():
    with pytest.raises(ConfigError, match=r"confidence_threshold is 0\.33, which was not tried"):
        SearchSpace((1,), (0.5,), (0.1,), (0.2,)).find_index(
            InferenceConfig(smoothing_window=1, confidence_threshold=0.33)
        )


def test_the_hash_of_annotations_follows_what_they_say():
    one, other = make_annotated_recording([0.1], [(1, 2), (3, 4)]), make_annotated_recording([0.1], [(3, 4), (1, 2)])
    assert one.annotations_sha256 == other.annotations_sha256
    assert one.annotations_sha256 != make_annotated_recording([0.1], [(1, 2)]).annotations_sha256
