import csv
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from anemone_lib.errors import AnnotationError
from anemone_lib.tables.pairing import pair_tables
from anemone_lib.tables.verdicts import Verdict, is_verdicts, read_verdicts, write_verdicts

ROWS = [
    Verdict("e1", "north, deep/reef.wav", 1.25, 4.0, "anemonefish", True, 0.94, reviewer="Ana", model_sha256="0" * 64),
    Verdict("w1", "south/reef.wav", 0.0, 1.0, "not anemonefish", False, 0.02, "window"),
]


def test_verdicts_are_read_as_they_were_written(tmp_path):
    path = write_verdicts(tmp_path / "verdicts.csv", ROWS)
    assert read_verdicts(path) == ROWS
    assert path.read_text().splitlines()[0] == (
        "event_id,recording,start_time,end_time,label,is_call,confidence,kind,reviewer,model_sha256"
    )


def test_a_table_that_excel_saved_is_read(tmp_path):
    path = write_verdicts(tmp_path / "verdicts.csv", ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_verdicts(path) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_of_any_spreadsheet_is_read_and_known(tmp_path, separator, encoding):
    rows = [replace(row, recording=row.recording.replace("reef", "récif")) for row in ROWS]
    path = write_verdicts(tmp_path / "verdicts.csv", rows)
    cells = list(csv.reader(path.read_text().splitlines()))
    lines = [separator.join(row) for row in [*cells, [""] * len(cells[0])]]
    path.write_text("\n".join(["sep=;", *lines] if separator == ";" else lines), encoding)
    assert read_verdicts(path) == rows
    assert is_verdicts(path)


@pytest.mark.parametrize("number", ["1.23457E+11", "123E+45", "1,2E+34", "123456789", "0"])
def test_an_id_that_a_spreadsheet_took_for_a_number_is_said_with_its_line(tmp_path, number):
    path = write_verdicts(tmp_path / "verdicts.csv", ROWS)
    path.write_text(path.read_text().replace("w1,", f'"{number}",'))
    with pytest.raises(AnnotationError, match=r"verdicts\.csv, line 3: event_id is .*with the column event_id as text"):
        read_verdicts(path)


@pytest.mark.parametrize("name", ["123456789012", "12345678e123", "e1"])
def test_ids_of_digits_that_are_whole_are_read(tmp_path, name):
    rows = [replace(ROWS[0], event_id=name)]
    assert read_verdicts(write_verdicts(tmp_path / "verdicts.csv", rows)) == rows


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("is_call", "call?", "no column is_call"),
        ("0.94", "very", "line 2: start_time, end_time and confidence must be numbers"),
        ("0.94", "1.94", "line 2: 1.25 to 4 s with confidence 1.94"),
        ("yes", "maybe", "is_call 'maybe'"),
    ],
)
def test_a_table_that_says_what_cannot_be_is_refused(tmp_path, old, new, words):
    path = write_verdicts(tmp_path / "verdicts.csv", ROWS)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(AnnotationError, match=words.replace("?", r"\?")):
        read_verdicts(path)


def test_no_table_is_said(tmp_path):
    with pytest.raises(AnnotationError, match="cannot read the table"):
        read_verdicts(tmp_path / "none.csv")


def test_verdicts_are_never_taken_for_annotations_of_whole_recordings(tmp_path):
    soundfile.write(tmp_path / "reef.wav", np.zeros(8000), 8000)
    path = write_verdicts(tmp_path / "verdicts.csv", ROWS)
    found = pair_tables(tmp_path)
    assert len(found) == 0
    assert "1 table of verdicts skipped" in found.notes[0]
    with pytest.raises(AnnotationError, match=r"name it as verdicts in dataset\.yaml"):
        pair_tables(tmp_path, annotations=path)
