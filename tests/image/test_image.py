"""The image holds exactly this checkout's code, and answers as the checkout does."""

import base64
import importlib.metadata
import json
import re
import shutil
import sys

import numpy as np
import pytest

from tests.image.built import hash_code, run
from tests.service.conftest import ORIGIN, proxy_event


@pytest.fixture
def lone_keras(checkout, tmp_path):
    """A folder with the model as Keras saved it and its card, without a ``.tflite``."""
    for name in ("best_model.keras", "best_model.json"):
        shutil.copy(checkout / "anemone_lib" / "models" / name, tmp_path / name)
    tmp_path.chmod(0o755)
    return tmp_path


def as_json(wav):
    """A request of /predict with the recording in its JSON."""
    body = {"audio_base64": base64.b64encode(wav.read_bytes()).decode(), "filename": wav.name}
    return proxy_event("POST", "/predict", body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def detect_in(folder, wav):
    """The result of `detect` in a checkout."""
    program = "import sys; from anemone_lib import detect; print(detect(sys.argv[1]).to_json())"
    return json.loads(run(sys.executable, "-c", program, str(wav), cwd=folder))


def test_the_files_in_the_image_are_those_of_the_checkout(image, checkout):
    package = image.root / "var" / "task" / "anemone_lib"
    assert hash_code(package) == hash_code(checkout / "anemone_lib") == image.config["Labels"]["anemone.code-sha256"]
    for path in (checkout / "anemone_lib" / "models").iterdir():
        assert (package / "models" / path.name).read_bytes() == path.read_bytes()


def test_the_image_holds_nothing_else_of_the_project(image):
    task = image.root / "var" / "task"
    for name in ("tests", "notebooks", "terraform", "docker", "pyproject.toml", "requirements.lock", "bin"):
        assert not (task / name).exists()
    for name in ("jupyter*", "tensorflow*", "keras*"):
        assert not list(task.glob(name))
    assert image.config["Cmd"] == ["anemone_lib.service.aws.handler"]


def test_every_module_in_the_image_is_compiled_for_good(image):
    task = image.root / "var" / "task"
    for name in ("anemone_lib", "fastapi", "numpy", "pydantic", "scipy/fft", "starlette"):
        sources = [path for path in (task / name).rglob("*.py") if "tests" not in path.parts]
        assert sources
        for source in sources:
            [compiled] = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")
            assert compiled.read_bytes()[4:8] == b"\x01\0\0\0", compiled  # by hash, and not checked


def test_the_image_says_where_it_comes_from_and_runs_as_nobody(image):
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.source"].startswith("https://")
    assert labels["org.opencontainers.image.revision"] == "0" * 40
    assert labels["org.opencontainers.image.base.name"].startswith("localhost/anemone-image-base")
    assert labels["anemone.extras"] == "serve"
    assert image.config["User"] == "65534:65534"
    unreadable = [path for path in (image.root / "var" / "task").rglob("*") if not path.stat().st_mode & 0o004]
    assert unreadable == []


def test_the_listing_names_every_package_of_the_image_and_no_other(image, listing):
    packages = {
        (re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower(), found.version)
        for found in importlib.metadata.distributions(path=[str(image.root / "var" / "task")])
    }
    assert ("anemone-lib", importlib.metadata.version("anemone-lib")) in packages
    assert listing["bomFormat"] == "CycloneDX"
    assert {
        (re.sub(r"[-_.]+", "-", part["name"]).lower(), part["version"]) for part in listing["components"]
    } == packages


def test_predict_in_the_image_answers_what_detect_finds_in_the_checkout_without_tensorflow(image, checkout, wav):
    with image.running(wav.parent, CORS_ALLOWED_ORIGINS=ORIGIN) as invoke:
        event = proxy_event(
            "POST", f"/predict?filename={wav.name}", body=wav.read_bytes(), headers={"Content-Type": "audio/wav"}
        )
        answer, loaded = invoke(event)
    assert answer["statusCode"] == 200, answer
    result = json.loads(answer["body"])
    assert_same(result, detect_in(checkout, wav))
    provenance = result["metadata"]["provenance"]
    assert provenance["code_sha256"] == hash_code(checkout / "anemone_lib")
    assert "/var/task/ai_edge_litert" in loaded


def test_without_tensorflow_a_lone_keras_model_is_refused_with_what_to_do(image, lone_keras, wav):
    with image.running(lone_keras, MODEL_LOCAL_PATH="/mnt/best_model.keras") as invoke:
        answer, _ = invoke(as_json(wav))
    body = json.loads(answer["body"])
    assert (answer["statusCode"], body["error"]) == (503, "model_unavailable")
    assert "anemone export-model" in body["message"]
    assert 'EXTRAS="serve keras"' in body["message"]


@pytest.mark.slow
def test_a_lone_keras_model_is_served_by_tensorflow_where_the_image_has_it(
    image_with_tensorflow, checkout, lone_keras, wav
):
    with image_with_tensorflow.running(lone_keras, MODEL_LOCAL_PATH="/mnt/best_model.keras") as invoke:
        answer, loaded = invoke(as_json(wav))
    assert "libtensorflow_framework" in loaded
    assert_same(json.loads(answer["body"]), detect_in(checkout, wav), atol=1e-4)


def assert_same(result, expected, *, atol=1e-5):
    """The same windows and events; probabilities within 1e-5, the other processor's last bits."""
    for name in ("start_time", "end_time"):
        assert [p[name] for p in result["predictions"]] == [p[name] for p in expected["predictions"]]
        assert [e[name] for e in result["events"]] == [e[name] for e in expected["events"]]
    assert [e["id"] for e in result["events"]] == [e["id"] for e in expected["events"]]
    np.testing.assert_allclose(
        [list(p["probabilities"].values()) for p in result["predictions"]],
        [list(p["probabilities"].values()) for p in expected["predictions"]],
        atol=atol,
    )
    np.testing.assert_allclose(
        [e["mean_confidence"] for e in result["events"]], [e["mean_confidence"] for e in expected["events"]], atol=atol
    )
