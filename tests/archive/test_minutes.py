"""The table of minutes, and what follows from it: noise of hours, time in which calls could not be heard."""

import numpy as np
import pytest
import soundfile

from anemone_lib.archive import open_archive, report_archive
from anemone_lib.archive import running as running_module
from anemone_lib.archive.tables import read_table
from anemone_lib.audio.recording import open_recording
from anemone_lib.soundscape.minutes import SINE_DB, lay_millidecades, measure_minutes

RATE = 4000


@pytest.fixture
def reef(tmp_path, rng):
    """A quiet recording of 90 s, a loud one and a quiet one of 60 s after it, and one of half a second."""
    folder = tmp_path / "reef"
    folder.mkdir()
    for name, seconds, level in (("060000", 90, 0.01), ("060200", 60, 0.3), ("070000", 60, 0.01), ("080000", 0.5, 0.1)):
        soundfile.write(folder / f"20230210_{name}.wav", rng.normal(0, level, round(seconds * RATE)), RATE)
    return folder


def list_noise_db(recording):
    with open_recording(recording) as opened:
        return measure_minutes(opened).bands["calls"] - SINE_DB


def test_minutes_are_those_of_the_recordings(whole):
    archive = open_archive(whole[1])
    analysed = archive.recordings[archive.recordings["status"] == "analysed"]
    by_recording = archive.minutes.groupby("recording")
    assert set(by_recording.groups) == set(analysed["recording"])
    for row in analysed.itertuples():
        rows = by_recording.get_group(row.recording)
        np.testing.assert_allclose(rows["calls_db"], list_noise_db(row.source), atol=0.01)
        assert set(rows["reference"]) == {"full scale"}
        assert rows["start_local"].iloc[0] == row.start_local
    assert archive.hours["noise_db"].notna().all()
    assert archive.hours["noise_reference"].eq("full scale").all()


def test_lists_have_a_level_for_each_band(whole):
    table = read_table(whole[1], "minutes", columns=["sample_rate_hz", "third_octaves_db", "millidecades_db"])
    for rate, thirds, levels in zip(*(column.to_pylist() for column in table.columns), strict=True):
        assert len(levels) == len(lay_millidecades(rate / 2)) - 1
        assert len(thirds) == {4000: 20, 8000: 23}[rate]  # to 1.6 and 3.2 kHz


def test_a_calibration_is_added_to_every_level(reef, tmp_path, analyse, out):
    (tmp_path / "season.csv").write_text("path,calibration_db\nreef,174.2\n")
    plain, calibrated = analyse([reef], out("a")), analyse([tmp_path / "season.csv"], out("b"))
    gained = calibrated.minutes["calls_db"] - plain.minutes["calls_db"]
    np.testing.assert_allclose(gained, 174.2, atol=0.01)
    assert set(calibrated.minutes["reference"]) == set(calibrated.hours["noise_reference"].dropna()) == {"1 µPa"}
    lists = [
        np.array(read_table(one.folder, "minutes")["millidecades_db"].to_pylist()[0]) for one in (plain, calibrated)
    ]
    np.testing.assert_allclose(lists[1] - lists[0], 174.2, atol=0.01)


def test_time_that_is_too_loud_for_the_call_is_masked(reef, analyse, out):
    quiet = list_noise_db(reef / "20230210_060000.wav")[0]
    archive = analyse([reef], out("a"), call_level_db=float(quiet) + 10)
    masked = archive.effort.set_index("recording")["masked_s"]
    assert masked["20230210_060000.wav"] == 0
    assert masked["20230210_060200.wav"] == 60
    assert np.isnan(masked["20230210_080000.wav"])  # it is too short for a level
    assert archive.provenance["masking"]["reef"]["call_level_db"] == pytest.approx(quiet + 10, abs=0.01)
    hours = archive.hours.set_index("hour_utc")["noise_db"]
    assert hours.iloc[0] == pytest.approx(quiet, abs=0.5)  # the median of two quiet minutes and a loud one
    again = report_archive(out("a"), call_level_db=0.0)
    assert again.effort["masked_s"].sum() == 0


