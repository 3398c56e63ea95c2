"""A scripted biologist: own classes, own column, unbalanced, 4 kHz, from a folder to measures, by commands alone."""

import csv
import json
import math
import re
import shlex
from collections import Counter

import numpy as np
import pytest
import soundfile

from anemone_lib import load_classifier
from anemone_lib.dataset import Dataset, read_recordings
from anemone_lib.promotion import SETTINGS_FILE, Promotion
from anemone_lib.scoring import choose_config
from tests.dataset.season import write_season

LABELS = ("--label", "h=hummer", "--label", "k=knocker", "--target", "hummer")
KEYS = ("average_precision", "segment_f1", "event_f1")


@pytest.fixture(scope="module")
def season(tmp_path_factory):
    """A season to learn from, three recordings of other days, and the model of it: trained once."""
    from typer.testing import CliRunner

    from anemone_lib.cli import app

    home = tmp_path_factory.mktemp("season")
    write_season(home / "known", n_recordings=4, seconds=40)
    write_season(home / "new", n_recordings=3, seconds=40, seed=9, names=["20220801", "20220802", "20220803"])

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    results = [
        run("dataset", "init", home / "known", *LABELS, "--out", home / "dataset.yaml"),
        run("dataset", "init", home / "new", *LABELS, "--split", "test", "--out", home / "new.yaml"),
        run("train", "--dataset", home / "dataset.yaml", "--out", home / "model", "--epochs", 3),
    ]
    assert [one.exit_code for one in results] == [0, 0, 0], [one.output for one in results]
    return home


def test_the_model_has_the_classes_and_settings_of_the_dataset_and_its_card_says_what_it_saw(season):
    card = load_classifier(season / "model").card
    dataset = Dataset.load(season / "dataset.yaml")
    assert (card.classes, card.target_class, card.activation) == (("noise", "hummer", "knocker"), "hummer", "sigmoid")
    assert card.settings["n_fft"] == dataset.settings["n_fft"]
    assert len(card.training["learning_curves"]) == 3  # networks, whose answers are averaged
    rows = card.training["recordings"]["train"]
    assert len(rows) == 4
    assert all(len(row["sha256"]) == 64 for row in rows)
    assert card.training["labels"] == {"h": "hummer", "k": "knocker"}
    assert set(card.decisions) == {"hummer", "knocker"}
    # Nothing is thrown away: the windows to draw from are at least those of the grid.
    assert sum(card.training["windows_to_draw_from"].values()) >= 4 * 20 / dataset.settings["stride_duration"] - 40


def test_it_is_tuned_and_measured_on_its_test_part_and_on_recordings_of_other_days(anemone, season):
    options = ("--model", season / "model", "--cache", season / "scores")
    result = anemone("tune", "--dataset", season / "dataset.yaml", *options, "--out", season / "tuned")
    assert result.exit_code == 0, result.output
    config = season / "tuned" / "inference_config.auto.tfvars.json"
    for name in ("dataset.yaml", "new.yaml"):
        path = season / f"{name}.json"
        arguments = ("--dataset", season / name, "--split", "test", "--config", config, "--json", path)
        result = anemone("evaluate", *arguments, *options)
        assert result.exit_code == 0, result.output
        assert "nan" not in result.output.lower()
        content = json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(f"{text} in JSON"))
        assert set(content["classes"]) == {"hummer", "knocker"}
        for own in content["classes"].values():
            for key in KEYS:
                assert {"value", "interval", "n"} <= set(own[key])
                assert own[key]["value"] is None or not math.isnan(own[key]["value"])
        assert content["classes"]["hummer"]["average_precision"]["value"] > 0.8
        assert content["classes"]["hummer"]["average_precision"]["interval"] is not None
        assert content["classes"]["hummer"]["event_f1"]["value"] > 0.5


