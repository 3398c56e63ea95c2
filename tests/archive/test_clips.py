import numpy as np
import pytest
import soundfile

from anemone_lib.archive.clips import COLUMNS, write_clips
from anemone_lib.errors import ConfigError


@pytest.fixture(scope="module")
def archive(large):
    return large[2]


def test_every_event_has_its_sound_with_a_margin_and_a_row_for_raven(archive, tmp_path):
    clips = write_clips(archive.folder, tmp_path, margin=0.25)
    lines = [line.split("\t") for line in clips.table.read_text().splitlines()]
    assert tuple(lines[0]) == COLUMNS
    rows = [dict(zip(COLUMNS, line, strict=True)) for line in lines[1:]]
    assert {row["Event ID"] for row in rows} == set(archive.events["id"])
    assert clips.number == len(rows) == len(archive.events)
    sources = archive.recordings.set_index("recording")["source"]
    events = archive.events.set_index("id")
    for row in rows[:10]:
        event = events.loc[row["Event ID"]]
        samples, rate = soundfile.read(row["Begin Path"])
        offset, length = float(row["File Offset (s)"]), float(row["Delta Time (s)"])
        assert length == pytest.approx(event["end_s"] - event["start_s"], abs=1e-5)
        assert offset == min(0.25, event["start_s"])
        whole, _ = soundfile.read(sources[event["recording"]])
        begin = round((event["start_s"] - offset) * rate)
        if sources[event["recording"]].lower().endswith((".wav", ".flac", ".aif")):
            assert np.allclose(samples, np.nan_to_num(whole[begin : begin + len(samples)]), atol=2**-14)


def test_only_the_events_that_are_wanted(archive, tmp_path):
    some = write_clips(archive.folder, tmp_path / "some", limit=5)
    assert some.number == 5
    south = write_clips(archive.folder, tmp_path / "south", site="south", min_confidence=0.6)
    events = archive.events
    assert south.number == ((events["site"] == "south") & (events["confidence"] >= 0.6)).sum()
    with pytest.raises(ConfigError, match="there are no events at 'west'"):
        write_clips(archive.folder, tmp_path / "none", site="west")


def test_a_class_with_a_long_name_has_clips(make_season, analyse, out, tmp_path, monkeypatch):
    archive = analyse([make_season(2)], out("a"), settings={"confidence_threshold": 0.5})
    long = "クマノミの鳴き声と思われる音、夜間に多い種類のもの"  # its letters take 225 characters in a name
    events, recordings = archive.events.assign(**{"class": long}), archive.recordings
    tables = {"events": events, "recordings": recordings}
    monkeypatch.setattr("anemone_lib.archive.clips.Archive.read", lambda self, name, **options: tables[name])
    clips = write_clips(archive.folder, tmp_path / "clips")
    assert clips.number == len(list((tmp_path / "clips").rglob("*.wav"))) == len(events) > 0


def test_the_table_says_that_a_program_made_it(archive, tmp_path):
    table = write_clips(archive.folder, tmp_path, limit=3).table
    before = table.read_text()
    table.write_text(before.replace("anemonefish", "grunt"))
    assert write_clips(archive.folder, tmp_path, limit=3).table.name == "clips.selections-2.txt"
    assert len(before.splitlines()) == 4


def test_a_recording_that_is_gone_costs_its_own_clips(make_season, analyse, out, tmp_path):
    folder = make_season(6)
    archive = analyse([folder], out("a"))
    name = archive.events["recording"].iloc[0]
    (folder / name).unlink()
    notes = []
    clips = write_clips(archive.folder, tmp_path / "clips", note=notes.append)
    assert clips.number == (archive.events["recording"] != name).sum()
    assert notes[0].startswith(f"{name}: ")
