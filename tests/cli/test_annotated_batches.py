"""``anemone evaluate`` and ``anemone tune`` go through a batch to its end, and say what did not count."""

import json

import numpy as np
import pytest
import soundfile

from anemone_lib.simulation.dataset import write_dataset


@pytest.fixture
def season(tmp_path, loudness, monkeypatch):
    """Four good annotated recordings, and two bad ones."""
    monkeypatch.chdir(tmp_path)
    for command in ("tune", "detect"):
        monkeypatch.setattr(f"anemone_lib.cli.{command}.load_classifier", lambda model=None: loudness)
    folder = tmp_path / "season"
    write_dataset(folder, n_recordings=4, duration=10, sample_rate=8000)
    (folder / "broken.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    (folder / "broken.csv").write_text("start,end,label\n1,2,anemonefish\n")
    first = next(iter(sorted(folder.glob("reef*.wav"))))
    (folder / "site b").mkdir()
    (folder / "site b" / first.name).write_bytes(first.read_bytes())
    (folder / "site b" / f"{first.stem}.csv").write_text("start,end,Laut\n1,2,anemonefish\n")
    (folder / "alone.wav").write_bytes(first.read_bytes())
    return folder


def test_evaluate_rates_the_good_names_the_bad_and_exits_with_1(anemone, season, tmp_path):
    result = anemone("evaluate", season, "--out", tmp_path / "evaluation.json")
    assert result.exit_code == 1, result.output
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert len(content["recordings"]) == 4
    assert [row["name"].split("/")[0] for row in content["failed"]] == ["broken.wav", "site b"]
    assert "failed: broken.wav" in result.stderr
    assert "'Laut' ('anemonefish')" in result.stderr
    assert "1 recording without a table left out (alone.wav)" in result.stderr


def test_tune_does_the_same(anemone, season, tmp_path):
    result = anemone("tune", season, "--force")
    assert result.exit_code == 1, result.output
    assert (tmp_path / "out" / "tuning" / "inference_config.auto.tfvars.json").is_file()
    assert "failed: broken.wav" in result.stderr


def test_the_same_name_in_two_folders_is_two_rows(anemone, season, tmp_path):
    (season / "broken.wav").unlink()
    table = next((season / "site b").glob("*.csv"))
    table.write_text("start,end,label\n")
    assert anemone("evaluate", season, "--out", tmp_path / "evaluation.json").exit_code == 0
    names = [row["name"] for row in json.loads((tmp_path / "evaluation.json").read_text())["recordings"]]
    assert len(names) == len(set(names)) == 5
    assert sum(name.startswith("site b/") for name in names) == 1


def test_labels_that_match_nothing_are_an_error_that_names_those_there_are(anemone, season):
    for command in ("evaluate", "tune"):
        result = anemone(command, season, "--labels", "whale")
        assert result.exit_code == 2, result.output
        said = " ".join(result.stderr.split())
        assert "none is whale; name some that are there" in said
        assert "anemonefish (" in said


def test_tables_of_what_was_detected_are_never_the_truth(anemone, season, tmp_path):
    for table in season.rglob("*.selections.txt"):
        table.unlink()
    assert (
        anemone("detect", season, "--out", season, "--formats", "json,csv,raven,audacity", "--threshold", "0").exit_code
        == 1
    )
    (season / "broken.csv").unlink()
    next((season / "site b").glob("*.csv")).unlink()
    result = anemone("evaluate", season)
    assert result.exit_code == 2
    assert "has a table" in result.stderr
    assert "with detections by anemone skipped: they are no annotations" in result.stderr.replace("\n", " ")


def test_one_hydrophone_is_listened_to_and_named_in_what_is_written(anemone, season, tmp_path):
    (season / "broken.wav").unlink()
    for path in season.rglob("*.wav"):
        sound, rate = soundfile.read(path)
        soundfile.write(path, np.stack([0 * sound, sound], axis=1), rate, subtype="PCM_16")
    dead, second = tmp_path / "dead.json", tmp_path / "second.json"
    assert anemone("evaluate", season, "--channel", 1, "--out", dead).exit_code == 1  # site b has an unknown column
    assert anemone("evaluate", season, "--channel", "loudest", "--out", second).exit_code == 1
    assert {one["channel"] for one in json.loads(second.read_text())["recordings"]} == {"2"}
    assert (
        json.loads(dead.read_text())["all"]["n_estimated"] == 0 < json.loads(second.read_text())["all"]["n_estimated"]
    )
    assert anemone("tune", season, "--channel", "2", "--force").exit_code == 1
    page = (tmp_path / "out" / "tuning" / "inference_config.md").read_text()
    assert "--channel 2" in page
    details = json.loads((tmp_path / "out" / "tuning" / "inference_config.tuning.json").read_text())
    assert {one["channel"] for one in details["recordings"]} == {"2"}
    for word, said in (("left", "number from 1, mean or loudest"), ("each", "which hydrophone was annotated")):
        refused = anemone("evaluate", season, "--channel", word)
        assert (refused.exit_code, said in refused.stderr.replace("\n", " ")) == (2, True), refused.stderr


def test_the_column_of_labels_can_be_named(anemone, season):
    (season / "broken.wav").unlink()
    for table in season.rglob("*.selections.txt"):
        table.write_text("Selection\tBegin Time (s)\tEnd Time (s)\tLaut\n1\t1\t2\tanemonefish\n")
    for command in (["evaluate", season], ["tune", season, "--force"]):
        result = anemone(*command, "--label-column", "Laut")
        assert result.exit_code == 0, result.output


def test_times_of_day_in_a_pamguard_export_count_by_the_clock_that_named_the_recording(anemone, tmp_path, season):
    folder = tmp_path / "pamguard"
    folder.mkdir()
    sound, rate = soundfile.read(next(iter(season.glob("reef*.wav"))))
    soundfile.write(folder / "10-02-2023 15h00.wav", sound, rate)
    (folder / "10-02-2023 15h00.csv").write_text(
        "Id,UID,UTC,UTCMilliseconds,startSample,duration,lowFreq,highFreq,Annotation\n"
        f"1,1,2023-02-10 06:00:01.500,500,0,{rate},100,900,anemonefish\n"
    )
    unknown = anemone("evaluate", folder)
    assert (unknown.exit_code, "--start-time-format" in unknown.stderr) == (2, True)
    clock = ("--timezone", "Asia/Tokyo", "--start-time-format", "%d-%m-%Y %Hh%M")
    result = anemone("evaluate", folder, *clock, "--out", tmp_path / "result.json")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "result.json").read_text())["all"]["n_reference"] == 1
