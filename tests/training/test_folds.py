from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anemone_lib.dataset import draft_dataset, read_recordings
from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.detection import Annotation
from anemone_lib.errors import ConfigError
from anemone_lib.training import folds
from anemone_lib.training.examples import read_stretches
from anemone_lib.training.folds import cross_validate, draw_folds
from tests.dataset.season import write_season

MEANING = {"h": "hummer", "k": "knocker"}


@pytest.fixture
def dataset(tmp_path):
    write_season(tmp_path, n_recordings=5, seconds=20)
    return draft_dataset(tmp_path, labels=MEANING).dataset


def test_every_group_is_tested_once_by_a_model_that_has_not_seen_it(dataset, monkeypatch):
    read = []

    def note(recordings, part, config):
        stretches = read_stretches(recordings, part, config)
        read.append((part, {one.group for one in stretches}))
        return stretches

    def know_nothing(pool, validation, config, **options):
        class Model:
            output = np.zeros((1, len(config.classes)))

            def __call__(self, images, training):
                return np.full((len(images), *self.output.shape[1:]), 0.5, np.float32)

        return SimpleNamespace(model=Model())

    monkeypatch.setattr(folds, "read_stretches", note)
    monkeypatch.setattr(folds, "learn_from", know_nothing)
    recordings = read_recordings(dataset)
    done = []
    measures = cross_validate(dataset, recordings, n_folds=3, progress=lambda k, n: done.append((k, n)))
    tested = [groups for part, groups in read if part == "test"]
    assert sorted(group for groups in tested for group in groups) == sorted(one.group for one in recordings)
    for part in ("train", "validation"):
        seen = [groups for name, groups in read if name == part]
        assert all(not own & aside for own, aside in zip(seen, tested, strict=True))
        assert all(len(own | aside) == 5 for own, aside in zip(seen, tested, strict=True))
    assert done == [(1, 3), (2, 3), (3, 3)]
    # Who knows nothing is right as often as the class is there: hums are in more windows than knocks, in every fold.
    for hum, knock in zip(measures["hummer"]["folds"], measures["knocker"]["folds"], strict=True):
        assert 0 < knock < hum < 1


def test_a_fold_that_cannot_be_read_has_no_measure_and_the_others_have(dataset, monkeypatch):
    read = []

    def damage(recordings, part, config):
        stretches = read_stretches(recordings, part, config)
        read.extend([part] * (part == "test"))
        broken = part == "test" and len(read) == 1
        return [replace(one, samples=np.full_like(one.samples, np.nan)) for one in stretches] if broken else stretches

    def know_nothing(pool, validation, config, **options):
        class Model:
            output = np.zeros((1, len(config.classes)))

            def __call__(self, images, training):
                return np.full((len(images), *self.output.shape[1:]), 0.5, np.float32)

        return SimpleNamespace(model=Model())

    monkeypatch.setattr(folds, "read_stretches", damage)
    monkeypatch.setattr(folds, "learn_from", know_nothing)
    first, *others = cross_validate(dataset, read_recordings(dataset), n_folds=3)["hummer"]["folds"]
    assert first is None
    assert None not in others


def test_calls_of_every_class_are_spread_over_the_folds():
    calls = {"a": "kkkk", "b": "hhhhhhhh", "c": "kkkh", "d": "hhh", "e": "hk", "f": ""}
    names = {"h": "hummer", "k": "knocker"}
    recordings = [
        LabelledRecording(
            Path(f"{group}.wav"),
            Path(f"{group}.csv"),
            group,
            100.0,
            4000,
            tuple(Annotation(k, k + 0.5, names[label]) for k, label in enumerate(labels)),
        )
        for group, labels in calls.items()
    ]
    for seed in range(4):
        folds = draw_folds(recordings, 2, seed=seed)
        aside = [{one.group for one in fold if "test" in one.spans} for fold in folds]
        assert aside[0] | aside[1] == set(calls)
        assert not aside[0] & aside[1]
        for own in aside:
            heard = "".join(calls[group] for group in own)
            assert heard.count("k") >= 3
            assert heard.count("h") >= 4
    tested = folds[0][0]
    assert tested.spans in ({"test": (0.0, 100.0)}, {"train": (0.0, 85.0), "validation": (85.0, 100.0)})


@pytest.mark.parametrize("n_folds", [1, 6])
def test_folds_are_no_more_than_groups(dataset, n_folds):
    with pytest.raises(ConfigError, match="from 2 to the number of groups, 5"):
        cross_validate(dataset, read_recordings(dataset), n_folds=n_folds)
