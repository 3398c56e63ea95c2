import json

import pytest

import anemone_lib
from anemone_lib import InferenceConfig
from anemone_lib.simulation.dataset import write_dataset


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
    assert "refused: not promoted, because F1 is lower on recordings set aside" in result.stderr
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
        (["tune", "season", "--labels", "whale"], "holds an annotation of anemonefish"),
        (["tune", "season", "--out", "terraform/environments/prdo"], "prdo is no folder"),
        (["evaluate", "season", "--annotations", "empty"], "no recording in season has a table"),
    ],
)
def test_what_cannot_be_tuned_exits_with_2_and_says_why(anemone, folder, arguments, words):
    result = anemone(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr.replace("\n", " ")
