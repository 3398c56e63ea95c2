import pytest
import yaml

from anemone_lib.dataset import Dataset, SplitByName, SplitByTime
from anemone_lib.errors import ConfigError

FIELDS = {
    "recordings": ["recordings/"],
    "classes": ["noise", "toadfish", "meagre"],
    "target_class": "meagre",
    "labels": {"lt": "toadfish", "m": "meagre", "?": None},
    "settings": {"n_fft": 128, "hop_length": 32},
}


def test_a_description_that_is_written_and_read_is_the_same(tmp_path):
    dataset = Dataset(**FIELDS, split={"train": ["a"], "test": ["b"]})
    read = Dataset.load(dataset.save(tmp_path / "dataset.yaml"))
    assert read.model_dump() == dataset.model_dump()
    assert read.sha256 == dataset.sha256
    assert read.folder == tmp_path
    assert read.to_config().classes == ("noise", "toadfish", "meagre")


def test_an_existing_description_is_not_overwritten_unless_asked(tmp_path):
    path = Dataset(**FIELDS).save(tmp_path / "dataset.yaml")
    with pytest.raises(ConfigError, match="exists already"):
        Dataset(**FIELDS).save(path)
    Dataset(**FIELDS).save(path, overwrite=True)


def test_a_split_is_by_name_or_by_time():
    assert isinstance(Dataset(**FIELDS, split={"by": "time", "fractions": [0.6, 0.2, 0.2]}).split, SplitByTime)
    assert isinstance(Dataset(**FIELDS, split={"train": ["a"], "validation": None}).split, SplitByName)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"target_class": "weakfish"}, "weakfish"),
        ({"target_class": "noise"}, "noise"),
        ({"labels": {"lt": "todfish"}}, "todfish"),
        ({"recording": "x"}, "recording"),
        ({"split": {"train": ["a"], "test": ["a"]}}, "both train and test"),
        ({"split": {"by": "time", "fractions": [0.5, 0.5, 0.5]}}, "add up to 1"),
        ({"settings": {"n_fft": 17}}, "n_fft"),
        ({"classes": ["noise"]}, "two or more"),
    ],
)
def test_what_contradicts_itself_is_an_error_that_names_it(changes, named):
    with pytest.raises(ConfigError, match=named):
        Dataset(**{**FIELDS, **changes})


def test_a_label_has_one_class_whatever_its_case_and_an_unknown_one_is_an_error():
    dataset = Dataset(**FIELDS)
    assert [dataset.find_class(label) for label in ("LT", " m ", "?", "toadfish")] == [
        "toadfish",
        "meagre",
        None,
        "toadfish",
    ]
    with pytest.raises(ConfigError, match="'w' belongs to no class"):
        dataset.find_class("w")


def test_labels_that_yaml_takes_for_the_same_and_fields_from_elsewhere_are_read(tmp_path):
    path = tmp_path / "dataset.yaml"
    path.write_text(
        "recordings: x\nclasses: &calls [noise, knock]\ntarget_class: knock\n"
        "labels: &labels {no: knock, No: knock, 1: knock, '1.0': null}\nsettings: {n_fft: 256}\n"
        "split: {by: time, fractions: [0.6, 0.2, 0.2]}\n"
    )
    dataset = Dataset.load(path)
    assert dataset.labels == {"no": "knock", "No": "knock", "1": "knock", "1.0": None}
    path.write_text("recordings: x\nclasses: [noise, '007', a]\ntarget_class: a\nlabels: {<<: {no: a}, yes: 007}\n")
    assert Dataset.load(path).labels == {"no": "a", "yes": "007"}


def test_names_and_labels_that_yaml_takes_for_something_else_are_as_they_are_written(tmp_path):
    path = tmp_path / "dataset.yaml"
    path.write_text(
        "recordings: [2021]\nclasses: [noise, knock, on]\ntarget_class: on\nchannel: 2\n"
        "labels: {no: knock, 007: on, 1.10: knock, yes: null, ~: on}\n"
        "split: {train: [20170116_1130_, 2021-07-12], validation: [012], test: null}\n"
        "settings: {n_fft: 256, target_sr: null}\n"
    )
    dataset = Dataset.load(path)
    assert dataset.split.train == ("20170116_1130_", "2021-07-12")
    assert dataset.split.validation == ("012",)
    assert dataset.labels == {"no": "knock", "007": "on", "1.10": "knock", "yes": None, "~": "on"}
    assert (dataset.classes, dataset.recordings, dataset.channel) == (("noise", "knock", "on"), ("2021",), 2)
    assert dataset.settings == {"n_fft": 256, "target_sr": None}
    path.write_text(
        "recordings: x\nclasses: [noise, a]\ntarget_class: a\nsplit: {by: time, fractions: [0.6, 0.2, 0.2]}\n"
    )
    assert Dataset.load(path).split.fractions == (0.6, 0.2, 0.2)


def test_a_label_that_yaml_takes_for_a_number_is_still_a_label(tmp_path):
    path = tmp_path / "dataset.yaml"
    path.write_text(yaml.safe_dump({**FIELDS, "labels": {1: "toadfish"}}))
    assert Dataset.load(path).find_class("1") == "toadfish"


def test_a_file_that_is_no_description_is_an_error_that_says_how_to_make_one(tmp_path):
    path = tmp_path / "dataset.yaml"
    path.write_text("- a\n")
    with pytest.raises(ConfigError, match="anemone dataset init"):
        Dataset.load(path)
    with pytest.raises(ConfigError, match="cannot read"):
        Dataset.load(tmp_path / "absent.yaml")
