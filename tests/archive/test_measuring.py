"""Calls inside events: the tables have what `detect` measures, whoever measured it and when."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from anemone_lib import InferenceConfig, detect, load_classifier
from anemone_lib.archive import measuring as measuring_module
from anemone_lib.archive import report_archive
from anemone_lib.archive import running as running_module
from anemone_lib.archive.measuring import COLUMNS, describe_calls, measure_events
from anemone_lib.archive.running import Run
from anemone_lib.audio.recording import open_recording
from anemone_lib.detection.calls import add_calls
from anemone_lib.detection.events import Event
from anemone_lib.errors import AudioError

ALL = {"confidence_threshold": 0.0}


def find_unmeasured(archive):
    """Which recordings say that their calls were not measured."""
    return archive.recordings["notes"].str.contains("not measured")


def test_the_tables_have_the_medians_of_the_calls_that_detect_measures(make_season, analyse, out):
    archive = analyse([make_season(8)], out("a"))
    n_calls = 0
    for row in archive.recordings.itertuples():
        events = archive.events[archive.events["recording"] == row.recording].set_index("id")
        for event in detect(row.source).events:
            found = events.loc[event.id]
            assert found["calls"] == len(event.calls)
            n_calls += len(event.calls)
            for name in COLUMNS[1:]:
                values = [getattr(call, name) for call in event.calls]
                assert found[name] == pytest.approx(np.median(values), abs=1e-3) if values else pd.isna(found[name])
    assert n_calls > 0
    assert archive.hours["calls"].sum() == n_calls
    assert not find_unmeasured(archive).any()


def test_a_calibration_is_added_to_the_level_only(make_season, analyse, out, tmp_path):
    folder = make_season(4)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"path,site,calibration_db\n{folder}/north reef,a,174.2\n{folder}/south,b,\n")
    calibrated = analyse([manifest], out("a"), settings=ALL).events
    plain = analyse([folder], out("b"), settings=ALL).events.set_index("id").loc[calibrated["id"]].reset_index()
    gained = (calibrated["level_db"] - plain["level_db"]).dropna()
    assert set(gained[calibrated["site"] == "a"].round(2)) == {174.2}
    assert set(gained[calibrated["site"] == "b"].round(2)) == {0.0}
    assert calibrated["snr_db"].equals(plain["snr_db"])


@pytest.fixture
def again(whole, out):
    """A season, and a copy of its archive."""
    folder, archive, _ = whole
    shutil.copytree(archive, out("again"))
    return folder, out("again")


@pytest.mark.parametrize("by_report", [False, True])
def test_other_event_settings_measure_the_calls_of_their_events(again, analyse, out, tables_of, monkeypatch, by_report):
    folder, place = again
    monkeypatch.setattr(running_module, "analyse_recording", pytest.fail)
    if by_report:
        report_archive(place, settings=ALL)
    else:
        analyse([folder], place, settings=ALL)
    monkeypatch.undo()
    archive = analyse([folder], out("new"), settings=ALL)
    assert archive.events["calls"].notna().all()
    assert tables_of(place) == tables_of(out("new"))
    monkeypatch.setattr(running_module, "measure_recording", pytest.fail)  # what is known is not measured again
    analyse([folder], place, settings=ALL)


def test_a_run_that_is_killed_between_scores_and_calls_goes_on(whole, analyse, out, tables_of, monkeypatch):
    folder, _, expected = whole
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_keep_calls", _die)
        patch.setattr("anemone_lib.archive.units.measure_events", _break)
        with pytest.raises(KilledError):
            analyse([folder], out("again"))
    analyse([folder], out("again"))
    assert tables_of(out("again")) == expected


class KilledError(BaseException):
    """Stands for a kill: nothing catches it."""


def _die(*arguments):
    raise KilledError


def _break(*arguments, **options):
    raise AudioError("the disk is gone")


def test_what_goes_wrong_costs_the_calls_and_nothing_else(make_season, analyse, out, monkeypatch):
    folder = make_season(4)
    with monkeypatch.context() as patch:
        patch.setattr("anemone_lib.archive.units.measure_events", _break)
        archive = analyse([folder], out("a"), settings=ALL)
    assert (archive.recordings["status"] == "analysed").all()
    assert archive.recordings["notes"].str.endswith("calls were not measured: the disk is gone").all()
    assert archive.events[[*COLUMNS]].isna().all(axis=None)
    assert archive.hours["calls"].isna().all()
    archive = analyse([folder], out("a"), settings=ALL)  # is tried again
    assert not find_unmeasured(archive).any()
    assert archive.events["calls"].notna().all()


def test_a_recording_that_vanished_has_events_without_calls_and_a_reason(make_season, analyse, out):
    folder = make_season(4)
    analyse([folder], out("a"))
    gone = "north reef/20230227_223000.wav"
    (folder / gone).unlink()
    archive = report_archive(out("a"), settings=ALL)
    assert archive.recordings.loc[find_unmeasured(archive), "recording"].tolist() == [gone]
    lost = archive.events["recording"] == gone
    assert lost.any()
    assert archive.events.loc[lost, "calls"].isna().all()
    assert archive.events.loc[~lost, "calls"].notna().all()


def test_a_band_that_the_rate_cannot_hold_and_a_part_that_cannot_be_read_say_so(tmp_path, monkeypatch):
    event, known = Event("id", "anemonefish", 0.2, 1.4, 0.9, 0.9, 3), (load_classifier(), InferenceConfig())
    soundfile.write(tmp_path / "reef.wav", np.random.default_rng(0).normal(0, 0.1, 1400), 700)
    with open_recording(tmp_path / "reef.wav") as recording:
        measured = measure_events(recording, [event], *known)
        assert measured.reason == "calls were not measured: 700 Hz cannot hold their band, 300 to 1000 Hz"
        assert measured.events == {"id": None}
        monkeypatch.setattr("anemone_lib.archive.measuring.add_calls", _break)
        measured = measure_events(recording, [event], *known)
    assert measured.reason == "calls of some events were not measured: the disk is gone"
    assert describe_calls(measured.events["id"], 170.0) == dict.fromkeys(COLUMNS)


def test_an_event_that_cannot_be_read_leaves_the_others_their_calls(tmp_path, monkeypatch):
    bad, good = (Event(name, "anemonefish", start, start + 1, 0.9, 0.9, 3) for name, start in (("a", 1), ("b", 4)))

    def measure(recording, events, **options):
        return _break() if bad in events else add_calls(recording, events, **options)

    monkeypatch.setattr("anemone_lib.archive.measuring.add_calls", measure)
    soundfile.write(tmp_path / "reef.wav", np.random.default_rng(0).normal(0, 0.1, 60_000), 8000)
    with open_recording(tmp_path / "reef.wav") as recording:
        measured = measure_events(recording, [bad, good], load_classifier(), InferenceConfig())
    assert measured.events == {"a": None, "b": {"calls": 0, "peak_hz": None, "level_db": None, "snr_db": None}}
    assert measured.reason == "calls of some events were not measured: the disk is gone"


def test_an_event_that_cannot_be_read_leaves_the_others_in_batches(tmp_path, monkeypatch):
    events = [Event(str(k), "anemonefish", k, k + 0.5, 0.9, 0.9, 3) for k in range(64)]
    sizes = []

    def measure(recording, some, **options):
        sizes.append(len(some))
        return _break() if events[13] in some else list(some)

    monkeypatch.setattr("anemone_lib.archive.measuring.add_calls", measure)
    soundfile.write(tmp_path / "reef.wav", np.zeros(8000), 8000)
    with open_recording(tmp_path / "reef.wav") as recording:
        reasons = {}
        found = measuring_module._add_readable_calls(recording, events, (300.0, 1000.0), reasons)
    assert found == events[:13] + events[14:]
    assert sorted(sizes) == [1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64]  # and not 64 times one
    assert len(reasons) == 1