def test_without_a_level_the_call_is_assumed_above_the_quietest_hours(reef, analyse, out):
    archive = analyse([reef], out("a"))
    masking = archive.provenance["masking"]["reef"]
    assert masking["assumed"]
    quietest = archive.hours["noise_db"].dropna().quantile(0.1)
    assert masking["call_level_db"] == pytest.approx(quietest + 10, abs=0.01)
    assert masking["limit_db"] == pytest.approx(masking["call_level_db"] - masking["lowest_snr_db"], abs=0.02)


def test_levels_of_two_references_are_not_compared(reef, tmp_path, analyse, out):
    names = sorted(path.name for path in reef.iterdir())
    rows = [f"reef/{name},x,{174 if name == names[2] else ''}" for name in names]
    (tmp_path / "season.csv").write_text("\n".join(["path,site,calibration_db", *rows]) + "\n")
    archive = analyse([tmp_path / "season.csv"], out("a"))
    assert archive.provenance["masking"] == {}
    assert archive.effort["masked_s"].isna().all()


def test_noise_can_be_left_out_and_measured_later_without_scores(reef, analyse, out, tables_of, monkeypatch):
    archive = analyse([reef], out("a"), noise=False)
    assert not len(archive.minutes)
    assert archive.hours["noise_db"].isna().all()
    assert archive.effort["masked_s"].isna().all()
    assert not out("a", "noise").exists()
    monkeypatch.setattr(running_module, "analyse_recording", pytest.fail)
    analyse([reef], out("a"))
    monkeypatch.undo()
    analyse([reef], out("b"))
    assert tables_of(out("a")) == tables_of(out("b"))
    assert any("minutes" in path for path in tables_of(out("a")))
    for path in out("a", "noise").iterdir():
        path.write_bytes(path.read_bytes()[:100])  # damaged, as after a loss of power
    assert report_archive(out("a")).hours["noise_db"].isna().all()
    analyse([reef], out("a"))
    assert tables_of(out("a")) == tables_of(out("b"))


def test_recordings_without_a_clock_have_minutes_and_no_hour(reef, tmp_path, analyse, out):
    (reef / "20230210_060000.wav").rename(tmp_path / "unknown.wav")
    archive = analyse([tmp_path / "unknown.wav"], out("a"))
    assert archive.minutes["start_utc"].isna().all()
    assert archive.minutes["calls_db"].notna().all()
    assert not len(archive.hours)
    assert archive.provenance["masking"] == {}


def test_lost_noise_is_measured_again_and_only_that(reef, analyse, out, tables_of, monkeypatch):
    analyse([reef], out("a"))
    expected = tables_of(out("a"))
    next(out("a", "noise").iterdir()).unlink()
    measured = []
    original = running_module.measure_recording_noise
    monkeypatch.setattr(running_module, "analyse_recording", pytest.fail)
    monkeypatch.setattr(
        running_module, "measure_recording_noise", lambda task: (measured.append(task), original(task))[1]
    )
    analyse([reef], out("a"))
    assert len(measured) == 1
    assert tables_of(out("a")) == expected


def test_every_class_has_the_noise_of_its_band(whole, analyse, tmp_path, out):
    description = tmp_path / "dataset.yaml"
    description.write_text(
        "recordings: season\nclasses: [noise, anemonefish, biological]\ntarget_class: anemonefish\n"
        "group: '(\\w+)'\nsplit: {by: time}\n"
    )
    path = sorted((whole[0] / "north reef").glob("*.wav"))[0]
    archive = analyse([path], out("a"), dataset=description)
    bands = archive.provenance["noise"]["calls_hz"]
    assert bands["anemonefish"] == [300, 1000]
    levels = archive.hours.set_index("class")["noise_db"]
    with open_recording(path) as recording:
        found = measure_minutes(recording, bands_hz={name: tuple(band) for name, band in bands.items()}).bands
    for name, level in found.items():
        assert levels[name] == pytest.approx(level[0] - SINE_DB, abs=0.01)
