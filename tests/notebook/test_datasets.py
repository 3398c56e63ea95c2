import pytest

from anemone_lib import InferenceConfig, load_classifier
from anemone_lib.dataset import Dataset, draft_dataset
from anemone_lib.errors import ConfigError
from anemone_lib.notebook.datasets import (
    choose_channel,
    choose_notebook_config,
    choose_training_config,
    find_annotations,
    score_unseen,
)
from anemone_lib.notebook.training import choose_notebook_start
from anemone_lib.scoring import choose_config
from anemone_lib.tables.verdicts import Verdict, write_verdicts
from tests.dataset.season import write_season


@pytest.fixture
def path(tmp_path):
    """A dataset of the classes of the demonstration model."""
    write_season(tmp_path / "reef", n_recordings=3, seconds=10)
    dataset = draft_dataset(tmp_path / "reef", labels={"h": "anemonefish", "k": "biological"}).dataset
    return dataset.save(tmp_path / "reef" / "dataset.yaml")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"folder": "reef"}, "folder is 'reef', but is not used with a dataset: dataset.yaml names the recordings"),
        ({"balance": 1.0}, "balance is 1.0, but is not used"),
        ({"simulated_recordings": 8}, "simulated_recordings is 8, .*the model learns only from your recordings"),
        ({"label_classes": {"h": "hum"}}, "set labels in dataset.yaml"),
        ({"n_fft": 512}, "n_fft is 512, but .* is used: with a dataset, change settings and target_class in"),
        ({"confidence_threshold": 0.7}, "confidence_threshold is 0.7, but 0.5 is used"),
    ],
)
def test_a_parameter_that_would_be_passed_over_in_training_is_refused(path, changed, words):
    with pytest.raises(ConfigError, match=words):
        choose_training_config(path, load_classifier(), changed)


def test_a_parameter_that_says_the_same_or_the_default_is_taken(path):
    own = Dataset.load(path).to_config()
    same = {"n_fft": own.n_fft, "hop_length": 256, "channel": "mean", "label_classes": {}, "target_sr": None}
    assert choose_training_config(path, load_classifier(), same) == own


def test_event_settings_of_a_notebook_go_before_those_of_the_model_and_others_are_refused(path):
    classifier = load_classifier()
    settings = {"confidence_threshold": 0.7, "target_class": "biological", "smoothing_window": 5}
    config = choose_notebook_config(path, classifier, settings)
    assert (config.confidence_threshold, config.target_class) == (0.7, "biological")
    assert config.smoothing_window == 5  # the default of the class, but asked for here
    assert config.min_gap_duration == classifier.card.decisions["biological"]["min_gap_duration"]
    with pytest.raises(
        ConfigError, match="n_fft is 512, but 1024 is used: with a dataset, settings come from the model"
    ):
        choose_notebook_config(path, classifier, {"n_fft": 512})
    with pytest.raises(ConfigError, match="target_class is 'tuna'; with this dataset it is one of anemonefish, biolog"):
        choose_notebook_config(path, classifier, {"target_class": "tuna"})


def test_event_settings_of_a_notebook_without_a_dataset_are_those_of_the_model_where_none_are_given():
    classifier = load_classifier()
    unset = dict.fromkeys(InferenceConfig().event_settings)
    config = choose_notebook_config("", classifier, unset)
    assert config == choose_config(None, classifier) == choose_training_config("", classifier, unset)
    assert config.event_settings == classifier.card.decisions["anemonefish"]
    asked = choose_notebook_config("", classifier, {**unset, "confidence_threshold": 0.5, "smoothing_window": ""})
    assert asked == config.replace(confidence_threshold=0.5)
    classifier.card = None
    assert choose_notebook_config("", classifier, unset) == InferenceConfig()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "folder",
            "elsewhere",
            "folder is 'elsewhere', but is not used with a dataset: dataset.yaml names the recordi",
        ),
        ("annotations", "tables", "annotations is 'tables', .*: dataset.yaml says where the tables are"),
        ("label_column", "species", "label_column is 'species', .*: set label_column in dataset.yaml"),
        ("channel", 2, "channel is 2, .*: set channel in dataset.yaml"),
    ],
)
def test_what_notebook_2_reads_from_a_folder_is_refused_beside_a_dataset(path, name, value, words):
    parameters = {"folder": "", "annotations": "", "label_column": None, "channel": "mean"}
    with pytest.raises(ConfigError, match=words):
        choose_notebook_config(path, load_classifier(), {**parameters, name: value})
    own = Dataset.load(path).model_copy(update={"label_column": "category", "channel": 2})
    own.save(path, overwrite=True)
    assert choose_notebook_config(path, load_classifier(), {**parameters, "channel": 2, "label_column": "category"})
    assert (choose_channel(path, "mean"), choose_channel(path, 1), choose_channel("", "mean")) == (2, 1, "mean")


def test_what_people_annotated_and_accepted_in_a_review_is_found_for_a_recording(path):
    recording = sorted(path.parent.glob("*.wav"))[0]
    table = len(find_annotations(path, recording))
    assert table > 0
    verdict = Verdict("e1", recording.name, 0.05, 0.25, "anemonefish", True, 0.9)
    write_verdicts(path.parent / "verdicts.csv", [verdict])
    Dataset(**{**Dataset.load(path).model_dump(), "verdicts": "verdicts.csv"}).save(path, overwrite=True)
    found = find_annotations(path, str(recording))
    assert len(found) == table + 1
    assert (0.05, 0.25) in [(one.start_time, one.end_time) for one in found]
    assert find_annotations(path, "elsewhere.wav") == find_annotations("", recording) == ()


def test_what_is_not_learnt_from_is_scored_once_a_recording(path):
    classifier = load_classifier()
    config = choose_notebook_config(path, classifier, {})
    scored = score_unseen(path, classifier=classifier, config=config)
    assert len(scored) == len({one.name for one in scored}) == 3
    assert all(4 < one.scores.analysed_duration <= 5 for one in scored)  # half of 10 s each


def test_a_backbone_without_a_dataset_is_refused():
    with pytest.raises(ConfigError, match="describe your folder with `anemone dataset init FOLDER`"):
        choose_notebook_start({"backbone": "x.tflite", "dataset": ""})
