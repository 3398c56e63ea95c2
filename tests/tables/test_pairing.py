"""Which table belongs to which recording, which one counts, and what is left out."""

import unicodedata

import pytest

from anemone_lib.errors import AnnotationError
from anemone_lib.tables.pairing import pair_tables

RAVEN = "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\t0.5\t0.9\tpop\n"
DETECTED = "id,class,start_time_s,end_time_s,Detected By\na,pop,1,2,anemone 0.2 #0123456789ab\n"
BIRDNET = "Start (s),End (s),Scientific name,Common name,Confidence,File\n3.0,6.0,A. c.,pop,0.9,reef.wav\n"


@pytest.fixture
def season(tmp_path):
    """Make files of a folder; return it."""

    def write(files):
        for name, content in files.items():
            path = tmp_path / "season" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path / "season"

    return write


def pairs_of(folder, **options):
    return [(file.name, file.table.name) for file in pair_tables(folder, **options)]


def test_a_table_belongs_to_the_recording_whose_name_it_begins_with(season):
    folder = season(
        {"reef.wav": "", "reef.1.wav": "", "reef.Table.1.selections.txt": RAVEN, "reef.1.csv": "start,end,label\n"}
    )
    assert pairs_of(folder) == [("reef.1.wav", "reef.1.csv"), ("reef.wav", "reef.Table.1.selections.txt")]


def test_recordings_and_tables_are_found_in_folders_below_and_stay_apart(season, tmp_path):
    files = {
        f"{site}/reef{suffix}": text for site in "ab" for suffix, text in ((".wav", ""), (".selections.txt", RAVEN))
    }
    folder = season(files)
    assert [(f.name, f.table.parent.name) for f in pair_tables(folder)] == [("a/reef.wav", "a"), ("b/reef.wav", "b")]


def test_tables_may_lie_in_the_same_folders_elsewhere_or_in_one_folder(season, tmp_path):
    folder = season({"a/one.wav": "", "b/two.wav": "", "../tables/a/one.csv": RAVEN, "../flat/one.csv": RAVEN})
    assert pairs_of(folder, annotations=tmp_path / "tables") == [("a/one.wav", "one.csv")]
    assert pairs_of(folder, annotations=tmp_path / "flat") == [("a/one.wav", "one.csv")]
    season({"top.wav": "", "../flat/top.csv": RAVEN})
    assert pairs_of(folder, annotations=tmp_path / "flat") == [("a/one.wav", "one.csv"), ("top.wav", "top.csv")]
    season({"c/one.wav": ""})  # of which one is one.csv?
    assert pairs_of(folder, annotations=tmp_path / "flat") == [("top.wav", "top.csv")]


def test_a_pair_is_a_recording_and_its_table(season):
    folder = season({"reef.wav": "", "reef.csv": RAVEN})
    ((recording, table),) = pair_tables(folder)
    assert (recording, table) == (folder / "reef.wav", folder / "reef.csv")


def test_what_was_detected_never_counts_and_that_is_said(season):
    folder = season(
        {"reef.wav": "", "reef.Table.1.selections.txt": DETECTED, "reef.csv": DETECTED, "reef.txt": "1\t2\tpop\n"}
    )
    annotated = pair_tables(folder)
    assert pairs_of(folder) == [("reef.wav", "reef.txt")]
    assert annotated.notes == (
        "2 tables with detections by anemone skipped: they are no annotations (reef.Table.1.selections.txt, reef.csv)",
    )


def test_with_nothing_but_detections_there_is_no_table(season):
    annotated = pair_tables(season({"reef.wav": "", "reef.events.csv": DETECTED}))
    assert len(annotated) == 0
    assert annotated.notes[1] == "1 recording without a table left out (reef.wav)"


def test_the_table_of_a_person_counts_before_that_of_a_program(season):
    folder = season({"reef.wav": "", "reef.BirdNET.selections.txt": BIRDNET, "reef.txt": "1\t2\tpop\n"})
    annotated = pair_tables(folder)
    assert annotated[0].table.name == "reef.txt"
    assert annotated.notes == (
        "1 recording with several tables, of which one counts: reef.txt before reef.BirdNET.selections.txt; "
        "put their rows into one table if all of them are annotations",
    )
    (folder / "reef.txt").unlink()
    assert pairs_of(folder) == [("reef.wav", "reef.BirdNET.selections.txt")]


