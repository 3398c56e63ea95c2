import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from anemone_lib import ModelError, load_classifier
from anemone_lib.scoring.bundle import DEMONSTRATION_MODEL, digest_bundle


@pytest.fixture
def bundle(tmp_path):
    """A copy of the demonstration bundle."""
    return shutil.copytree(DEMONSTRATION_MODEL, tmp_path / "bundle")


@pytest.fixture
def images(rng):
    return rng.random((11, 256, 256, 1), dtype=np.float32)


def test_any_file_of_a_bundle_and_its_folder_load_the_same(bundle, images):
    expected = load_classifier().classify(images)
    for uri in (bundle, bundle.as_uri(), *(bundle / f"best_model.{end}" for end in ("tflite", "keras", "json"))):
        classifier = load_classifier(uri)
        assert classifier.card.classes == ("noise", "anemonefish", "biological")
        np.testing.assert_array_equal(classifier.classify(images), expected)


def test_probabilities_are_float32_and_sum_to_one(images):
    probabilities = load_classifier().classify(images)
    assert probabilities.shape == (11, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert load_classifier().classify(images[:0]).shape == (0, 3)


def test_an_answer_does_not_depend_on_the_batch_or_the_thread(images):
    classifier = load_classifier()
    expected = classifier.classify(images)
    for size in (1, 2, 5):
        parts = [classifier.classify(images[first : first + size]) for first in range(0, 11, size)]
        np.testing.assert_array_equal(np.concatenate(parts), expected)
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(classifier.classify, [images] * 8):
            np.testing.assert_array_equal(answer, expected)


def test_a_classifier_travels_to_another_process_and_is_loaded_there_once(images):
    classifier = load_classifier()
    one, two = pickle.loads(pickle.dumps(classifier)), pickle.loads(pickle.dumps(classifier))
    assert one is two
    np.testing.assert_array_equal(one.classify(images), classifier.classify(images))


@pytest.mark.slow
def test_the_keras_model_of_a_bundle_answers_like_its_tflite(bundle, images):
    expected = load_classifier(bundle).classify(images)
    (bundle / "best_model.tflite").unlink()
    np.testing.assert_allclose(load_classifier(bundle).classify(images), expected, atol=1e-4)


@pytest.mark.slow
def test_a_lone_keras_model_works_without_a_card(bundle, images):
    expected = load_classifier(bundle).classify(images)
    for name in ("best_model.tflite", "best_model.json"):
        (bundle / name).unlink()
    classifier = load_classifier(bundle)
    assert classifier.card is None
    assert classifier.input_shape == (256, 256, 1)
    probabilities = classifier.classify(images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), expected.argmax(axis=1))  # calibration keeps the order
    assert pickle.loads(pickle.dumps(classifier)).sha256 == classifier.sha256


def test_a_tflite_model_never_loads_tensorflow():
    script = (
        "import sys, numpy as np; from anemone_lib import load_classifier; "
        "load_classifier().classify(np.zeros((1, 256, 256, 1), np.float32)); "
        "print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_pin_is_over_the_model_and_its_card_whatever_file_is_named(bundle):
    pinned = load_classifier(bundle).sha256
    for path in (bundle, *bundle.glob("best_model.*")):
        assert load_classifier(path, sha256=pinned.upper()).sha256 == pinned
        with pytest.raises(ModelError, match="the expected digest is 0000"):
            load_classifier(path, sha256="0" * 64)


@pytest.mark.parametrize("name", ["best_model.tflite", "best_model.keras"])
def test_the_hash_of_one_file_is_no_pin_where_a_card_decides_too(bundle, name):
    one = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    with pytest.raises(
        ModelError, match=f"the card decides the probabilities, too: pin {digest_bundle(bundle / 'best_model.tflite')}"
    ):
        load_classifier(bundle / name, sha256=one)


@pytest.mark.parametrize(
    "change", [{"temperature": 9.0}, {"classes": ["noise", "biological", "anemonefish"]}, {"version": "v2"}]
)
def test_a_changed_card_is_not_the_pinned_bundle(bundle, change):
    pinned, path = load_classifier(bundle).sha256, bundle / "best_model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert load_classifier(bundle).sha256 != pinned
    with pytest.raises(ModelError, match="the model or its card is not the one"):
        load_classifier(bundle / "best_model.keras", sha256=pinned)


def test_a_model_put_in_the_place_of_the_pinned_one_is_refused_even_if_its_card_agrees(bundle):
    pinned, path, tflite = load_classifier(bundle).sha256, bundle / "best_model.json", bundle / "best_model.tflite"
    tflite.write_bytes(tflite.read_bytes() + bytes(8))
    card = json.loads(path.read_text())
    card["sha256"][tflite.name] = hashlib.sha256(tflite.read_bytes()).hexdigest()
    path.write_text(json.dumps(card))
    with pytest.raises(ModelError, match="the model or its card is not the one"):
        load_classifier(bundle / "best_model.keras", sha256=pinned)


def test_a_file_without_a_card_is_pinned_by_its_own_hash(bundle):
    (bundle / "best_model.json").unlink()
    digest = hashlib.sha256((bundle / "best_model.tflite").read_bytes()).hexdigest()
    assert load_classifier(bundle, sha256=digest).sha256 == digest


@pytest.mark.slow
def test_a_damaged_model_is_refused(bundle):
    tflite = bundle / "best_model.tflite"
    tflite.write_bytes(tflite.read_bytes()[:-5])
    with pytest.raises(ModelError, match="the one in its card"):
        load_classifier(bundle)
    (bundle / "best_model.json").unlink()
    tflite.write_bytes(b"no model at all")
    with pytest.raises(ModelError, match="not a model that LiteRT can run"):
        load_classifier(bundle)
    tflite.unlink()
    (bundle / "best_model.keras").write_bytes(b"no model at all")
    with pytest.raises(ModelError, match="cannot be loaded by Keras"):
        load_classifier(bundle)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input_shape": [128, 256, 1]}, r"\(128, 256, 1\).*\(256, 256, 1\)"),
        ({"classes": ["noise", "fish"]}, r"2 classes \(noise, fish\).*3"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_card_that_contradicts_its_model_is_refused(bundle, change, words):
    path = bundle / "best_model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=words):
        load_classifier(bundle)


def test_the_cards_temperature_softens_the_probabilities_and_keeps_their_order(bundle, images):
    plain = load_classifier(bundle).classify(images).astype(np.float64)
    path = bundle / "best_model.json"
    card = json.loads(path.read_text())
    ratio = 2.0
    path.write_text(json.dumps({**card, "temperature": card["temperature"] * ratio}))
    soft = load_classifier(bundle).classify(images)
    expected = plain ** (1 / ratio)
    np.testing.assert_allclose(soft, expected / expected.sum(axis=1, keepdims=True), atol=1e-5)


def test_what_is_no_model_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "m.h5").write_bytes(b"\x89HDF")
    with pytest.raises(ModelError, match="HDF5.*save it as .keras"):
        load_classifier(tmp_path / "m.h5")
    with pytest.raises(ModelError, match="no model at"):
        load_classifier(tmp_path)
    with pytest.raises(ModelError, match="give a .keras"):
        load_classifier(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="download it"):
        load_classifier("s3://bucket/best_model.keras")


def test_images_of_another_shape_are_refused():
    with pytest.raises(ModelError, match=r"\(2, 128, 128, 1\).*\(n, 256, 256, 1\)"):
        load_classifier().classify(np.zeros((2, 128, 128, 1), np.float32))
