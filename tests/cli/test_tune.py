import json

import numpy as np
import pytest
from scipy.special import expit, logit

import anemone_lib
from anemone_lib import InferenceConfig, load_classifier
from anemone_lib.promotion import Promotion
from anemone_lib.simulation.dataset import write_dataset
from anemone_lib.tables.verdicts import Verdict, write_verdicts


@pytest.fixture
def folder(tmp_path, loudness, monkeypatch):
    """Six annotated recordings, a classifier, and a working directory to write to."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(anemone_lib, "load_classifier", lambda model=None: loudness)
    write_dataset(tmp_path / "season", n_recordings=6, duration=15, sample_rate=8000)
    return tmp_path / "season"


def test_evaluate_rates_every_recording_and_all_of_them(anemone, folder, tmp_path):
    result = anemone("evaluate", folder, "--out", tmp_path / "evaluation.json")
    assert result.exit_code == 0, result.output
    assert "false alarms per hour:" in result.output
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert len(content["recordings"]) == 6
    assert content["all"]["n_reference"] == sum(row["n_reference"] for row in content["recordings"]) > 0
    assert content["all"]["duration_s"] == pytest.approx(90)
    stricter = anemone("evaluate", folder, "--onset-tolerance", "0.01", "--out", tmp_path / "strict.json")
    assert stricter.exit_code == 0
    strict = json.loads((tmp_path / "strict.json").read_text())
    assert strict["all"]["n_matched"] <= content["all"]["n_matched"]


def test_tune_writes_what_terraform_loads_and_a_report_with_the_command(anemone, folder, tmp_path):
    result = anemone("tune", folder, "--seed", "1")
    assert (result.exit_code, list((tmp_path / "out/tuning").iterdir())) == (1, [])
    assert "refused: not promoted, because" in result.stderr
    result = anemone("tune", folder, "--seed", "1", "--force")
    assert result.exit_code == 0, result.output
    assert "recordings set aside:" in result.output
    config = InferenceConfig.load(tmp_path / "out/tuning/inference_config.auto.tfvars.json")
    assert config.fingerprint in (tmp_path / "out/tuning/inference_config.md").read_text()


def test_tables_may_use_other_labels(anemone, folder):
    assert anemone("evaluate", folder, "--labels", "biological, Anemonefish").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tune", "nowhere"], "nowhere is no folder"),
        (["tune", "season", "--labels", "whale"], "none is whale; name some that are there"),
        (["tune", "season", "--out", "terraform/environments/prdo"], "prdo is not a folder"),
        (["evaluate", "season", "--annotations", "empty"], "no recording in season has a table"),
    ],
)
def test_what_cannot_be_tuned_exits_with_2_and_says_why(anemone, folder, arguments, words):
    result = anemone(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("evaluate season --split test", "--split is given, but only a dataset has parts"),
        ("evaluate --dataset d.yaml --onset-tolerance 0.1", "an event matches a call that it overlaps"),
        ("evaluate --dataset d.yaml --timezone Asia/Tokyo", "d.yaml says where tables and times are"),
        ("tune season --per group", "--per is given, but only a dataset has parts and groups"),
        ("tune --dataset d.yaml --beta 2", "--beta is given, but with --dataset"),
        ("tune --dataset d.yaml --max-false-alarms-per-hour 5", "found on one part of the split"),
        ("tune --dataset d.yaml --seconds 10", "--seconds is given, but only --per group reads it"),
        ("tune --verdicts v.csv --precision 0.9 --labels grunt", "--labels is given, but a search on verdicts"),
    ],
)
def test_an_option_that_would_be_passed_over_is_refused(anemone, arguments, words):
    result = anemone(*arguments.split())
    assert result.exit_code == 2
    assert words in result.stderr.replace("\n", " ")


def write_review(path, model_sha256):
    """Verdicts of which those of a high confidence are calls."""
    confidences = np.linspace(0.3, 0.98, 60)
    calls = np.random.default_rng(3).random(60) < expit(3 * logit(confidences))
    rows = [
        Verdict(f"e{k}", "reef.wav", k, k + 1, "x", bool(call), float(c), model_sha256=model_sha256)
        for k, (c, call) in enumerate(zip(confidences, calls, strict=True))
    ]
    return write_verdicts(path, rows)


def test_verdicts_give_the_threshold_that_reaches_a_precision(anemone, tmp_path):
    table = write_review(tmp_path / "verdicts.csv", load_classifier().sha256)
    out = tmp_path / "out"
    result = anemone("tune", "--verdicts", table, "--precision", 0.9, "--out", out)
    assert result.exit_code == 0, result.output
    promotion = Promotion.load(out / "inference_config.auto.tfvars.json")
    assert promotion.model_sha256 == load_classifier().sha256
    assert 0.55 < promotion.config.confidence_threshold < 0.85  # 0.9 is reached at 0.675
    assert "60 verdicts" in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--precision", "0.9"], "belong together"),
        (["--verdicts", "verdicts.csv"], "belong together"),
        (["--verdicts", "verdicts.csv", "--precision", "90"], "precision is 90"),
        (["--verdicts", "other.csv", "--precision", "0.9"], "the model whose events were reviewed"),
    ],
)
def test_verdicts_that_give_no_threshold_are_refused(anemone, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    write_review(tmp_path / "verdicts.csv", load_classifier().sha256)
    write_review(tmp_path / "other.csv", "b" * 64)
    result = anemone("tune", *options, "--out", "out")
    assert result.exit_code == 2
    assert words in result.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()
