import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import yaml
from typer.testing import CliRunner

from anemone_lib import load_classifier, open_recording
from anemone_lib.cli import app
from anemone_lib.dataset import Dataset, draft_dataset, read_recordings
from anemone_lib.errors import ConfigError, ModelError
from anemone_lib.scoring import Backbone, choose_config, plan, score_chunk
from anemone_lib.training import folds
from anemone_lib.training.embedded import EmbeddedPool, fit_backbone
from anemone_lib.training.examples import Examples
from anemone_lib.training.from_dataset import choose_start
from tests.dataset.season import write_season
from tests.service.conftest import Inside, Settings

pytestmark = pytest.mark.slow


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def home(backbones, tmp_path_factory):
    """Five recordings, described, and a head on the small network that was trained on them."""
    home = tmp_path_factory.mktemp("home")
    write_season(home / "reef", n_recordings=5, seconds=40)
    dataset = draft_dataset(home / "reef", labels={"h": "hummer", "k": "knocker"}).dataset
    dataset.save(home / "dataset.yaml")
    options = ("--backbone", backbones / "network.tflite", "--backbone-rate", 4000)
    output = run("train", "--dataset", home / "dataset.yaml", *options, "--epochs", 8, "--out", home / "model")
    assert "best_model.backbone.tflite" in output
    return home


@pytest.fixture
def copy(home, tmp_path):
    return Path(shutil.copytree(home / "model", tmp_path / "copy"))


def test_every_command_uses_a_head_on_a_backbone(home, tmp_path):
    card = load_classifier(home / "model").card
    assert (card.backbone.source, card.backbone.head, card.input_shape) == ("network.tflite", "linear", (24,))
    assert (card.settings["target_sr"], card.settings["window_duration"]) == (4000, 1.0)
    options = ("--dataset", home / "dataset.yaml", "--model", home / "model", "--cache", tmp_path / "scores")
    run("evaluate", *options, "--split", "test", "--json", tmp_path / "test.json")
    measures = json.loads((tmp_path / "test.json").read_text())["classes"]
    assert measures["hummer"]["average_precision"]["value"] > 0.9
    run("tune", *options, "--force", "--out", tmp_path / "tuned")
    recording = sorted((home / "reef").glob("*.wav"))[0]
    run("detect", recording, "--model", home / "model", "--out", tmp_path / "out", "--formats", "json")
    found = json.loads((tmp_path / "out" / f"{recording.stem}.json").read_text())
    assert found["events"]
    inside = Inside(Settings(model=str(home / "model"), store=tmp_path / "store"))
    answer = inside("POST", "/predict", body=recording.read_bytes(), headers={"Content-Type": "audio/wav"})
    assert answer.status == 200, answer.content
    assert [event["id"] for event in answer.json()["events"]] == [event["id"] for event in found["events"]]
    assert answer.json()["metadata"]["provenance"]["model_sha256"] == load_classifier(home / "model").sha256


def test_n_chunks_equal_one_chunk_bit_for_bit_also_of_a_recording_at_another_rate(home, tmp_path, noise):
    classifier = load_classifier(home / "model")
    config = choose_config(None, classifier)
    soundfile.write(tmp_path / "reef.wav", noise(12.3, 9600), 9600)
    with open_recording(tmp_path / "reef.wav", target_sr=config.target_sr) as recording:
        (whole,) = plan(recording, config, chunk_windows=10**6)
        expected = score_chunk(recording, whole, classifier, config).probabilities
        parts = [
            score_chunk(recording, chunk, pickle.loads(pickle.dumps(classifier)), config.replace(batch_size=3))
            for chunk in plan(recording, config, chunk_windows=7)
        ]
    np.testing.assert_array_equal(np.concatenate([part.probabilities for part in parts]), expected)
    assert np.isfinite(expected).all()


