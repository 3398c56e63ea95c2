import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from anemone_lib import ConfigError, InferenceConfig
from anemone_lib.config import EVENT_FIELDS

#: The table of the design, typed out.
DEFAULTS = {
    "fmax_hz": 2000,
    "n_fft": 1024,
    "hop_length": 256,
    "width_pixels": 256,
    "height_pixels": 256,
    "window_duration": 1.0,
    "stride_duration": 0.4,
    "target_sr": None,
    "batch_size": 32,
    "confidence_threshold": 0.5,
    "target_class": "anemonefish",
    "min_event_duration": 0.2,
    "min_gap_duration": 0.1,
    "smoothing_window": 5,
    "model_classes": "noise,anemonefish,biological",
}


@st.composite
def configs(draw):
    n_fft = 2 * draw(st.integers(8, 4096))
    window = draw(st.floats(0.01, 60))
    classes = draw(
        st.lists(st.from_regex(r"[a-z][a-z_ ]{0,6}[a-z]", fullmatch=True), min_size=2, max_size=5, unique=True)
    )
    return InferenceConfig(
        fmax_hz=draw(st.floats(10, 500_000)),
        n_fft=n_fft,
        hop_length=draw(st.integers(1, n_fft)),
        width_pixels=draw(st.integers(8, 2048)),
        height_pixels=draw(st.integers(8, 2048)),
        window_duration=window,
        stride_duration=draw(st.floats(0.001, window)),
        target_sr=draw(st.none() | st.integers(100, 1_000_000)),
        batch_size=draw(st.integers(1, 4096)),
        confidence_threshold=draw(st.floats(0, 1)),
        target_class=draw(st.sampled_from(classes)),
        min_event_duration=draw(st.floats(0, 3600)),
        min_gap_duration=draw(st.floats(0, 3600)),
        smoothing_window=2 * draw(st.integers(0, 500)) + 1,
        model_classes=",".join(classes),
    )


def test_the_defaults_are_those_of_the_design():
    assert InferenceConfig().model_dump() == DEFAULTS


def test_every_setting_is_described():
    assert all(field.description for field in InferenceConfig.model_fields.values())


@given(configs())
def test_the_environment_gives_the_same_configuration_back(config):
    assert InferenceConfig.from_env(config.to_env()) == config


@given(configs(), st.sampled_from(["c.yaml", "c.json", "c.auto.tfvars.json"]))
def test_a_file_gives_the_same_configuration_back(tmp_path_factory, config, name):
    path = config.save(tmp_path_factory.mktemp("config") / name)
    assert InferenceConfig.load(path) == config
    assert InferenceConfig.load(path).fingerprint == config.fingerprint


