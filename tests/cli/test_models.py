import json

import pytest
import soundfile

from anemone_lib import load_classifier
from anemone_lib.scoring.bundle import DEMONSTRATION_MODEL


def test_a_model_trained_on_annotated_recordings_is_a_bundle_that_detects(anemone, tmp_path):
    folder, bundle = tmp_path / "season", tmp_path / "bundle"
    for seed in (1, 2, 3):
        path = folder / f"reef{seed}.wav"
        arguments = ("--duration", 30, "--seed", seed, "--sample-rate", 16000, "--bouts-per-minute", 6)
        assert anemone("simulate", path, *arguments).exit_code == 0
    options = ("--epochs", 3, "--members", 1, "--version", "v7", "--name", "tiny")
    result = anemone("train", folder, "--out", bundle, *options)
    assert result.exit_code == 0, result.output
    card = load_classifier(bundle).card
    assert (card.name, card.version) == ("tiny", "v7")
    parts = card.training["recordings"]
    assert sorted(row["name"] for part in ("train", "validation") for row in parts[part]) == [
        "reef1.wav",
        "reef2.wav",
        "reef3.wav",
    ]
    assert card.parity["max_abs_difference"] < 1e-4
    result = anemone("detect", folder / "reef1.wav", "--model", bundle, "--out", tmp_path / "out", "--formats", "json")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "reef1.json").read_text())["metadata"]["model_version"] == "v7"


def test_a_keras_model_is_exported_with_its_card_and_compared_on_given_recordings(anemone, tmp_path, noise):
    (tmp_path / "season").mkdir()
    soundfile.write(tmp_path / "season" / "a.wav", noise(10, 16000), 16000)
    result = anemone(
        "export-model", DEMONSTRATION_MODEL, "--out", tmp_path / "copy", "--recordings", tmp_path / "season"
    )
    assert result.exit_code == 0, result.output
    original, copy = load_classifier().card, load_classifier(tmp_path / "copy").card
    assert (copy.name, copy.version, copy.temperature) == (original.name, original.version, original.temperature)
    assert copy.parity["max_abs_difference"] < 1e-4


def test_what_cannot_be_trained_or_exported_is_said(anemone, tmp_path):
    assert anemone("train", tmp_path).exit_code == 2
    (tmp_path / "reef.wav").touch()
    result = anemone("export-model", tmp_path / "absent.keras", "--recordings", tmp_path)
    assert result.exit_code == 2
    assert "absent.keras" in result.stderr


def test_an_export_asks_for_recordings_and_invents_none(anemone, tmp_path):
    result = anemone("export-model", DEMONSTRATION_MODEL, "--out", tmp_path / "copy")
    assert result.exit_code == 2
    assert "--recordings FOLDER" in result.stderr
    assert not (tmp_path / "copy").exists()
    (tmp_path / "empty").mkdir()
    result = anemone("export-model", DEMONSTRATION_MODEL, "--recordings", tmp_path / "empty")
    assert result.exit_code == 2
    assert "there are no recordings in it" in result.stderr


def test_each_training_has_its_own_number_of_epochs(anemone, tmp_path, monkeypatch):
    from anemone_lib.training import recipes

    seen = []

    def train(folder, *, epochs, mine, **_):
        seen.append((epochs, mine))
        return load_classifier().card

    monkeypatch.setattr(recipes, "train_demonstration_model", train)
    assert anemone("train", "--out", tmp_path).exit_code == 0
    assert anemone("train", "--epochs", 2, "--mine", "--out", tmp_path).exit_code == 0
    assert seen == [(recipes.EPOCHS, False), (2, True)]


def test_only_the_demonstration_model_is_mined(anemone, tmp_path):
    result = anemone("train", tmp_path, "--mine", "--out", tmp_path / "model")
    assert result.exit_code == 2
    assert "--mine simulates more recordings, for the demonstration model" in result.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train --name mine", "--name is given, but the demonstration model is trained in one way"),
        ("train --config own.yaml", "--config is given, but the demonstration model"),
        ("train season --control quiet", "--control is given, but only the demonstration model"),
        ("train --dataset d.yaml --head small", "--head is given, but only a backbone has a head"),
    ],
)
def test_an_option_that_training_would_pass_over_is_refused(anemone, tmp_path, arguments, words):
    result = anemone(*arguments.split(), "--out", tmp_path / "model")
    assert result.exit_code == 2
    assert words in result.output.replace("\n", " ")
    assert not (tmp_path / "model").exists()
