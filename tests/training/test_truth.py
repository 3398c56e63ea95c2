"""The comparison of ``benchmarks/truth``: the calls that it keeps, and that it tells calls from noise."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from anemone_lib import InferenceConfig
from anemone_lib.dataset import draft_dataset
from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.detection import Annotation
from tests.dataset.season import write_season


@pytest.fixture(scope="module")
def compare(root):
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("compare", root / "benchmarks/truth/compare.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(root / "benchmarks"), *sys.path])
        spec.loader.exec_module(module)
    return module


def test_calls_that_are_not_kept_are_neither_calls_nor_background(compare):
    calls = tuple(Annotation(start, start + 1.0, "hum") for start in (1.0, 3.0, 5.0, 12.0))
    chorus = Annotation(8.0, 18.0, "knock")  # reaches out of the train part
    spans = {"train": (0.0, 10.0), "test": (10.0, 20.0)}
    one = LabelledRecording(Path("a.wav"), Path("a.txt"), "a", 20.0, 4000, (*calls, chorus), spans=spans)
    kept = compare.keep_calls([one], 1, seed=0)[0]
    assert sorted(call.label for call in kept.annotations) == ["hum", "hum", "knock"]  # a hum is of the test part
    assert len(kept.unclear) == 2
    assert {call.start_time for call in (*kept.annotations, *kept.unclear)} == {1.0, 3.0, 5.0, 8.0, 12.0}
    none = compare.keep_calls([one], 0, seed=0)[0]
    assert [(call.start_time, call.end_time) for call in none.annotations] == [(12.0, 13.0), (10.0, 18.0)]
    assert (8.0, 10.0) in [(call.start_time, call.end_time) for call in none.unclear]
    assert compare.keep_calls([one], 3, seed=0)[0].unclear == ()


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
    scores, features = compare.describe_windows(samples, 4000, config)
    assert np.isfinite(features).all(axis=1).tolist() == [True, False, True, True]
    assert scores.start_times.tolist() == [0, 1, 2, 3]


def test_one_run_prints_every_method_with_its_measures(compare, tmp_path, capsys):
    write_season(tmp_path / "season", n_recordings=3, seconds=40)
    dataset = draft_dataset(tmp_path / "season", labels={"h": "hummer", "k": "knocker"}).dataset
    dataset.save(tmp_path / "season" / "dataset.yaml")
    out = tmp_path / "RESULTS.md"
    compare.main([str(tmp_path / "season"), "--methods", "shipped,boosting", "--out", str(out)])
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
    assert "the methods are shipped, boosting, from scratch, from shipped, backbone" in capsys.readouterr().err


def test_a_backbone_is_needed_for_its_method(compare, tmp_path, capsys):
    with pytest.raises(SystemExit):
        compare.main([str(tmp_path), "--methods", "backbone"])
    assert "the method backbone needs --backbone" in capsys.readouterr().err
