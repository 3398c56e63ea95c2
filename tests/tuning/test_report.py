"""The command in the report, and how often a promotion counts."""

import inspect
import math
import re
import shlex

import papermill
import pytest
from typer.testing import CliRunner

from anemone_lib import InferenceConfig, load_classifier
from anemone_lib.cli import app
from anemone_lib.errors import ConfigError
from anemone_lib.promotion import Promotion
from anemone_lib.simulation.dataset import write_dataset
from anemone_lib.tuning import search
from anemone_lib.tuning.doubts import doubt_gain
from anemone_lib.tuning.recordings import find_annotated_recordings, score_annotated_recordings
from anemone_lib.tuning.report import write_command
from anemone_lib.tuning.search import tune
from anemone_lib.tuning.sweep import SearchSpace
from tests.conftest import ROOT

OPTIONS = ("bout_gap", "holdout", "seed", "beta", "max_false_alarms_per_hour")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reef days")  # a name with a space, for the shell
    write_dataset(folder, n_recordings=5, duration=15, sample_rate=8000, seed=4)
    return folder


@pytest.fixture(scope="module")
def recordings(folder):
    config = InferenceConfig(stride_duration=0.5)
    pairs = find_annotated_recordings(folder)
    return score_annotated_recordings(pairs, classifier=load_classifier(), config=config, cache=folder / "scores")


def run_again(page, out):
    """Run the command of a report into another folder; return the fingerprint that it promotes."""
    command = re.search(r"`(anemone tune .*)`\.", page)[1]
    out.mkdir()
    words = [*shlex.split(command)[1:], "--out", str(out), "--cache", str(out / "scores")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return InferenceConfig.load(out / "inference_config.auto.tfvars.json").fingerprint


def test_the_command_in_the_report_promotes_the_same_configuration(folder, recordings, tmp_path):
    base = InferenceConfig(stride_duration=0.5, confidence_threshold=0.35, min_event_duration=0.3)
    tuning = tune(
        recordings, base, labels=["anemonefish"], bout_gap=2.25, holdout=0.4, seed=3, beta=0.5,
        max_false_alarms_per_hour=5000,
    )  # fmt: skip
    assert tuning.config != base
    (tmp_path / "dev").mkdir()
    settings, page, *_ = tuning.promote(tmp_path / "dev", recordings=folder, force=True)
    assert run_again(page.read_text(), tmp_path / "again") == tuning.config.fingerprint
    again = Promotion.load(tmp_path / "again" / settings.name)
    assert again == Promotion.load(settings)  # settings, model and data
    assert again.model_sha256 == load_classifier().sha256
    assert len(again.dataset_sha256) == 64


def test_the_command_of_the_command_line_promotes_the_same_configuration(folder, tmp_path):
    (tmp_path / "first").mkdir()
    words = ["tune", str(folder), "--seed", "2", "--out", str(tmp_path / "first"), "--cache", str(tmp_path / "scores")]
    assert CliRunner().invoke(app, [*words, "--force"]).exit_code == 0
    first = InferenceConfig.load(tmp_path / "first" / "inference_config.auto.tfvars.json")
    page = (tmp_path / "first" / "inference_config.md").read_text()
    assert run_again(page, tmp_path / "again") == first.fingerprint


def test_labels_with_commas_survive_the_command(recordings):
    tuning = tune(recordings, InferenceConfig(stride_duration=0.5), labels=["anemonefish", "A. percula, chirp"])
    words = shlex.split(write_command(tuning, "reef", config="before.json"))
    assert words[words.index("--labels") + 1] == '["anemonefish", "A. percula, chirp"]'


def test_a_promotion_counts_both_configurations_on_both_sets_once(recordings, tmp_path, monkeypatch):
    tuning = tune(recordings, InferenceConfig(stride_duration=0.5))
    count, calls = search.count_recordings, []
    monkeypatch.setattr(search, "count_recordings", lambda *args, **kwargs: calls.append(1) or count(*args, **kwargs))
    tuning.promote(tmp_path, force=True)
    tuning.report()
    tuning.measure_gain("recall")
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        ((-0.1, -0.2, 0.0), "F1 is lower on recordings set aside by 0.100"),
        ((0.1, -0.02, 0.2), "+0.100, and its interval (-0.020 to +0.200) includes 0"),
        ((0.1, 0.0, 0.2), "includes 0"),
        ((0.1, math.nan, math.nan), "its interval is unknown, because there are too few of them"),
        ((math.nan, math.nan, math.nan), "is unknown"),
        ((0.1, 0.02, 0.2), None),
    ],
)
def test_a_gain_is_believed_only_where_its_interval_lies_above_0(gain, words):
    doubts = doubt_gain(*gain)
    assert len(doubts) == (words is not None)
    assert words is None or words in doubts[0]


def test_what_cannot_be_believed_is_not_promoted_unless_forced(recordings, tmp_path):
    edge = SearchSpace((1, 3), (0.6, 0.7), (0.1,), (0.2,))  # two thresholds: both are edges
    tuning = tune(recordings, InferenceConfig(stride_duration=0.5), space=edge)
    assert "Not promoted, because " in tuning.report()  # nothing was: the page does not say that it was forced
    assert any("the edge of what was tried" in doubt and "confidence_threshold" in doubt for doubt in tuning.doubts)
    assert not any("min_gap_duration" in doubt for doubt in tuning.doubts)  # one value is no search
    with pytest.raises(ConfigError, match="not promoted, because .*the edge of what was tried.*--force"):
        tuning.promote(tmp_path)
    assert list(tmp_path.iterdir()) == []
    _, page, *_ = tuning.promote(tmp_path, recordings="reef", force=True)
    assert "Promoted by force, although " in page.read_text()
    assert "--force`" in page.read_text()


def test_a_page_without_a_command_speaks_of_none(recordings):
    tuning = tune(recordings, InferenceConfig(stride_duration=0.5))
    assert "command" not in tuning.report()
    assert "finds the same settings: `anemone tune reef`." in tuning.report(command="anemone tune reef")


def test_settings_that_stay_as_they_are_need_no_force(recordings, tmp_path):
    base = InferenceConfig(stride_duration=0.5)
    only = SearchSpace((5,), (0.5,), (0.1,), (0.2,))
    tuning = tune(recordings, base, space=only)
    assert tuning.doubts == []
    assert tuning.promote(tmp_path)


def test_the_notebook_and_the_command_have_the_defaults_of_the_library():
    library = {name: inspect.signature(tune).parameters[name].default for name in OPTIONS}
    command = next(one.callback for one in app.registered_commands if one.callback.__name__ == "tune")
    notebook = papermill.inspect_notebook(ROOT / "notebooks" / "02_tune_inference_config.ipynb")
    assert {name: inspect.signature(command).parameters[name].default for name in OPTIONS} == library
    assert {name: eval(notebook[name]["default"], {}) for name in OPTIONS} == library


def test_nothing_says_nan_where_rates_are_unknown(folder, tmp_path):
    """Two recordings, one set aside: no interval; and no call in it: no recall."""
    pairs = find_annotated_recordings(folder)[:2]
    config = InferenceConfig()
    both = score_annotated_recordings(pairs, classifier=load_classifier(), config=config, cache=tmp_path)
    page = tune(both, config, labels=["anemonefish", "biological"]).report()
    assert "nan" not in page
    assert "interval unknown" in page
