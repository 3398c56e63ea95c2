"""The model from S3: which file is taken, and that it is downloaded once."""

import shutil
import tempfile
from pathlib import Path

import pytest

from anemone_lib import ModelError, load_classifier
from anemone_lib.scoring.bundle import BackboneCard, read_card
from anemone_lib.service import bundle as service_bundle
from anemone_lib.service.bundle import fetch_bundle
from tests.service.conftest import MODELS


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def put(s3, model, folder, *names):
    for name in names:
        s3.upload_file(str(model / name), MODELS, f"{folder}/{name}")


def test_the_tflite_beside_a_keras_is_taken_and_its_card_with_it(s3, model):
    put(s3, model, "both", "best_model.keras", "best_model.tflite", "best_model.json")
    for name in ("best_model.keras", "best_model.tflite", "best_model.json"):
        path = fetch_bundle(MODELS, f"both/{name}")
        assert path.name == "best_model.tflite"
        assert load_classifier(path).card == load_classifier(model).card


def test_a_keras_alone_is_taken_as_it_is(s3, model):
    put(s3, model, "alone", "best_model.keras")
    path = fetch_bundle(MODELS, "alone/best_model.keras")
    assert path.read_bytes() == (model / "best_model.keras").read_bytes()
    assert [other.name for other in path.parent.iterdir()] == ["best_model.keras"]


def test_a_model_is_downloaded_once_and_again_when_it_was_replaced(s3, model, temporary_folder):
    put(s3, model, "once", "best_model.tflite", "best_model.json")
    first = fetch_bundle(MODELS, "once/best_model.keras")
    written = first.stat().st_mtime_ns
    assert fetch_bundle(MODELS, "once/best_model.keras") == first
    assert first.stat().st_mtime_ns == written
    changed = temporary_folder / "best_model.tflite"
    shutil.copy(model / "best_model.tflite", changed)
    changed.write_bytes(changed.read_bytes() + b"another")
    s3.upload_file(str(changed), MODELS, "once/best_model.tflite")
    second = fetch_bundle(MODELS, "once/best_model.keras")
    assert second != first
    assert second.read_bytes().endswith(b"another")


def test_a_backbone_comes_along_and_is_missed_where_it_is_not_there(s3, model, temporary_folder):
    card = read_card(model / "best_model.json")
    about = {"source": "net.tflite", "sample_rate": 4000, "window_samples": 4000, "output": "o", "head": "linear"}
    changed = temporary_folder / "best_model.json"

    def describe(file):
        backbone = BackboneCard(file=file, **about)
        changed.write_text(card.model_copy(update={"backbone": backbone, "input_shape": (24,)}).model_dump_json())
        s3.upload_file(str(changed), MODELS, "head/best_model.json")

    describe("best_model.backbone.tflite")
    put(s3, model, "head", "best_model.tflite")
    with pytest.raises(ModelError, match="no backbone at s3://.*/head/best_model.backbone.tflite; upload the bundle"):
        fetch_bundle(MODELS, "head/best_model.keras")
    s3.upload_file(str(model / "best_model.tflite"), MODELS, "head/best_model.backbone.tflite")
    path = fetch_bundle(MODELS, "head/best_model.keras")
    assert (path.parent / "best_model.backbone.tflite").is_file()
    describe("best_model.backbone")
    with pytest.raises(ModelError, match="is a SavedModel, a folder"):
        fetch_bundle(MODELS, "head/best_model.keras")


@pytest.mark.parametrize("bucket", [MODELS, "nobodys-bucket"])
def test_no_model_there_is_an_error_that_says_where_it_was_looked_for(s3, bucket):
    with pytest.raises(ModelError, match=f"s3://{bucket}/nowhere/best_model.tflite and .*S3_MODEL_KEY"):
        fetch_bundle(bucket, "nowhere/best_model.keras")


def test_nothing_is_left_of_a_download_that_breaks_off(temporary_folder):
    class Broken:
        def download_fileobj(self, bucket, key, file):
            file.write(b"half of the model")
            raise ConnectionError("the connection was lost")

    with pytest.raises(ConnectionError):
        service_bundle._download(Broken(), MODELS, "best_model.tflite", temporary_folder / "best_model.tflite")
    assert list(temporary_folder.iterdir()) == []


def test_nothing_half_written_is_left_when_s3_fails(s3, model, monkeypatch):
    put(s3, model, "broken", "best_model.tflite")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ModelError, match="cannot read the model at s3://"):
        fetch_bundle(MODELS, "broken/best_model.keras")
    assert not list(Path(tempfile.gettempdir()).rglob("*.tflite"))
