"""Months of which nothing changed are not read again, and the tables have the bytes of a run that read everything."""

import shutil

import pytest

from anemone_lib.archive import assembling as assembling_module
from anemone_lib.archive import report_archive
from anemone_lib.archive.tables import VERDICTS_NAME
from anemone_lib.errors import AnnotationError
from anemone_lib.tables.verdicts import Verdict, write_verdicts

NORTH, SOUTH = "events.parquet/north reef/2023-02.parquet", "minutes.parquet/south/2023-02.parquet"


@pytest.fixture
def again(whole, out):
    """A season, a copy of its archive, and the bytes of its tables."""
    folder, archive, expected = whole
    shutil.copytree(archive, out("again"))
    return folder, out("again"), expected


@pytest.fixture
def read(monkeypatch):
    """The names of the scores that are read for the tables."""
    names = []

    class Counted(assembling_module.Scores):
        @classmethod
        def load(cls, path, **options):
            names.append(path.stem)
            return super().load(path, **options)

    monkeypatch.setattr(assembling_module, "Scores", Counted)
    return names


def test_where_nothing_changed_nothing_is_read(again, read, analyse, tables_of):
    folder, place, expected = again
    analyse([folder], place)
    assert read == []
    assert tables_of(place) == expected


def test_a_new_recording_costs_its_month_and_no_other(make_season, read, analyse, out, tables_of):
    folder = make_season(24)
    one = folder / "north reef" / "20230227_225000.WAV"
    content = one.read_bytes()
    one.unlink()
    analyse([folder], out("a"))
    read.clear()
    (folder / "north reef" / "20230301_060000.WAV").write_bytes(content)
    analyse([folder], out("a"))
    assert len(read) == 1
    one.write_bytes(content)  # a copy now, in another month
    analyse([folder], out("a"))
    assert 3 < len(read) < 15
    analyse([folder], out("b"))
    assert tables_of(out("a")) == tables_of(out("b"))


@pytest.mark.parametrize("name", [NORTH, SOUTH, "effort.parquet/south/2023-02.parquet"])
@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PAR1")])
def test_a_file_that_is_lost_or_damaged_is_written_anew(again, read, analyse, tables_of, name, spoil):
    _, place, expected = again
    spoil(place / name)
    report_archive(place)
    assert 0 < len(read) < 20  # those of one site
    assert tables_of(place) == expected


def test_lost_levels_of_a_month_are_taken_from_those_of_the_recordings(again, read, analyse, tables_of):
    folder, place, expected = again
    shutil.rmtree(place / "state" / "levels")
    analyse([folder], place)
    assert len(read) > 20
    assert tables_of(place) == expected


def test_a_table_of_verdicts_that_cannot_be_read_is_said_before_a_run(again, read, analyse):
    folder, place, _ = again
    (place / VERDICTS_NAME).write_text("event_id\n1\n")
    with pytest.raises(AnnotationError, match=r"verdicts\.csv has no column recording"):
        analyse([folder], place)
    assert read == []


def test_new_verdicts_are_in_the_events_without_reading_their_recordings(again, read, tables_of):
    _, place, _ = again
    events = report_archive(place, settings={"confidence_threshold": 0.0}).events
    read.clear()
    verdict = Verdict(events["id"].iloc[0], events["recording"].iloc[0], 0.0, 1.0, "anemonefish", True, 0.9)
    write_verdicts(place / VERDICTS_NAME, [verdict])
    archive = report_archive(place)
    assert read == []
    assert archive.events["verdict"].dropna().tolist() == [verdict.label]
    kept = tables_of(place)
    shutil.rmtree(place / "events.parquet")
    report_archive(place)
    assert tables_of(place) == kept
    (place / VERDICTS_NAME).unlink()
    assert report_archive(place).events["verdict"].isna().all()


def test_a_month_and_a_site_that_are_no_more_leave_nothing(again, analyse, tables_of):
    folder, place, _ = again
    analyse([folder / "north reef"], place)
    assert not any("south" in name for name in tables_of(place))
    assert not (place / "state" / "levels" / "south").exists()


def test_without_noise_no_levels_are_kept_and_with_it_again_they_are(again, analyse, tables_of):
    folder, place, expected = again
    analyse([folder], place, noise=False)
    assert not (place / "minutes.parquet").exists() or not list((place / "minutes.parquet").iterdir())
    assert not list((place / "state" / "levels").iterdir())
    analyse([folder], place)
    assert tables_of(place) == expected