def test_ravens_own_names_come_first(season):
    names = [
        "reef.csv",
        "reef.txt",
        "reef.selections.txt",
        "reef.Table.2.selections.txt",
        "reef.Table.1.selections.txt",
    ]
    folder = season({"reef.wav": "", **dict.fromkeys(names, RAVEN)})
    for name in reversed(names[2:]):
        assert pairs_of(folder) == [("reef.wav", name)]
        (folder / name).unlink()


def test_accents_match_however_they_are_encoded(season):
    names = [unicodedata.normalize(form, "réef") for form in ("NFC", "NFD")]
    assert len(pair_tables(season({f"{names[0]}.wav": "", f"{names[1]}.csv": RAVEN}))) == 1


def test_recordings_without_a_table_and_tables_without_a_recording_are_counted(season):
    folder = season({"a.wav": "", "b.wav": "", "b.csv": RAVEN, "c.selections.txt": RAVEN, "notes.txt": "calm sea"})
    assert pair_tables(folder).notes == (
        "1 table of no recording here (c.selections.txt)",
        "1 recording without a table left out (a.wav)",
    )


def test_one_table_of_many_recordings_is_that_of_those_it_names(season):
    folder = season(
        {
            **dict.fromkeys(("a/reef.wav", "b/reef.wav", "c.wav"), ""),
            "../all.csv": "file,start,end,label\na/reef.wav,1,2,pop\nc.wav,1,2,pop\nelsewhere.wav,1,2,pop\n",
        }
    )
    annotated = pair_tables(folder, annotations=folder.parent / "all.csv")
    assert [file.name for file in annotated] == ["a/reef.wav", "c.wav"]
    assert "1 recording without a table left out (b/reef.wav)" in annotated.notes


def test_a_table_of_detections_that_is_named_itself_is_an_error(season):
    folder = season({"reef.wav": "", "../all.csv": DETECTED})
    with pytest.raises(AnnotationError, match="has detections by anemone"):
        pair_tables(folder, annotations=folder.parent / "all.csv")


def test_json_beside_a_recording_that_is_no_table_is_left_alone(season):
    folder = season({"reef.wav": "", "reef.json": '{"gain": 2}', "reef.csv": RAVEN})
    assert pair_tables(folder).notes == ()
    assert pairs_of(folder) == [("reef.wav", "reef.csv")]


@pytest.mark.parametrize("missing", ["folder", "tables"])
def test_a_folder_that_is_not_there_is_an_error(season, missing):
    folder = season({"reef.wav": ""})
    with pytest.raises(AnnotationError, match="is no folder"):
        pair_tables(folder / "x") if missing == "folder" else pair_tables(folder, annotations=folder / "x")


def test_a_table_of_many_recordings_among_them_is_that_of_those_without_one_of_their_own(season):
    folder = season(
        {
            **dict.fromkeys(("a/reef.wav", "b.wav", "c.wav", "d.wav"), ""),
            "all.csv": "Begin File,start,end,Laut\na/reef.wav,1,2,pop\nb.wav,1,2,pop\nc.wav,1,2,pop\n",
            "c.csv": RAVEN,
        }
    )
    assert pairs_of(folder) == [("a/reef.wav", "all.csv"), ("b.wav", "all.csv"), ("c.wav", "c.csv")]
    assert pair_tables(folder).notes == ("1 recording without a table left out (d.wav)",)


def test_a_table_that_does_not_say_which_of_two_recordings_it_means_is_that_of_none(season):
    folder = season({"a/reef.wav": "", "b/reef.wav": "", "all.csv": "file,start,end,label\nreef.wav,1,2,pop\n"})
    annotated = pair_tables(folder)
    assert len(annotated) == 0
    assert annotated.notes[0] == "all.csv does not say which of a/reef.wav, b/reef.wav it means: left out"


def test_a_workbook_is_left_out_and_named(tmp_path):
    for name in ("reef.wav", "reef.xlsx", "~$reef.xlsx"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "reef.csv").write_text("start,end,label\n1,2,pop\n")
    annotated = pair_tables(tmp_path)
    assert [file.table.name for file in annotated] == ["reef.csv"]
    assert annotated.notes == ("1 workbook left out (reef.xlsx): save as CSV to be read",)