def test_the_digest_covers_the_backbone_and_a_missing_or_changed_one_is_refused(home, copy):
    pinned, backbone = load_classifier(home / "model").sha256, copy / "best_model.backbone.tflite"
    assert load_classifier(copy, sha256=pinned).sha256 == pinned
    content = backbone.read_bytes()
    backbone.write_bytes(content + b"more")
    with pytest.raises(ModelError, match=r"the SHA-256 of .*best_model.backbone.tflite is .*the one in its card"):
        load_classifier(copy)
    backbone.unlink()
    with pytest.raises(ModelError, match=r"the backbone .* is missing; .* copy the bundle whole"):
        load_classifier(copy)
    backbone.write_bytes(content)
    (copy / "best_model.json").unlink()
    with pytest.raises(ModelError, match="takes embeddings, and has no card that names their backbone"):
        load_classifier(copy)


def test_a_bundle_with_a_backbone_is_not_exported_again(home, tmp_path):
    result = CliRunner().invoke(app, ["export-model", str(home / "model"), "--recordings", str(home / "reef")])
    assert result.exit_code == 2
    assert "is a head on a backbone" in result.output


def test_a_saved_model_and_a_small_head_are_written_whole(home, backbones, tmp_path):
    path = tmp_path / "dataset.yaml"
    content = yaml.safe_load((home / "dataset.yaml").read_text())
    path.write_text(yaml.safe_dump({**content, "recordings": [str(home / "reef")]}))
    options = ("--backbone", backbones / "network", "--backbone-rate", 4000, "--head", "small")
    run("train", "--dataset", path, *options, "--epochs", 1, "--force", "--out", tmp_path / "model")
    classifier = load_classifier(tmp_path / "model")
    assert classifier.card.backbone.head == "small"
    assert classifier.input_shape == (4000,)
    assert classifier.classify(np.zeros((2, 4000), np.float32)).shape == (2, 3)


def test_folds_embed_the_windows_that_they_test_on(home, backbones, monkeypatch):
    def take_the_first_feature(pool, validation, config, **options):
        assert validation.images.shape[1:] == (24,)
        n = len(config.classes)
        return SimpleNamespace(model=lambda embeddings, training: np.repeat(embeddings[:, 1:2], n, axis=1))

    monkeypatch.setattr(folds, "learn_from", take_the_first_feature)
    dataset = Dataset.load(home / "dataset.yaml")
    backbone = Backbone(backbones / "network.tflite", sample_rate=4000)
    measures = folds.cross_validate(dataset, read_recordings(dataset), n_folds=2, backbone=backbone)
    assert all(value is not None for value in measures["hummer"]["folds"])


def test_settings_fit_the_backbone_and_keep_the_length_of_a_frame(home, backbones):
    config = Dataset.load(home / "dataset.yaml").to_config()
    backbone = Backbone(backbones / "network.tflite", sample_rate=8000)
    fitted = fit_backbone(config, backbone, sample_rate=4000)
    assert (fitted.target_sr, fitted.window_duration) == (8000, 0.5)
    assert fitted.n_fft / fitted.target_sr == config.n_fft / 4000
    assert fitted.stride_duration <= fitted.window_duration


def test_every_epoch_draws_from_windows_that_were_embedded_once(rng):
    class Pool:
        def __init__(self):
            self.counts = {"noise": 30, "hummer": 10}

        def draw_windows(self, n, _rng):
            return np.arange(n)[:, None] * np.ones((n, 4)), np.ones((n, 2), bool), np.ones((n, 2), bool)

    class Counting:
        calls = 0

        def embed(self, windows):
            self.calls += 1
            return windows[:, :2]

    backbone = Counting()
    pool = EmbeddedPool(Pool(), backbone)
    drawn = [pool.draw(40, rng), pool.draw(512, rng)]
    assert backbone.calls == 1
    assert sorted(drawn[0].images[:, 0]) == list(range(40))
    assert isinstance(drawn[1], Examples)
    assert len(drawn[1]) == 512


@pytest.mark.parametrize(
    ("start", "options", "words"),
    [
        (None, {"rate": 4000}, "--backbone-rate is given without --backbone"),
        ("shipped", {"backbone": "x.tflite"}, "not both"),
    ],
)
def test_starts_that_contradict_each_other_are_refused(start, options, words):
    with pytest.raises(ConfigError, match=words):
        choose_start(start, options.pop("backbone", None), **options)


def test_a_backbone_without_recordings_is_refused(backbones):
    result = CliRunner().invoke(app, ["train", "--backbone", str(backbones / "network.tflite")])
    assert result.exit_code == 2
    assert "give a folder of them, or --dataset" in result.output
