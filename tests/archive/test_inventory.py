import sys

import numpy as np
import pytest
import soundfile

from anemone_lib.archive import make_request, plan_archive
from anemone_lib.archive.estimate import MINUTE_BYTES, estimate_run
from anemone_lib.archive.inventory import save_timeline
from anemone_lib.archive.state import State
from anemone_lib.archive.tables import read_table
from anemone_lib.archive.workers import WORKER_BYTES
from anemone_lib.errors import ConfigError


def plan(source, out, **options):
    """The inventory, and what was noted."""
    notes = []
    with plan_archive(make_request([str(source)], **options), out, note=notes.append) as state:
        state.flush()
    return read_table(out, "recordings").to_pandas().set_index("recording"), notes


@pytest.fixture
def card(tmp_path):
    """Write silence of so many seconds under a name; return the folder."""

    def write(name, seconds=10.0, rate=4000, value=0.0):
        path = tmp_path / "card" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full((round(seconds * rate),), value), rate)
        return tmp_path / "card"

    return write


def test_gaps_and_overlaps_are_between_recordings_of_one_site(card, out):
    card("north/20230210_060000.wav")
    card("north/20230210_060010.wav", value=0.1)
    card("north/20230210_060030.wav", value=0.2)
    card("north/20230210_060036.wav", value=0.3)
    folder = card("south/20230210_060005.wav", value=0.4)
    table, _ = plan(folder, out("a"))
    gaps = table["gap_before_s"].to_dict()
    assert gaps["north/20230210_060010.wav"] == 0
    assert gaps["north/20230210_060030.wav"] == 10
    assert table["overlap_s"].to_dict()["north/20230210_060036.wav"] == 4
    first = table.loc[["north/20230210_060000.wav", "south/20230210_060005.wav"]]
    assert first[["gap_before_s", "overlap_s"]].isna().all(axis=None)


def test_recorders_at_one_site_are_told_apart_by_a_manifest(card, tmp_path, out):
    card("a/20230210_060000.wav")
    card("b/20230210_060005.wav", value=0.1)
    (tmp_path / "season.csv").write_text("path,site,recorder\ncard/a,reef,1\ncard/b,reef,2\n")
    table, _ = plan(tmp_path / "season.csv", out("a"))
    assert table["overlap_s"].isna().all()
    assert table["site"].tolist() == ["reef", "reef"]


def test_copies_are_found_by_their_bytes_and_look_alikes_are_not(card, out):
    card("20230210_060000.wav", value=0.5)
    card("copy of 20230210_060000.wav", value=0.5)
    path = card("20230210_070000.wav", value=0.5) / "20230210_070000.wav"
    content = bytearray(path.read_bytes())
    content[100] ^= 1  # neither in the middle nor at the end
    path.write_bytes(content)
    table, _ = plan(path.parent, out("a"))
    assert table["duplicate_of"].dropna().to_dict() == {"copy of 20230210_060000.wav": "20230210_060000.wav"}
    assert table["status"].to_dict()["copy of 20230210_060000.wav"] == "duplicate"


def test_a_plan_that_ends_with_an_error_leaves_no_database_open(tmp_path, out, monkeypatch):
    closed = []
    close = State.close
    monkeypatch.setattr(State, "close", lambda state: (closed.append(state), close(state)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="there is nothing to analyse"):
        plan(tmp_path / "empty", out("a"))
    assert len(closed) == 1


def test_a_system_that_does_not_tell_the_memory_of_a_process_has_an_estimate(card, out, monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)  # Windows has no such module
    request = make_request([str(card("20230210_060000.wav"))])
    with plan_archive(request, out("a")) as state:
        assert estimate_run(state, request).memory_bytes == WORKER_BYTES


def test_what_cannot_be_opened_has_its_reason_and_its_time(card, out):
    folder = card("20230210_060000.wav")
    (folder / "20230210_070000.wav").write_bytes(b"")
    table, _ = plan(folder, out("a"))
    row = table.loc["20230210_070000.wav"]
    assert (row["status"], row["start_utc"].hour) == ("failed", 7)
    assert "is empty: 0 bytes" in row["problem"]


def test_a_second_plan_reads_no_header_that_did_not_change(card, out, monkeypatch):
    folder = card("20230210_060000.wav")
    before, _ = plan(folder, out("a"))
    monkeypatch.setattr("anemone_lib.archive.inventory.probe_recording", pytest.fail)
    after, _ = plan(folder, out("a"))
    assert after.equals(before)


def test_two_recordings_of_one_name_are_two(card, tmp_path, out):
    card("a/20230210_060000.wav")
    card("b/20230210_060000.wav", value=0.1)
    request = make_request([str(tmp_path / "card" / "a"), str(tmp_path / "card" / "b")])
    with plan_archive(request, out("a")) as state:
        assert state.count() == 2
    table = read_table(out("a"), "recordings").to_pandas()
    assert table["recording"].tolist() == ["a/20230210_060000.wav", "b/20230210_060000.wav"]
    assert table["site"].tolist() == ["a", "b"]


def test_the_estimate_adds_up_the_audio_and_the_scores(card, out):
    card("20230210_060000.wav", seconds=100)
    folder = card("20230210_070000.flac", seconds=50)
    request = make_request([str(folder)])
    with plan_archive(request, out("a")) as state:
        estimate = estimate_run(state, request)
        timeline = save_timeline(state, out("a"))
    assert estimate.audio_s == 150
    assert estimate.scores_bytes == pytest.approx(150 / 0.4 * 12 + 2 * 2000 + 2.5 * MINUTE_BYTES, abs=12)
    assert 0 < estimate.work_s < 600
    assert "2 min 30 s of audio: about" in estimate.spell(2)
    assert timeline.read_bytes().startswith(b"\x89PNG")