@given(configs())
def test_numbers_are_spelled_without_exponent_or_trailing_zeros(config):
    for name, text in config.to_env().items():
        if name not in ("MODEL_CLASSES", "TARGET_CLASS"):
            assert "e" not in text.lower()
            assert not text.endswith(".0")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.00001, "0.00001"), (0.4, "0.4"), (3600.0, "3600"), (0.1 + 0.2, "0.30000000000000004")],
)
def test_numbers_are_spelled_as_terraform_does(value, text):
    # Checked against `terraform console`: tostring(1.0) is "1", tostring(1e-05) is "0.00001".
    assert InferenceConfig(min_gap_duration=value).to_env()["MIN_GAP_DURATION"] == text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hop_length": 0}, ["hop_length is 0", "between 1 and n_fft (1024)"]),
        ({"hop_length": 2000}, ["hop_length is 2000", "between 1 and n_fft (1024)"]),
        ({"smoothing_window": 4}, ["smoothing_window is 4", "odd", "3 or 5"]),
        ({"target_class": "whale"}, ["target_class is 'whale'", "noise,anemonefish,biological"]),
        ({"stride_duration": 2.0}, ["stride_duration is 2.0", "window_duration (1.0)"]),
        ({"confidence_threshold": 1.5}, ["confidence_threshold is 1.5", "0 to 1"]),
        ({"fmax_hz": float("nan")}, ["fmax_hz is nan", "10 to 500000"]),
        ({"n_fft": 1023}, ["n_fft is 1023", "even"]),
        ({"n_fft": "many"}, ["n_fft is 'many'", "16 to 65536"]),
        ({"model_classes": "noise"}, ["model_classes is 'noise'", "two or more"]),
        ({"model_classes": "noise,noise"}, ["different names"]),
        ({"target_class": "a,b"}, ["target_class is 'a,b'"]),
        ({"theshold": 0.5}, ["theshold is not a setting", "confidence_threshold"]),
        ({"hop_length": 0, "batch_size": 0}, ["batch_size is 0", "1 to 4096"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_range(settings, words):
    with pytest.raises(ConfigError) as error:
        InferenceConfig(**settings)
    for word in words:
        assert word in str(error.value)


def test_a_configuration_error_is_a_value_error():
    with pytest.raises(ValueError, match="n_fft"):
        InferenceConfig(n_fft=3)


def test_a_configuration_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        InferenceConfig().n_fft = 512


def test_replace_checks_the_new_settings():
    assert InferenceConfig().replace(n_fft=512).n_fft == 512
    with pytest.raises(ConfigError, match="hop_length is 256"):
        InferenceConfig().replace(n_fft=128)


def test_spaces_around_class_names_do_not_matter():
    spaced = InferenceConfig(model_classes="noise, anemonefish , biological")
    assert spaced.fingerprint == InferenceConfig().fingerprint
    assert spaced.classes == ("noise", "anemonefish", "biological")


def test_every_setting_changes_the_fingerprint_and_only_some_that_of_the_scores():
    other = {
        "fmax_hz": 1000.0,
        "n_fft": 512,
        "hop_length": 128,
        "width_pixels": 128,
        "height_pixels": 128,
        "window_duration": 2.0,
        "stride_duration": 0.5,
        "target_sr": 16000,
        "batch_size": 8,
        "confidence_threshold": 0.6,
        "target_class": "biological",
        "min_event_duration": 0.3,
        "min_gap_duration": 0.2,
        "smoothing_window": 3,
        "model_classes": "noise,anemonefish,fish",
    }
    assert set(other) == set(InferenceConfig.model_fields)
    base = InferenceConfig()
    for name, value in other.items():
        changed = base.replace(**{name: value})
        assert changed.fingerprint != base.fingerprint, name
        decides_scores = name not in (*EVENT_FIELDS, "batch_size")
        assert (changed.scores_fingerprint != base.scores_fingerprint) == decides_scores, name


def test_the_fingerprint_does_not_depend_on_the_spelling():
    assert InferenceConfig(window_duration=1, fmax_hz="2000").fingerprint == InferenceConfig().fingerprint


def test_an_edited_tfvars_file_is_refused(tmp_path):
    path = InferenceConfig().save(tmp_path / "inference_config.auto.tfvars.json")
    content = json.loads(path.read_text())
    content["inference_config"]["confidence_threshold"] = 0.9
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"edited by hand.*to-tfvars"):
        InferenceConfig.load(path)


def test_an_empty_environment_gives_the_defaults():
    assert InferenceConfig.from_env({"PATH": "x", "N_FFT": ""}) == InferenceConfig()


def test_a_wrong_environment_variable_is_named():
    with pytest.raises(ConfigError, match=r"in the environment.*n_fft is '1000000'"):
        InferenceConfig.from_env({"N_FFT": "1000000"})


@pytest.mark.parametrize("content", ["- a\n- b\n", "{unclosed", "n_fft: [1"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path, content):
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match="c.yaml"):
        InferenceConfig.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml.*No such file"):
        InferenceConfig.load(tmp_path / "absent.yaml")


def test_an_empty_yaml_file_means_the_defaults(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({}))
    assert InferenceConfig.load(path) == InferenceConfig()


def test_an_unknown_file_format_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"c\.toml"):
        InferenceConfig().save(tmp_path / "c.toml")


# ---------------------------------------------------------------------- parameters of notebooks


def test_settings_are_picked_and_other_names_are_ignored():
    config = InferenceConfig.from_parameters({"recording": "a.wav", "n_fft": 512, "Path": object, "__name__": "x"})
    assert config == InferenceConfig(n_fft=512)


@pytest.mark.parametrize("nothing", [None, "", "none", " None "])
def test_nothing_stands_for_the_default(nothing):
    parameters = {"target_sr": nothing, "stride_duration": nothing, "model_classes": nothing}
    assert InferenceConfig.from_parameters(parameters) == InferenceConfig()


@pytest.mark.parametrize("classes", ["noise, grunt", ["noise", "grunt"], ("noise", "grunt")])
def test_classes_may_be_a_list_or_have_commas(classes):
    config = InferenceConfig.from_parameters({"model_classes": classes}, target_class="grunt")
    assert config.classes == ("noise", "grunt")


def test_a_wrong_setting_is_named():
    with pytest.raises(ConfigError, match="smoothing_window is 4"):
        InferenceConfig.from_parameters({"smoothing_window": 4})
