from dataclasses import replace

import numpy as np
import pytest

from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Annotation
from anemone_lib.errors import ConfigError
from anemone_lib.evaluation.rates import Counts
from anemone_lib.promotion import Promotion
from anemone_lib.scoring.scores import Scores
from anemone_lib.scoring.windows import WindowGrid
from anemone_lib.tuning.by_group import (
    doubt_groups,
    list_gains,
    note_other_groups,
    save_groups,
    spell_gains,
    tune_each_group,
)
from anemone_lib.tuning.decisions import Decisions
from anemone_lib.tuning.recordings import AnnotatedRecording

CONFIG = InferenceConfig(
    model_classes="noise,grunt", target_class="grunt", confidence_threshold=0.9, smoothing_window=1
)


def record(name, peak, *, seconds=60, calls=range(3, 60, 6)):
    """A recording whose calls reach `peak`, with noise at half of that."""
    grid = WindowGrid(n_samples=10 * seconds, sample_rate=10, window_samples=10, stride_samples=10)
    target = np.full(seconds, peak / 2, np.float32)
    target[list(calls)] = peak
    scores = Scores(np.stack([1 - target, target], axis=1), ("noise", "grunt"), grid, recording_name=name)
    return AnnotatedRecording(scores, [Annotation(t + 0.2, t + 0.8, "Grunt") for t in calls])


@pytest.fixture
def deployments():
    """A loud deployment, whose noise passes the threshold that calls of the faint one need."""
    return [record("a.wav", 0.96), record("b.wav", 0.4), record("c.wav", 0.4)]


def test_each_deployment_gets_the_threshold_that_its_own_calls_need(deployments):
    groups = {"a.wav": "loud", "b.wav": "faint", "c.wav": "faint"}
    decisions, gains = tune_each_group(deployments, CONFIG, groups, labels=["grunt"], seconds=20)
    assert [one.group for one in gains] == ["faint", "loud"]
    faint, loud = gains
    assert faint.n_first == 2 * 3
    assert 0.2 < faint.threshold <= 0.4
    assert (faint.before.n_matched, faint.after.n_matched, faint.after.n_reference) == (0, 14, 14)
    assert faint.after.f1 == 1
    assert 0.48 < loud.threshold <= 0.96
    assert loud.after.n_reference == 7  # three of ten lie in the first seconds
    assert decisions.groups["faint"]["grunt"].confidence_threshold == faint.threshold
    assert spell_gains(gains).startswith("grunt: F1 of events 0.500 → 1.000, +0.500 (")


def test_a_recording_that_no_group_names_is_its_own(deployments):
    _, gains = tune_each_group(deployments, CONFIG, {}, labels=["grunt"], seconds=20)
    assert [one.group for one in gains] == ["a.wav", "b.wav", "c.wav"]


def test_where_nothing_is_heard_first_the_threshold_stays_and_the_table_says_so():
    late = record("late.wav", 0.4, calls=range(40, 60, 6))
    decisions, gains = tune_each_group([late], CONFIG, {}, labels=["grunt"], seconds=20)
    assert decisions.groups == {}
    assert list_gains(gains)[2] == "| late.wav | grunt | 0 | none: as before | 4 | 0.00 → 0.00 |"


def test_nothing_to_test_on_is_said_and_nothing_is_invented(deployments):
    _, gains = tune_each_group(deployments, CONFIG, {}, labels=["grunt"], seconds=59)
    assert [line.split(" | ")[4:] for line in list_gains(gains)[2:]] == [["0", "nothing left |"]] * 3
    assert "nothing to test on" in spell_gains(gains)


def test_own_thresholds_that_lose_are_doubted(deployments):
    groups = {"a.wav": "loud", "b.wav": "faint", "c.wav": "faint"}
    _, gains = tune_each_group(deployments, CONFIG, groups, labels=["grunt"], seconds=20)
    assert doubt_groups(gains, "grunt") == []  # of two deployments one gains, and the other loses nothing
    worse = [replace(one, before=one.after, after=one.before) for one in gains]
    assert "F1 is lower after the first seconds by 0.500" in doubt_groups(worse, "grunt")[0]
    better = [replace(gains[0], group=f"faint {k}") for k in range(3)]
    assert doubt_groups(better, "grunt") == []
    assert "includes 0" in doubt_groups([better[0], better[1], worse[0]], "grunt")[0]  # two gain, one loses


def test_the_threshold_of_a_single_new_deployment_needs_no_other_one(deployments):
    _, gains = tune_each_group(deployments, CONFIG, {}, labels=["grunt"], seconds=20)
    changed = next(one for one in gains if one.threshold != one.threshold_before)
    assert doubt_groups([changed], "grunt") == []
    nothing = Counts(0, 0, 0, 0.0)
    assert doubt_groups([replace(changed, before=nothing, after=nothing)], "grunt") == []
    assert doubt_groups([replace(gains[0], threshold=0.9)], "grunt") == []  # as before


def test_no_second_to_tune_on_is_refused(deployments):
    with pytest.raises(ConfigError, match="seconds is 0; it must be more than 0"):
        tune_each_group(deployments, CONFIG, {}, labels=["grunt"], seconds=0)


def test_settings_of_groups_are_files_that_name_the_model_whatever_the_groups_are_called(tmp_path):
    own = {
        name: {"grunt": CONFIG.replace(confidence_threshold=t)}
        for name, t in (("reef/1", 0.3), ("reef 1", 0.4), ("..", 0.5), ("Reef_1", 0.6))
    }
    decisions = Decisions({"grunt": CONFIG}, {}, own)
    paths = save_groups(decisions, tmp_path / "groups", target_class="grunt", model_sha256="a" * 64)
    assert len({str(path).casefold() for path in paths}) == 4  # a disk may take upper and lower case for the same
    assert {path.parent for path in paths} == {tmp_path / "groups"}
    loaded = [Promotion.load(path) for path in paths]
    assert sorted(one.config.confidence_threshold for one in loaded) == [0.3, 0.4, 0.5, 0.6]
    assert {one.model_sha256 for one in loaded} == {"a" * 64}
    assert note_other_groups(tmp_path / "groups", paths) == ""


def test_settings_that_an_earlier_tuning_left_are_named(tmp_path):
    for names in (["north", "south"], ["south"]):
        decisions = Decisions({"grunt": CONFIG}, {}, {name: {"grunt": CONFIG} for name in names})
        paths = save_groups(decisions, tmp_path, target_class="grunt", model_sha256="a" * 64)
    note = note_other_groups(tmp_path, paths)
    assert "north.auto.tfvars.json" in note
    assert "south" not in note
    assert (tmp_path / "north.auto.tfvars.json").exists()  # a person decides