def test_groups_get_their_own_thresholds_from_their_first_seconds(anemone, season, monkeypatch):
    options = ("--model", season / "model", "--cache", season / "scores", "--out", season / "groups")
    arguments = ("tune", "--dataset", season / "new.yaml", *options, "--per", "group", "--seconds", 15)
    with monkeypatch.context() as patch:  # thresholds that lose are not written unless forced
        patch.setattr("anemone_lib.tuning.by_group.doubt_groups", lambda gains, name: ["F1 is lower by 0.1"])
        result = anemone(*arguments)
    assert result.exit_code == 1, result.output
    assert "not promoted, because F1 is lower by 0.1" in " ".join(result.output.split())
    assert not (season / "groups").exists()
    with monkeypatch.context() as patch:  # what so few calls gain is chance
        patch.setattr("anemone_lib.tuning.by_group.doubt_groups", lambda gains, name: [])
        result = anemone(*arguments)
    assert result.exit_code == 0, result.output
    settings = json.loads((season / "groups" / "class_settings.json").read_text())
    assert set(settings["groups"]) == {"2022-08-01", "2022-08-02", "2022-08-03"}
    # What each group got, and what that gained, is in the table and in the report; its settings are ready for --config.
    report = (season / "groups" / "inference_config.md").read_text()
    for group, own in settings["groups"].items():
        threshold = own["hummer"]["confidence_threshold"]
        assert re.search(rf"\| {group} \| hummer \| \d+ \| \S+ → {threshold:.2g} \| \d+ \| \S+ → \S+ \|", report)
        promotion = Promotion.load(season / "groups" / "groups" / f"{group}.auto.tfvars.json")
        assert promotion.config.confidence_threshold == threshold
        assert promotion.model_sha256 == load_classifier(season / "model").sha256
    assert re.search(r"hummer: F1 of events [01]\.\d+ → [01]\.\d+, [-+]0\.\d+ \([^)]+95 % by group\)", result.output)
    config = season / "groups" / "groups" / "2022-08-01.auto.tfvars.json"
    sound = next((season / "new").glob("20220801*.wav"))
    arguments = ("--model", season / "model", "--config", config, "--out", season / "events")
    assert anemone("detect", sound, *arguments).exit_code == 0


