"""``anemone archive`` as a person uses it: plan, run, report, clips, sample."""

import errno
import os
import sqlite3

import numpy as np
import pytest
import soundfile

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:reef-archive"


@pytest.fixture
def card(tmp_path, noise):
    """Three recordings of two sites, one of which is no audio."""
    for name in ("north/20230210_060000.wav", "south/20230210_060000.wav"):
        path = tmp_path / "card" / name
        path.parent.mkdir(parents=True)
        soundfile.write(path, np.roll(noise(4, 8000), len(name)), 8000)
    (tmp_path / "card" / "north" / "20230210_070000.wav").write_text("notes")
    return tmp_path / "card"


def test_a_season_from_the_plan_to_the_review(anemone, card, tmp_path):
    out = tmp_path / "archive"
    planned = anemone("archive", "plan", card, "--out", out)
    assert planned.exit_code == 0
    assert "north" in planned.stdout
    assert "8 s of audio: about" in planned.stdout
    assert "of 3 recordings, 1 cannot be opened: north/20230210_070000.wav" in planned.stderr
    assert (out / "timeline.png").is_file()
    assert not (out / "scores").exists()

    run = anemone("archive", "run", card, "--out", out, "--workers", 1, "--threshold", 0, "--csv", "--json")
    assert run.exit_code == 1
    assert "2 of 3 recordings analysed, 0.00 h of effort, 2 events" in run.stdout
    assert "failed: north/20230210_070000.wav" in run.stderr
    assert (out / "json" / "north" / "20230210_060000.wav.json").is_file()
    header, *rows = (out / "events.csv").read_text().splitlines()
    assert header.startswith('"id","site","recording","start_utc"')
    assert len(rows) == 2

    report = anemone("archive", "report", out, "--threshold", 1)
    assert "0 events" in report.stdout
    refused = anemone("archive", "clips", out)
    assert refused.exit_code == 2
    assert "there are no events" in refused.stderr

    anemone("archive", "report", out, "--threshold", 0)
    assert "2 clips in" in anemone("archive", "clips", out).stdout
    assert "2 events drawn" in anemone("archive", "sample", out, "--n", 5).stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shard", "0/2"), "--shard is '0/2'"),
        (("--memory", "lots"), "--memory is 'lots'"),
        (("--memory", "1MB"), "the run and one worker need"),
        (("--workers", "2", "--scheduler", "tcp://127.0.0.1:1"), "give --scheduler, or --workers and --memory"),
        (("--memory", "4GB", "--scheduler", "tcp://127.0.0.1:1"), "give --scheduler, or --workers and --memory"),
        (("--on", "the moon"), "--on is 'the moon'; it must be aws"),
        (("--on", "aws", "--workers", "2"), "--on aws takes no --workers"),
        (("--on", "aws"), "give --state-machine and --bucket, or set ANEMONE_ARCHIVE_STATE_MACHINE"),
        (("--on", "aws", "--bucket", "b", "--state-machine", "reef"), "give an ARN like"),
        (("--on", "aws", "--bucket", "b", "--state-machine", MACHINE), "copy it (`aws s3 sync`) and give its s3://"),
        (("--site", "("), "not a regular expression"),
        (("--channel", "left"), "channel is 'left'"),
        (("--timezone", "Mars"), "timezone is 'Mars'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_analysed(anemone, card, tmp_path, options, words):
    result = anemone("archive", "run", card, "--out", tmp_path / "archive", *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "archive" / "archive.json").exists()


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("report.write_text", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
        ("tables.write_atomically", OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "events.parquet")),
        ("state.State.list_item", sqlite3.OperationalError("database or disk is full")),
    ],
)
def test_a_disk_that_is_full_is_said_wherever_it_is_noticed(anemone, card, tmp_path, monkeypatch, place, error):
    def refuse(*_, **__):
        raise error

    out = tmp_path / "archive"
    with monkeypatch.context() as patch:
        patch.setattr(f"anemone_lib.archive.{place}", refuse)
        result = anemone("archive", "run", card, "--out", out, "--workers", 1)
    assert result.exit_code == 2
    assert "error: the disk is full" in result.stderr
    assert ("(events.parquet)" in result.stderr) == place.startswith("tables")
    assert anemone("archive", "run", card, "--out", out, "--workers", 1).exit_code == 1  # one is no audio
    assert (out / "report.html").is_file()


@pytest.mark.parametrize("command", ["report", "clips", "sample"])
def test_a_folder_without_an_archive_is_said(anemone, tmp_path, command):
    result = anemone("archive", command, tmp_path)
    assert result.exit_code == 2
    assert "there is no archive in" in result.stderr


def test_other_score_settings_need_a_run(anemone, card, tmp_path):
    (tmp_path / "config.yaml").write_text("stride_duration: 0.5\n")
    anemone("archive", "plan", card, "--out", tmp_path / "archive")
    result = anemone("archive", "report", tmp_path / "archive", "--config", tmp_path / "config.yaml")
    assert result.exit_code == 2
    assert "stride_duration 0.4 → 0.5" in result.stderr


def test_the_place_on_aws_comes_from_the_environment(anemone, card, tmp_path, monkeypatch):
    from anemone_lib.archive import steps

    asked = []
    monkeypatch.setattr(steps, "run_archive", lambda *_, aws, **__: asked.append(aws))
    monkeypatch.setenv("ANEMONE_ARCHIVE_STATE_MACHINE", MACHINE)
    monkeypatch.setenv("ANEMONE_ARCHIVE_BUCKET", "reef-output")
    anemone("archive", "run", "s3://reefs/2023/", "--out", tmp_path / "archive", "--on", "aws")
    assert [(place.state_machine, place.bucket, place.region) for place in asked] == [
        (MACHINE, "reef-output", "us-east-1")
    ]
