"""The comparison of ``benchmarks/truth``: what it prints, what it leaves out, and that it tells calls from noise."""

import csv
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anemone_lib import InferenceConfig
from anemone_lib.dataset import Dataset, draft_dataset, read_recordings
from anemone_lib.scoring import (
    DEMONSTRATION_MODEL,
    Backbone,
    choose_config,
    choose_transform,
    draw_images,
    load_classifier,
)
from anemone_lib.training.network import import_keras
from tests.dataset.season import write_season


@pytest.fixture(scope="module")
def compare(root):
    """The script, as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(root / "benchmarks"), *sys.path])
        return load(root / "benchmarks/truth/compare.py")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_windows_that_cannot_be_read_are_not_described(compare, rng):
    samples = rng.standard_normal(4 * 4000).astype(np.float32)
    samples[4100] = np.nan
    config = InferenceConfig(
        window_duration=1.0,
        stride_duration=1.0,
        n_fft=256,
        hop_length=64,
        fmax_hz=1000,
        model_classes="noise,hum",
        target_class="hum",
    )
    scores, features = sys.modules["methods"].describe_windows(samples, 4000, config)
    assert np.isfinite(features).all(axis=1).tolist() == [True, False, True, True]
    assert scores.start_times.tolist() == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def season(tmp_path_factory):
    """Three recordings of hums and knocks, described."""
    folder = tmp_path_factory.mktemp("season")
    write_season(folder, n_recordings=3, seconds=40)
    draft_dataset(folder, labels={"h": "hummer", "k": "knocker"}).dataset.save(folder / "dataset.yaml")
    return folder


def test_one_run_prints_every_method_with_its_measures(compare, season, tmp_path, capsys):
    out = tmp_path / "RESULTS.md"
    compare.main([str(season), "--methods", "shipped,boosting", "--out", str(out)])
    text = out.read_text()
    assert text == capsys.readouterr().out
    assert "nan" not in text
    rows = {row.split(" | ")[0].strip("| "): row.split(" | ")[1:] for row in text.splitlines() if row.startswith("|")}
    assert len(rows["shipped"]) == len(rows["boosting"]) == len(rows["method"])
    assert rows["method"][0] == "hummer, window AP"
    assert float(rows["boosting"][0].split()[0]) > 0.9


def test_a_method_that_is_not_known_is_refused(compare, tmp_path, capsys):
    with pytest.raises(SystemExit):
        compare.main([str(tmp_path), "--methods", "magic"])
    assert "the methods are shipped, boosting, from scratch, from shipped, backbone, resnet" in capsys.readouterr().err


def test_a_backbone_is_needed_for_its_method(compare, tmp_path, capsys):
    with pytest.raises(SystemExit):
        compare.main([str(tmp_path), "--methods", "backbone"])
    assert "the method backbone cannot be run: it needs --backbone" in capsys.readouterr().err


def test_without_opensoundscape_its_method_is_left_out_and_how_to_make_it_is_said(compare, season, tmp_path, capsys):
    nowhere = ["--opensoundscape", str(tmp_path / "none")]
    with pytest.raises(SystemExit):
        compare.main([str(season), "--methods", "resnet", *nowhere])
    assert "cannot be run: OpenSoundscape has no environment at" in capsys.readouterr().err
    methods = {name: method for name, method in compare.METHODS.items() if name in ("shipped", "backbone", "resnet")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "METHODS", methods)
        compare.main([str(season), *nowhere])
    text = capsys.readouterr().out
    assert "| shipped |" in text
    assert "| resnet |" not in text
    assert "Left out: resnet. OpenSoundscape has no environment" in text
    assert "pip install opensoundscape" in text


def test_scores_of_opensoundscape_count_for_the_windows_that_it_was_asked_about(compare, season, monkeypatch):
    """A worker that finds what it was told, in place of a network: the measures are those of a perfect detector."""

    class Oracle:
        def __init__(self, name, *, python):
            assert name == "opensoundscape_training"

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def ask(self, *, train, validation, ask, out, classes, **settings):
            assert settings["steps"] == 7
            learnt, asked = (list(csv.DictReader(Path(path).read_text().splitlines())) for path in (train, ask))
            known = {(row["file"], row["start_time"]) for row in learnt}
            assert known
            assert not known & {(row["file"], row["start_time"]) for row in asked}
            recordings = {
                str(one.path.resolve()): one for one in read_recordings(Dataset.load(season / "dataset.yaml"))
            }
            there = [
                [
                    any(
                        call.label == name
                        and call.start_time < float(row["end_time"])
                        and call.end_time > float(row["start_time"])
                        for call in recordings[row["file"]].annotations
                    )
                    for name in classes
                ]
                for row in asked
            ]
            np.save(out, np.array(there, np.float32))

    monkeypatch.setattr(sys.modules["methods"], "Worker", Oracle)
    dataset = Dataset.load(season / "dataset.yaml")
    recordings = read_recordings(dataset)
    options = SimpleNamespace(opensoundscape=Path("python"), resnet_steps=7, seed=0)
    _, test, measures = compare.judge(dataset, compare.METHODS["resnet"](dataset, recordings, recordings, options))
    assert measures["hummer"]["average_precision"]["value"] > 0.99
    outside = [part.annotated.scores.start_times < part.span[0] - 1e-6 for part in test]
    for part, before in zip(test, outside, strict=True):
        assert np.isnan(part.annotated.scores.probabilities[before]).all()


def test_folds_are_compared_in_place_of_the_split(compare, season, capsys):
    compare.main([str(season), "--methods", "shipped", "--folds", "3"])
    text = capsys.readouterr().out
    assert text.count("- fold ") == 3
    assert "nan" not in text
    rows = [row.split(" | ") for row in text.splitlines() if row.startswith("| shipped")]
    folds, pooled = rows
    mean, each = folds[1].split(" (")
    assert float(mean) == pytest.approx(np.mean([float(v) for v in each.rstrip(")").split(", ")]), abs=0.006)
    assert "–" in pooled[1]


def test_several_seeds_give_means_from_the_lowest_to_the_highest(compare, season, capsys, monkeypatch):
    seeds = []

    def shipped(dataset, train_on, recordings, options):
        seeds.append(options.seed)
        return compare.METHODS["boosting"](dataset, train_on, recordings, options)

    monkeypatch.setattr(compare, "METHODS", {**compare.METHODS, "shipped": shipped})
    compare.main([str(season), "--methods", "shipped", "--folds", "2", "--split", "--seed", "4", "--seeds", "2"])
    text = capsys.readouterr().out
    assert seeds == [4, 5, 4, 4, 5, 5]
    assert "seeds 4, 5" in text
    split, folds, pooled = ([*row.strip("| ").split(" | ")] for row in text.splitlines() if row.startswith("| shipped"))
    mean, low, high = (float(part.strip("()")) for part in split[1].replace("–", " ").split())
    assert low <= mean <= high
    assert folds[1].count(",") == 1  # of two folds
    assert "–" in pooled[1]


def test_the_mean_of_several_seeds_is_between_the_lowest_and_the_highest(compare):
    entries = [{"value": value, "interval": (0.0, 1.0)} for value in (0.97, 0.98, 0.99)]
    assert compare.spell_seeds(entries) == "0.980 (0.970–0.990)"
    assert compare.spell_seeds(entries[:1]) == "0.970 (0.00–1.00)"
    assert compare.spell_seeds([{"value": None, "interval": None}] * 2) == "no call"


@pytest.mark.slow
def test_one_run_prints_every_method_on_the_split_and_on_the_folds(compare, season, capsys):
    compare.main([str(season), "--methods", "shipped,boosting", "--folds", "2", "--split"])
    text = capsys.readouterr().out
    for method in ("shipped", "boosting"):
        assert text.count(f"| {method} |") == 3  # split, each fold, all tests together
    assert text.index("split cut in time") < text.index("2 folds by group")


def test_the_features_of_the_shipped_model_are_a_backbone_that_sees_the_same_images(root, tmp_path, rng):
    features = load(root / "benchmarks/truth/export_features.py")
    samples = rng.standard_normal((2, 4000)).astype(np.float32)
    samples -= samples.mean(axis=1, keepdims=True)  # as a backbone is given its windows
    classifier = load_classifier()
    config = choose_transform(choose_config(None, classifier), classifier, sample_rate=4000)
    images = draw_images(samples, sample_rate=4000, **config.image_settings)
    assert np.allclose(features.draw(samples, config, 4000), images, atol=1e-3)
    features.export_features(tmp_path / "features", 4000)
    backbone = Backbone(tmp_path / "features", sample_rate=4000)
    assert backbone.window_duration == 1.0
    embeddings = backbone.embed(samples)
    assert embeddings.shape[1] > 8
    model = import_keras().models.load_model(DEMONSTRATION_MODEL / "best_model.keras", compile=False)
    last = model.layers[-1]
    assert np.allclose(last(embeddings), model(images), atol=0.02)  # the last layer on them answers as the model does
    assert not np.allclose(*embeddings)