def test_a_group_that_is_not_heard_in_its_first_seconds_keeps_the_threshold_of_all(anemone, season):
    options = ("--model", season / "model", "--cache", season / "scores", "--out", season / "unheard")
    result = anemone("tune", "--dataset", season / "new.yaml", *options, "--per", "group", "--seconds", 0.5)
    assert result.exit_code == 0, result.output
    assert "none: as before" in (season / "unheard" / "inference_config.md").read_text()
    assert not (season / "unheard" / "groups").exists()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--split", "train", "--allow-seen", "--bout-gap", 0.4),
        ("--per", "group", "--split", "validation", "--seconds", 3),
    ],
)
def test_the_command_of_the_report_finds_the_same_settings_again(anemone, season, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    arguments = ("--dataset", season / "dataset.yaml", "--model", season / "model", "--cache", season / "scores")
    result = anemone("tune", *arguments, *options, "--out", "first", "--force")
    assert result.exit_code == 0, result.output
    command = re.search(r"The command `(.+)` finds", (tmp_path / "first/inference_config.md").read_text()).group(1)
    program, *words = shlex.split(command)
    assert program == "anemone"
    result = anemone(*words)
    assert result.exit_code == 0, result.output
    first, again = (Promotion.load(tmp_path / folder / SETTINGS_FILE) for folder in ("first", "out/tuning"))
    assert first.config.fingerprint == again.config.fingerprint
    assert first == again
    settings = [(tmp_path / folder / "class_settings.json").read_text() for folder in ("first", "out/tuning")]
    assert settings[0] == settings[1]


def test_the_command_of_the_report_begins_with_the_settings_that_were_given(anemone, season, tmp_path, monkeypatch):
    """The settings that come out replace those of the last time, which were given."""
    monkeypatch.chdir(tmp_path)
    values = tmp_path / "out/tuning" / SETTINGS_FILE
    values.parent.mkdir(parents=True)
    config = choose_config(None, load_classifier(season / "model")).replace(confidence_threshold=0.987)
    Promotion(config).save(values)
    arguments = ("--dataset", season / "dataset.yaml", "--model", season / "model", "--cache", season / "scores")
    result = anemone("tune", *arguments, "--config", values, "--force")
    assert result.exit_code == 0, result.output
    assert Promotion.load(values).config != config
    words = shlex.split(
        re.search(r"The command `(.+)` finds", (values.parent / "inference_config.md").read_text()).group(1)
    )
    named = Promotion.load(words[words.index("--config") + 1])
    assert named.config.fingerprint == config.fingerprint


def test_folds_and_more_background_are_recorded_on_the_card(anemone, season, tmp_path, rng):
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    soundfile.write(quiet / "still.wav", 0.01 * rng.standard_normal(10 * 4000), 4000)
    arguments = ("--without-calls", quiet, "--folds", 2, "--epochs", 1, "--members", 1, "--force")
    arguments += ("--out", tmp_path / "model")
    result = anemone("train", "--dataset", season / "dataset.yaml", *arguments)
    assert result.exit_code == 0, result.output
    card = load_classifier(tmp_path / "model").card
    folds = card.metrics["folds_by_group"]
    assert set(folds) == {"hummer", "knocker"}
    for own in folds.values():
        assert len(own["folds"]) == 2
        assert own["mean"] == pytest.approx(np.mean(own["folds"]), abs=1e-4)
        assert own["spread"] == pytest.approx(np.std(own["folds"]), abs=1e-4)
        assert 0 < own["pooled"] <= 1
    assert card.training["without_calls"] == ["still.wav"]
    before = load_classifier(season / "model").card.training["windows_to_draw_from"]
    after = card.training["windows_to_draw_from"]
    window = Dataset.load(season / "dataset.yaml").settings["window_duration"]
    assert after["noise"] - before["noise"] == pytest.approx((10 - window) / (0.05 * window) + 1, abs=1)
    assert {name: n for name, n in after.items() if name != "noise"} == {
        name: n for name, n in before.items() if name != "noise"
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--folds", 9), "--folds is 9; it must be from 2 to"), (("--without-calls", "empty"), "no recordings in it")],
)
def test_folds_and_background_that_are_not_there_are_refused(anemone, season, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    result = anemone("train", "--dataset", season / "dataset.yaml", "--out", "model", *options)
    assert result.exit_code == 2
    assert words in result.stderr.replace("\n", " ")
    assert not (tmp_path / "model").exists()


def test_real_labelled_recordings_are_described_without_an_error_and_counted_right(
    anemone, shared_recordings, tmp_path
):
    folder, path = shared_recordings / "labelled", tmp_path / "dataset.yaml"
    labels = {"lt": "toadfish", "m": "meagre", "w": "weakfish"}
    options = [word for label, name in labels.items() for word in ("--label", f"{label}={name}")]
    result = anemone("dataset", "init", folder, *options, "--target", "toadfish", "--out", path)
    assert result.exit_code == 0, result.output
    expected = Counter()
    for table in folder.glob("*.selections.txt"):
        with table.open(newline="") as file:
            expected.update(row["category"] for row in csv.DictReader(file, delimiter="\t"))
    assert expected.keys() == labels.keys()
    for label, name in labels.items():
        assert re.search(rf"{label} +│ {name} +│ +{expected[label]} ", result.output), result.output
    dataset = Dataset.load(path)
    assert (dataset.classes, dataset.target_class) == (("noise", "toadfish", "meagre", "weakfish"), "toadfish")
    recordings = read_recordings(dataset)
    assert len(recordings) == 6
    counted = sum((one.count_calls() for one in recordings), Counter())
    assert counted == {name: expected[label] for label, name in labels.items()}
    assert dataset.settings["target_sr"] == 4000
    assert dataset.settings["n_fft"] / 4000 < 0.1  # pulses are not smeared
    result = anemone("dataset", "check", path)
    assert result.exit_code == 0, result.output
    assert "wrong:" not in result.stderr
    assert "weakfish has" in result.stderr  # too few to learn from: said


@pytest.mark.slow
def test_real_labelled_recordings_are_learnt_from_by_defaults(anemone, shared_recordings, tmp_path):
    """Three epochs of twelve: toadfish and meagre are told from noise on seconds that were not learnt from."""
    description, model, measures = tmp_path / "dataset.yaml", tmp_path / "model", tmp_path / "test.json"
    labels = [word for pair in ("lt=toadfish", "m=meagre", "w=weakfish") for word in ("--label", pair)]
    options = ("--dataset", description, "--model", model, "--cache", tmp_path / "scores")
    for arguments in (
        ("dataset", "init", shared_recordings / "labelled", *labels, "--target", "toadfish", "--out", description),
        ("train", "--dataset", description, "--out", model, "--epochs", 3, "--members", 1),
        ("evaluate", *options, "--split", "test", "--json", measures),
    ):
        result = anemone(*arguments)
        assert result.exit_code == 0, result.output
        assert "nan" not in result.output.split()
    training = load_classifier(model).card.training
    seconds = sum(row["end_s"] - row["start_s"] for row in training["recordings"]["train"])
    # Every moment of the train part may be drawn, however rare its class: steps of a twentieth of a second.
    assert sum(training["windows_to_draw_from"].values()) > 0.9 * (seconds - 6) / 0.05
    assert training["windows_to_draw_from"]["weakfish"] > 0
    found = json.loads(measures.read_text())["classes"]
    for name, least in (("toadfish", 0.9), ("meagre", 0.85)):
        assert found[name]["average_precision"]["value"] > least
        assert found[name]["event_f1"]["value"] > 0.4
    assert found["weakfish"]["average_precision"]["value"] is None  # the test part holds none: said, not invented


def test_what_the_model_has_seen_is_no_test_unless_it_is_allowed(anemone, season):
    out = season / "seen.yaml"
    assert anemone("dataset", "init", season / "known", *LABELS, "--split", "test", "--out", out).exit_code == 0
    arguments = ("evaluate", "--dataset", out, "--model", season / "model", "--cache", season / "scores")
    result = anemone(*arguments)
    assert result.exit_code == 2
    assert "has seen" in result.stderr
    assert anemone(*arguments, "--allow-seen").exit_code == 0


def test_a_model_that_learnt_nothing_is_not_exported_unless_forced(anemone, tmp_path):
    rng = np.random.default_rng(3)
    for name in ("a", "b", "c"):  # noise, with annotations of what is not there
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(60 * 4000), 4000)
        starts = 1 + 3.6 * np.arange(16) + rng.uniform(0, 2, 16)
        rows = [f"{t},{t + 0.5},{rng.choice(['h', 'k'])}\n" for t in starts]
        (tmp_path / f"{name}.csv").write_text("start,end,label\n" + "".join(rows))
    assert anemone("dataset", "init", tmp_path, *LABELS, "--split", "time").exit_code == 0
    arguments = ("train", "--dataset", tmp_path / "dataset.yaml", "--out", tmp_path / "model", "--epochs", 1)
    arguments += ("--members", 1)
    result = anemone(*arguments, "--start-from", "none")
    assert result.exit_code == 2, result.output
    assert "no better than chance" in result.stderr
    assert not (tmp_path / "model" / "best_model.json").exists()
    assert anemone(*arguments, "--start-from", "none", "--force").exit_code == 0


def test_a_folder_is_trained_on_without_throwing_windows_away(anemone, tmp_path):
    """With one rare class, the first release drew 24 windows of 3,178 and exported a model of 3 % accuracy."""
    write_season(tmp_path / "season", n_recordings=3, seconds=30, knocks=(1, 2))
    (tmp_path / "own.yaml").write_text(
        "model_classes: noise,hummer,knocker\ntarget_class: hummer\nn_fft: 128\nhop_length: 32\n"
        "height_pixels: 64\nwidth_pixels: 128\nstride_duration: 0.2\n"
    )
    for path in (tmp_path / "season").glob("*.wav"):
        sound, rate = soundfile.read(path)
        soundfile.write(path, np.stack([-sound, sound], axis=1), rate, subtype="PCM_16")
    arguments = [
        *("train", tmp_path / "season", "--labels", "h=hummer,k=knocker", "--config", tmp_path / "own.yaml"),
        *("--epochs", 2, "--members", 1, "--out", tmp_path / "model"),
    ]
    unnamed = anemone(*arguments)
    assert (unnamed.exit_code, "--label-column" in unnamed.stderr) == (2, True), unnamed.output
    result = anemone(*arguments, "--label-column", "heard by Ana", "--channel", 2)
    assert result.exit_code == 0, result.output
    training = load_classifier(tmp_path / "model").card.training
    assert sum(training["windows_to_draw_from"].values()) >= 2 * 30 / 0.2 - 20
    assert training["channel"] == 2


def test_labels_that_match_nothing_are_named(anemone, tmp_path):
    write_season(tmp_path, n_recordings=2, seconds=20)
    result = anemone("dataset", "init", tmp_path, "--label", "x=hummer", "--label-column", "heard by Ana")
    assert result.exit_code == 2
    assert "'h' (" in result.stderr
    assert not (tmp_path / "dataset.yaml").exists()


def test_an_existing_dataset_is_not_overwritten(anemone, tmp_path):
    write_season(tmp_path, n_recordings=2, seconds=20)
    assert anemone("dataset", "init", tmp_path, *LABELS).exit_code == 0
    before = (tmp_path / "dataset.yaml").read_text()
    result = anemone("dataset", "init", tmp_path, "--label", "h=other")
    assert (result.exit_code, (tmp_path / "dataset.yaml").read_text()) == (2, before)
    assert anemone("dataset", "init", tmp_path, *LABELS, "--overwrite").exit_code == 0
    assert anemone("dataset", "check", tmp_path / "dataset.yaml").exit_code == 0
