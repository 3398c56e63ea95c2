"""Scores that were made before as the source of an archive: of jobs, and of `anemone detect --formats scores`."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import anemone_lib
from anemone_lib.archive import kept as kept_module
from anemone_lib.archive.kept import read_kept
from anemone_lib.cli import app
from anemone_lib.errors import ScoresError
from anemone_lib.scoring import Scores, WindowGrid

SHOWN = ["id", "site", "recording", "start_utc", "end_utc", "confidence", "class"]


@pytest.fixture
def kept(make_season, tmp_path):
    """A season of recordings, and a folder with the scores of each."""
    season, folder = make_season(6), tmp_path / "kept"
    for path in sorted(season.rglob("*.*")):
        anemone_lib.detect(path).save(folder / path.relative_to(season).parent, formats=["scores"])
    return season, folder


def compare(archive, other):
    """The tables say the same of what both know."""
    assert archive.events[SHOWN].equals(other.events[SHOWN])
    assert archive.hours[["site", "hour_utc", "effort_s", "events"]].equals(
        other.hours[["site", "hour_utc", "effort_s", "events"]]
    )
    columns = ["recording", "start_utc", "start_s", "end_s", "analysed", "reason"]
    assert archive.effort[columns].equals(other.effort[columns])


def test_kept_scores_give_the_tables_of_the_recordings(kept, analyse, out):
    season, folder = kept
    archive, other = analyse([folder], out("kept")), analyse([season], out("whole"))
    compare(archive, other)
    assert len(archive.events)
    assert archive.events["calls"].isna().all(), "nothing is invented of what was not heard"
    assert archive.effort["dead_s"].isna().all()
    heard = archive.recordings[archive.recordings["recording"].isin(archive.events["recording"])]
    assert heard["notes"].str.contains("calls were not measured: only the scores of the rec").all()


def test_a_file_of_scores_is_read_once_for_its_name_and_what_it_tells_and_once_for_the_scores(
    kept, analyse, out, monkeypatch
):
    _, folder = kept
    opened = []
    original = kept_module.open_source
    monkeypatch.setattr(kept_module, "open_source", lambda source: (opened.append(source), original(source))[1])
    analyse([folder], out("kept"))
    assert sorted(opened) == sorted(2 * [str(path) for path in folder.rglob("*.npz")])


def test_other_event_settings_are_decided_on_kept_scores(kept, analyse, out):
    season, folder = kept
    settings = {"confidence_threshold": 0.2, "min_event_duration": 0.0}
    analyse([folder], out("kept"))
    compare(analyse([folder], out("kept"), settings=settings), analyse([season], out("whole"), settings=settings))


def test_a_recording_that_is_there_too_counts_once_with_its_calls(kept, analyse, out):
    season, folder = kept
    shutil.copytree(season, folder, dirs_exist_ok=True)
    archive, other = analyse([folder], out("both")), analyse([season], out("whole"))
    assert sorted(archive.recordings["status"]) == ["analysed"] * 6 + ["duplicate"] * 6
    assert archive.events[["start_utc", "calls", "peak_hz"]].equals(other.events[["start_utc", "calls", "peak_hz"]])
    assert archive.effort["analysed"].sum() == other.effort["analysed"].sum()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"settings": {"stride_duration": 0.5}}, "other settings that decide scores"),
        ({"channel": "2"}, "from channel 1, not from 2"),
    ],
)
def test_scores_of_another_making_have_a_row_that_says_so(kept, analyse, out, options, said):
    _, folder = kept
    archive = analyse([folder], out("kept"), **options)
    assert set(archive.recordings["status"]) == {"failed"}
    assert archive.recordings["problem"].str.contains(said).all()
    assert not len(archive.events)


def test_scores_of_another_model_say_which(kept, analyse, out, monkeypatch):
    _, folder = kept
    monkeypatch.setattr("anemone_lib.archive.kept.Scores.load", _of_another_model(anemone_lib.Scores.load))
    archive = analyse([folder], out("kept"))
    assert archive.recordings["problem"].str.contains("give that model with --model").all()


def _of_another_model(load):
    return lambda *source, **options: replace(load(*source, **options), model_sha256="e" * 64)


def test_each_channel_has_an_archive_of_its_own(make_season, analyse, out, tmp_path):
    samples = [soundfile.read(path) for path in sorted(make_season(8).rglob("*.wav")) if "2230" in path.name]
    both = np.stack([samples[0][0], np.roll(samples[0][0], 500)], axis=1)
    path = tmp_path / "stereo" / "20230210_060000.wav"
    path.parent.mkdir()
    soundfile.write(path, both, samples[0][1])
    for found in anemone_lib.detect(path, channel="each"):
        found.save(tmp_path / "kept", formats=["scores"])
    notes = []
    archive = analyse([tmp_path / "kept"], out("2"), channel="2", note=notes.append)
    other = analyse([path.parent], out("whole"), channel="2")
    assert archive.recordings["status"].tolist() == ["analysed"]
    assert "1 file of scores left out: of channel 1 (--channel)" in notes
    assert archive.events[["start_s", "confidence"]].equals(other.events[["start_s", "confidence"]])


def test_damaged_scores_cost_only_themselves(kept, analyse, out):
    _, folder = kept
    paths = sorted(folder.rglob("*.npz"))
    paths[0].write_bytes(paths[0].read_bytes()[:500])
    archive = analyse([folder], out("kept"))
    assert sorted(archive.recordings["status"]) == ["analysed"] * 5 + ["failed"]
    assert archive.recordings["problem"].dropna().str.contains("are damaged").all()


def test_scores_that_do_not_say_of_what_are_refused(tmp_path):
    path = Scores(np.ones((1, 1), np.float32), ("noise",), WindowGrid(100, 100, 100, 100)).save(
        tmp_path / "x.scores.npz"
    )
    with pytest.raises(ScoresError, match="does not say which recording"):
        read_kept(str(path))


def test_the_tables_a_plan_and_a_report_are_made_without_sound(kept, out, tmp_path):
    _, folder = kept
    for command in (["plan", str(folder), "--out"], ["run", str(folder), "--out"], ["report"]):
        done = CliRunner().invoke(app, ["archive", *command, str(tmp_path / "archive")])
        assert done.exit_code == 0, done.output
    assert "without its sound" in (tmp_path / "archive" / "report.html").read_text()
