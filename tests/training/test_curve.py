from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anemone_lib.dataset import Dataset, draft_dataset, read_recordings
from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.detection import Annotation
from anemone_lib.errors import ConfigError
from anemone_lib.notebook.training import trace_own_curve
from anemone_lib.training import curve
from anemone_lib.training.curve import keep_calls, trace_learning_curve
from tests.dataset.season import write_season


def test_calls_that_are_not_kept_are_neither_calls_nor_background():
    calls = tuple(Annotation(start, start + 1.0, "hum") for start in (1.0, 3.0, 5.0, 12.0))
    chorus = Annotation(8.0, 18.0, "knock")  # reaches out of the train part
    spans = {"train": (0.0, 10.0), "test": (10.0, 20.0)}
    one = LabelledRecording(Path("a.wav"), Path("a.txt"), "a", 20.0, 4000, (*calls, chorus), spans=spans)
    kept = keep_calls([one], 1, seed=0)[0]
    assert sorted(call.label for call in kept.annotations) == ["hum", "hum", "knock"]  # a hum is of the test part
    assert len(kept.unclear) == 2
    assert {call.start_time for call in (*kept.annotations, *kept.unclear)} == {1.0, 3.0, 5.0, 8.0, 12.0}
    none = keep_calls([one], 0, seed=0)[0]
    assert [(call.start_time, call.end_time) for call in none.annotations] == [(12.0, 13.0), (10.0, 18.0)]
    assert (8.0, 10.0) in [(call.start_time, call.end_time) for call in none.unclear]
    assert keep_calls([one], 3, seed=0)[0].unclear == ()


@pytest.fixture
def path(tmp_path):
    """A description of recordings with hums and knocks, cut in time."""
    write_season(tmp_path, n_recordings=3, seconds=30)
    return draft_dataset(tmp_path, labels={"h": "hummer", "k": "knocker"}).dataset.save(tmp_path / "dataset.yaml")


@pytest.fixture
def learnt(monkeypatch):
    """Stand in for the training; note what was learnt from."""
    seen = []

    def know_nothing(pool, validation, config, *, start_from, members, epochs, seed):
        assert members == 1
        seen.append((start_from, dict(pool.counts), len(validation)))
        return SimpleNamespace(model=lambda images, training: np.full((len(images), len(config.classes)), 0.5))

    monkeypatch.setattr(curve, "learn_from", know_nothing)
    return seen


def test_the_curve_learns_from_few_calls_and_from_all_and_measures_on_the_same_windows(path, learnt):
    dataset = Dataset.load(path)
    recordings = read_recordings(dataset)
    done = []
    points = trace_learning_curve(dataset, recordings, [500, 1, 3, 1], progress=lambda k, n: done.append((k, n)))
    most = max(sum(one.count_calls("train")[name] for one in recordings) for name in dataset.calls)
    assert [(one.n_calls, one.start_from) for one in points] == [
        (number, start) for number in (1, 3, most) for start in ("shipped", "none")
    ]
    assert done == [(k, 6) for k in range(1, 7)]
    hums = [counts["hummer"] for _, counts, _ in learnt]
    assert hums[0] == hums[1] < hums[2] == hums[3] < hums[4]
    backgrounds = [counts["noise"] for _, counts, _ in learnt]
    assert len(set(backgrounds)) == 1  # a call that is left out is no background
    assert {one.part for one in points} == {"test"}
    assert len({str(one.average_precision) for one in points}) == 1  # who knows nothing is as good on the same windows


def test_a_notebook_draws_the_curve_by_class_and_start(path, learnt):
    curves, part = trace_own_curve(path, ["2"], epochs=1)
    assert part == "test"
    assert {start for _, start in curves} == {"shipped", "none"}
    assert all(len(own) == 2 and 2 in own for own in curves.values())
    assert trace_own_curve("", []) == ({}, "")
    with pytest.raises(ConfigError, match="a learning curve needs a dataset"):
        trace_own_curve("", [5])
    with pytest.raises(ConfigError, match="curve_calls has 'few'; it is a list of whole numbers"):
        trace_own_curve(path, ["few"])
    with pytest.raises(ConfigError, match="0 calls of each class are too few to learn from"):
        trace_own_curve(path, [0])
