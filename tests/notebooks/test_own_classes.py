"""A scripted biologist: own classes, own column, unbalanced, 4 kHz, three recordings held out by name; the whole round.

The recordings are simulated hums and knocks; the round goes through all notebooks by papermill, the commands, and back
to ``/predict``.
"""

import json
import re
import shlex
from pathlib import Path

import papermill
import pytest
import yaml
from typer.testing import CliRunner

from anemone_lib import load_classifier
from anemone_lib.cli import app
from anemone_lib.promotion import Promotion
from anemone_lib.tables.verdicts import read_verdicts
from tests.dataset.season import write_season

from .store import NOTEBOOKS

#: What fits hums and knocks at 4 kHz.
SETTINGS = {"n_fft": 128, "hop_length": 32, "height_pixels": 64, "width_pixels": 128, "stride_duration": 0.2}
HELD_OUT = ["20210707_210000", "20210708_210000", "20210709_210000"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Nine recordings with tables, described; the last three are the test part, by name."""
    home = tmp_path_factory.mktemp("own")
    write_season(home / "reef", n_recordings=9, seconds=25, hums=(6, 9), knocks=(1, 3))
    run("dataset", "init", home / "reef", "--label", "h=hummer", "--label", "k=knocker", "--target", "hummer")
    run("dataset", "check", home / "reef" / "dataset.yaml")
    path = home / "reef" / "dataset.yaml"
    description = yaml.safe_load(path.read_text())
    assert description["label_column"] == "heard by Ana"
    names = sorted(one.stem for one in (home / "reef").glob("*.wav"))
    description["split"] = {"train": names[:4], "validation": names[4:6], "test": HELD_OUT}
    path.write_text(yaml.safe_dump(description))
    return home


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def execute(name, home, **parameters):
    """Run a notebook as a biologist does, with lists as commas; return what it records."""
    out = Path(parameters.setdefault("out_folder", str(home / "out")))
    papermill.execute_notebook(
        NOTEBOOKS / f"{name}.ipynb",
        home / f"{name}.ipynb",
        parameters=parameters,
        cwd=NOTEBOOKS,
        progress_bar=False,
    )
    return json.loads((out / f"{name}.json").read_text())


def test_the_round_from_own_labels_to_the_endpoint(home):
    dataset, model = str(home / "reef" / "dataset.yaml"), str(home / "out" / "model")
    numbers = execute("03_train_classifier", home, dataset=dataset, epochs=2, members=2, curve_calls="3")
    card = load_classifier(model).card
    assert (card.classes, card.target_class) == (("noise", "hummer", "knocker"), "hummer")
    assert [row["name"] for row in card.training["recordings"]["test"]] == [f"{name}.wav" for name in HELD_OUT]
    assert numbers["average_precision"][0] > 0.7
    assert numbers["f1"][0] > 0.5
    curves = {(name, start): own for name, start, own in numbers["learning_curve"]}
    assert set(curves) >= {("hummer", "shipped"), ("hummer", "none")}
    assert all(next(iter(own)) == "3" and len(own) == 2 for own in curves.values())

    numbers = execute("01_explore_recording", home, dataset=dataset, model=model)
    assert numbers["total_events"] >= 1

    options = {"dataset": dataset, "model": model}
    numbers = execute("02_tune_inference_config", home, **options, holdout=0.4, seconds=10, force=True)
    assert numbers["n_recordings"] == 5  # those that the model has not learnt from
    assert set(numbers["groups"]) <= {f"2021-07-{day:02d}" for day in range(5, 10)}  # of days, as in dataset.yaml
    assert len(numbers["groups"]) == 2
    own = Promotion.load(next((home / "out" / "groups").glob("2021-07-*.json")))
    assert own.model_sha256 == load_classifier(model).sha256
    assert numbers["f1"] > 0.5
    promoted = home / "out" / "promoted" / "inference_config.auto.tfvars.json"
    assert Promotion.load(promoted).model_sha256 == load_classifier(model).sha256
    assert Promotion.load(promoted).config.target_class == "hummer"
    # The command in the report finds the same settings again.
    command = shlex.split(re.search(r"`(papermill [^`]+)`", promoted.with_name("inference_config.md").read_text())[1])
    assert command[1] == "02_tune_inference_config.ipynb"
    parameters = dict(zip(command[4::3], map(yaml.safe_load, command[5::3]), strict=True))
    assert execute("02_tune_inference_config", home, **parameters, out_folder=str(home / "again"))["fingerprint"]
    assert Promotion.load(home / "again" / "promoted" / promoted.name) == Promotion.load(promoted)

    with pytest.raises(
        papermill.PapermillExecutionError, match=r"hummer \(\d+\).*none is tuna; name some that are there"
    ):
        execute("02_tune_inference_config", home, dataset=dataset, model=model, labels="tuna")
    numbers = execute("04_review_events", home, dataset=dataset, model=model, n_events=6, n_windows=2, blind=True)
    assert numbers["events"] == 8
    assert read_verdicts(home / "out" / "review" / "verdicts.csv") == []  # nobody judged, nothing is invented

    options = ("--dataset", dataset, "--model", model, "--cache", home / "scores")
    run("tune", *options, "--force", "--out", home / "tuned")
    config = home / "tuned" / promoted.name
    run("evaluate", *options, "--split", "test", "--config", config, "--json", home / "test.json")
    assert json.loads((home / "test.json").read_text())["classes"]["hummer"]["average_precision"]["value"] > 0.7

    run("tune", *options, "--per", "group", "--seconds", 10, "--force", "--out", home / "groups")
    run("detect", home / "reef", "--model", model, "--config", config, "--out", home / "events")
    assert len(list((home / "events").glob("*.events.csv"))) == 9
    run("archive", "run", home / "reef", "--dataset", dataset, "--model", model, "--out", home / "season")
    run("archive", "sample", home / "season", "--n", 5)
    numbers = execute("06_season_report", home, archive=str(home / "season"), class_name="hummer")
    assert numbers

    recordings = ", ".join(str(home / "reef" / f"{name}.wav") for name in HELD_OUT[:2])
    numbers = execute("05_check_deployment", home, model=model, tfvars=str(config), recordings=recordings)
    assert len(numbers["checks"]) == 11
    assert all(numbers["checks"].values())


def test_a_good_model_has_a_good_f1_where_labels_are_not_the_names_of_classes(home, tmp_path):
    """From a folder, with labels h and k: the first release looked for the label "hummer", and said 0.000."""
    numbers = execute(
        "03_train_classifier",
        home,
        folder=str(home / "reef"),
        label_column="heard by Ana",
        label_classes="h=hummer,k=knocker",
        model_classes="noise,hummer,knocker",
        target_class="hummer",
        simulated_recordings=0,
        start_from="",
        epochs=4,
        out_folder=str(tmp_path),
        **SETTINGS,
    )
    assert numbers["average_precision"][0] > 0.7
    assert numbers["f1"][0] > 0.5


def test_settings_that_were_promoted_for_another_model_stop_the_check(home, tmp_path):
    promotion = Promotion(Promotion.load(home / "tuned" / "inference_config.auto.tfvars.json").config, "1" * 64)
    path = promotion.save(tmp_path / "inference_config.auto.tfvars.json")
    with pytest.raises(papermill.PapermillExecutionError, match="promoted for the model 111111111111"):
        execute("05_check_deployment", home, model=str(home / "out" / "model"), tfvars=str(path))
