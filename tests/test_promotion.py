"""A promoted file, and who refuses another model than the one it names."""

import json

import pytest

from anemone_lib import InferenceConfig, load_classifier
from anemone_lib.errors import ConfigError
from anemone_lib.promotion import SETTINGS_FILE, Promotion
from anemone_lib.scoring import choose_promoted
from anemone_lib.service.engine import Engine
from anemone_lib.service.problems import Problem
from anemone_lib.service.settings import Settings

HERE, OTHER = load_classifier().sha256, "1" * 64


@pytest.fixture
def promoted(tmp_path):
    """A file that is promoted for a model."""

    def write(model_sha256):
        config = InferenceConfig(confidence_threshold=0.7)
        return Promotion(config, model_sha256, "2" * 64).save(tmp_path / SETTINGS_FILE)

    return write


def test_a_promoted_file_is_a_configuration_that_names_its_model_and_its_data(promoted):
    path = promoted(HERE)
    assert InferenceConfig.load(path).confidence_threshold == 0.7
    assert Promotion.load(path) == Promotion(InferenceConfig.load(path), HERE, "2" * 64)
    assert list(json.loads(path.read_text())) == [
        "inference_config", "inference_config_fingerprint", "model_sha256", "dataset_sha256",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["plain.yaml", "plain.json", "plain.auto.tfvars.json"])
def test_a_file_that_names_no_model_fits_any(tmp_path, name):
    path = InferenceConfig(smoothing_window=3).save(tmp_path / name)
    promotion = Promotion.load(path)
    promotion.check_model(OTHER)
    assert (promotion.config.smoothing_window, promotion.model_sha256) == (3, "")


def test_a_hash_that_is_none_is_refused(promoted):
    path = promoted(HERE)
    path.write_text(path.read_text().replace(HERE, "best"))
    with pytest.raises(ConfigError, match="model_sha256 is 'best'; it must be 64 hexadecimal digits"):
        Promotion.load(path)


def test_settings_of_another_model_are_refused_by_both_names(promoted):
    with pytest.raises(ConfigError, match=f"for the model 111111111111, and the model is {HERE[:12]}"):
        choose_promoted(promoted(OTHER), load_classifier())
    assert choose_promoted(promoted(HERE), load_classifier()).confidence_threshold == 0.7


def test_the_service_refuses_to_start_with_another_model(promoted):
    config = InferenceConfig()
    named = {**config.to_env(), "INFERENCE_CONFIG_FINGERPRINT": config.fingerprint}  # as Terraform sets them
    with pytest.raises(Problem, match=r"111111|asked for"):
        Engine(Settings.from_env({**named, "MODEL_SHA256": OTHER})).load()
    classifier, _ = Engine(Settings.from_env({**named, "MODEL_SHA256": HERE})).load()
    assert classifier.sha256 == HERE
