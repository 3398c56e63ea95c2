"""Readers of annotations: tables as Raven, Audacity, BirdNET, opensoundscape and spreadsheets write them."""

import json

import pytest

from anemone_lib.detection.events import Annotation
from anemone_lib.errors import AnnotationError
from anemone_lib.tables.reading import read_annotations, read_table
from tests.conftest import shared

RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


# ---------------------------------------------------------------------- Raven


def test_a_raven_table_gives_times_band_and_label(table):
    path = table(
        f"{RAVEN}\tSpecies\tdistance\n1\tSpectrogram 1\t1\t1.897648165999982\t4.11\t1326.3\t3266.5\tWOTH\tfar\n"
    )
    assert read_annotations(path) == [Annotation(1.897648165999982, 4.11, "WOTH", 1326.3, 3266.5)]


def test_real_raven_tables_are_read():
    folder = shared("annotations")
    birds = read_annotations(folder / "MSD-0003_20180427_2minstart00.Table.1.selections.txt")
    assert len(birds) == 10
    assert birds[0] == Annotation(1.897648165999982, 4.110570810999974, "WOTH", 1326.3, 3266.5)
    assert birds[9].label == ""  # nobody named this one
    assert read_annotations(folder / "EmptyExample.Table.1.selections.txt") == []


def test_the_raven_and_audacity_labels_of_a_reef_clip_agree():
    folder = shared("recordings") / "reef"
    stem = "SanctSound_FK01_04_soundscape_20200411T022449Z"
    raven = read_annotations(folder / f"{stem}.Table.1.selections.txt")
    audacity = read_annotations(folder / f"{stem}.audacity.txt")
    assert [(a.start_time, a.end_time, a.label) for a in raven] == [
        (0.81, 1.25, "pulse_train_faint"),
        (2.4, 2.92, "pulse_train"),
        (3.04, 3.17, "pulse_train_faint"),
        (4.03, 4.39, "pulse_train"),
    ]
    assert [(a.start_time, a.end_time, a.label) for a in audacity] == [
        (a.start_time, a.end_time, a.label) for a in raven
    ]


def test_a_raven_table_with_nothing_but_its_header_has_no_annotations(table):
    assert read_annotations(table(f"{RAVEN}\tSpecies\t\n")) == []


@pytest.mark.parametrize("first", ["Waveform 1", "Spectrogram 1"])
def test_a_selection_shown_in_two_views_counts_once_with_the_band_of_the_spectrogram(table, first):
    rows = {
        "Waveform 1": "1\tWaveform 1\t1\t0.5\t0.9\t0.0\t24000.0\tcall\n",
        "Spectrogram 1": "1\tSpectrogram 1\t1\t0.5\t0.9\t300.0\t900.0\tcall\n",
    }
    rows = [rows.pop(first), *rows.values()]
    path = table(f"{RAVEN}\tAnnotation\n{''.join(rows)}2\tSpectrogram 1\t1\t0.5\t0.9\t300.0\t900.0\tcall\n")
    assert read_annotations(path) == [Annotation(0.5, 0.9, "call", 300, 900)] * 2


def test_two_selections_of_the_same_number_at_different_times_are_two(table):
    path = table(f"{RAVEN}\n1\tWaveform 1\t1\t0.5\t0.9\t\t\n1\tSpectrogram 1\t1\t7.5\t7.9\t\t\n")
    assert [a.start_time for a in read_annotations(path)] == [0.5, 7.5]


def test_a_raven_table_may_lack_frequencies_and_labels(table):
    path = table("Selection\tView\tBegin Time (s)\tEnd Time (s)\n1\tWaveform 1\t0.5\t0.9\n")
    assert read_annotations(path) == [Annotation(0.5, 0.9, "")]
    assert read_annotations(path, label="anemonefish") == [Annotation(0.5, 0.9, "anemonefish")]


def test_a_given_label_does_not_replace_one_that_is_there(table):
    path = table(f"{RAVEN}\tSpecies\n1\tSpectrogram 1\t1\t0.5\t0.9\t1\t2\tWOTH\n2\tSpectrogram 1\t1\t1.5\t1.9\t1\t2\n")
    assert [a.label for a in read_annotations(path, label="bird")] == ["WOTH", ""]
    assert [a.label for a in read_annotations(path, blank_label="bird")] == ["WOTH", "bird"]


def test_another_column_can_hold_the_labels(table):
    path = table(f"{RAVEN}\tSpecies\tBehaviour\n1\tSpectrogram 1\t1\t0.5\t0.9\t1\t2\tclarkii\tchase\n")
    assert read_annotations(path)[0].label == "clarkii"
    assert read_annotations(path, label_column="behaviour")[0].label == "chase"
    with pytest.raises(AnnotationError, match=r"no column 'Mood'; it has Selection, .*Behaviour"):
        read_annotations(path, label_column="Mood")


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("cp1252"),
    ],
    ids=["byte-order mark", "CRLF", "CR", "UTF-16", "Windows-1252"],
)
def test_a_table_is_read_however_it_was_saved(table, encode):
    path = table(encode(f"{RAVEN}\tNotes\tSpecies\n\n1\tSpectrogram 1\t1\t0.5\t0.9\t1\t2\tgöby\tÄal\n"))
    assert read_annotations(path) == [Annotation(0.5, 0.9, "Äal", 1, 2)]


def test_a_quotation_mark_in_a_raven_cell_is_a_part_of_it(table):
    path = table(
        f'{RAVEN}\tSpecies\n1\tSpectrogram 1\t1\t0.5\t0.9\t1\t2\t"pop\n2\tSpectrogram 1\t1\t1\t2\t1\t2\tgrunt\n'
    )
    assert [a.label for a in read_annotations(path)] == ['"pop', "grunt"]


def test_a_table_of_many_files_gives_one_recordings_times_in_that_recording(table):
    path = table(
        f"{RAVEN}\tBegin File\tFile Offset (s)\tSpecies\n"
        "1\tSpectrogram 1\t1\t10\t11.5\t1\t2\tA_20230210_000001.WAV\t10\tpop\n"
        "2\tSpectrogram 1\t1\t70\t71.5\t1\t2\tA_20230210_000101.WAV\t10.25\tpop\n"
        "3\tSpectrogram 1\t1\t80\t80.5\t1\t2\tA_20230210_000101.WAV\t20.25\tgrunt\n"
    )
    assert [a.start_time for a in read_annotations(path)] == [10, 70, 80]
    for name in ("A_20230210_000101.WAV", "a_20230210_000101.flac", "A_20230210_000101"):
        assert read_annotations(path, recording_name=name) == [
            Annotation(10.25, 11.75, "pop", 1, 2),
            Annotation(20.25, 20.75, "grunt", 1, 2),
        ]
    assert read_annotations(path, recording_name="B.wav") == []


def test_raven_times_that_go_on_from_file_to_file_are_not_taken_for_times_in_a_file(table):
    rows = ("1\tS 1\t1\t10\t11\t1\t2\ta.wav\tpop", "2\tS 1\t1\t70\t71\t1\t2\tb.wav\tpop")
    path = table("\n".join([f"{RAVEN}\tBegin File\tSpecies", *rows]))
    assert len(read_table(path, recording_name="a.wav").within(60).annotations) == 1
    with pytest.raises(
        AnnotationError, match=r"1 row .* after its end \(60 s\), the first at 70 s.*'File Offset \(s\)'"
    ):
        read_table(path, recording_name="b.wav").within(60)
    assert len(read_table(path, recording_name="b.wav").within(120).annotations) == 1


def test_a_label_of_several_lines_is_one_line(table):
    path = table('start,end,label\n1,2,"grunt \n  of a toadfish"\n')
    assert [a.label for a in read_annotations(path)] == ["grunt of a toadfish"]


def test_paths_of_either_kind_name_their_recording(table):
    path = table(
        "Selection\tBegin Time (s)\tEnd Time (s)\tBegin Path\tCommon Name\n"
        "1\t1\t2\tD:\\reef\\one.wav\tpop\n2\t3\t4\t/data/two.wav\tpop\n"
    )
    assert [a.start_time for a in read_annotations(path, recording_name="one.wav")] == [1]
    assert [a.start_time for a in read_annotations(path, recording_name="two")] == [3]


# ---------------------------------------------------------------------- Audacity


def test_audacity_labels_with_and_without_frequencies_are_read(table):
    path = table(
        "0.810000\t1.250000\tpulse train\n"
        "2.000000\t2.500000\t\n\\\t-1.000000\t6334.588867\n"
        "4.000000\t4.500000\tboth\n\\\t1484.669312\t2969.338523\n"
    )
    assert [a.label for a in read_annotations(path, label="fish")] == ["pulse train", "", "both"]
    assert read_annotations(path, blank_label="fish") == [
        Annotation(0.81, 1.25, "pulse train"),
        Annotation(2.0, 2.5, "fish", None, 6334.588867),
        Annotation(4.0, 4.5, "both", 1484.669312, 2969.338523),
    ]


def test_a_point_label_is_an_annotation_of_no_length(table):
    (point,) = read_annotations(table("1.000000\t1.000000\tclicked here\n\\\t600.5\t600.5\n"))
    assert point == Annotation(1.0, 1.0, "clicked here", 600.5, 600.5)


def test_an_export_of_no_audacity_labels_is_empty(table):
    assert read_annotations(table("", "labels.txt")) == []


# ---------------------------------------------------------------------- CSV and JSON


@pytest.mark.parametrize(
    "content",
    [
        "start,end,label\n1.5,2.25,pop\n",
        "start_time,end_time,class\n1.5,2.25,pop\n",
        "Start_Time;End_Time;Label\n1.5;2.25;pop\n",
        '"start_s","end_s","species"\n"1.5","2.25","pop"\n',
        "onset\toffset\tevent_label\n1.5\t2.25\tpop\n",
        # opensoundscape, BoxedAnnotations.to_csv
        "audio_file,annotation_file,annotation,start_time,end_time,low_f,high_f\nreef.wav,reef.txt,pop,1.5,2.25,,\n",
        # BirdNET-Analyzer, --rtype csv
        "Start (s),End (s),Scientific name,Common name,Confidence,File\n1.5,2.25,A. clarkii,pop,0.9,/a/reef.wav\n",
    ],
)
def test_the_usual_names_of_csv_columns_are_known(table, content):
    assert read_annotations(table(content, "reef.csv"))[0] == Annotation(1.5, 2.25, "pop")


def test_a_csv_of_several_recordings_wants_to_know_which(table):
    path = table("file,start,end,label\na.wav,1,2,pop\nb.wav,1,3,pop\n", "all.csv")
    with pytest.raises(AnnotationError, match=r"2 recordings \(a\.wav, b\.wav.*recording_name"):
        read_annotations(path)
    assert read_annotations(path, recording_name="b.wav") == [Annotation(1, 3, "pop")]


def test_the_events_of_a_json_result_are_read_as_detections(table):
    event = {"id": "abc", "class": "anemonefish", "start_time": 1.5, "end_time": 2, "duration": 0.5}
    path = table(json.dumps({"predictions": [], "events": [event], "metadata": {}}), "reef.json")
    assert read_annotations(path, detections=True) == [Annotation(1.5, 2.0, "anemonefish", id="abc")]


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (
            f"{RAVEN}\n1\tSpectrogram 1\t1\t0,5\t0,9\t1\t2\n",
            "a.txt",
            r"a\.txt, line 2: Begin Time \(s\) is '0,5'.*comma",
        ),
        (f"{RAVEN}\n\n1\tWaveform 1\t1\t0.5\tsoon\t1\t2\n", "a.txt", r"line 3: End Time \(s\) is 'soon'.*like 12\.5"),
        (f"{RAVEN}\n1\tWaveform 1\t1\t\t1\t1\t2\n", "a.txt", r"line 2: Begin Time \(s\) is ''"),
        (f"{RAVEN}\n1\tWaveform 1\t1\tnan\t1\t1\t2\n", "a.txt", r"Begin Time \(s\) is 'nan'"),
        (f"{RAVEN}\n1\tWaveform 1\t1\t0.5\t1e999\t1\t2\n", "a.txt", r"End Time \(s\) is '1e999'"),
        (f"{RAVEN}\n1\tWaveform 1\t1\t2\t1\t1\t2\n", "a.txt", r"line 2: ends at 1\.0 s, before its start at 2\.0 s"),
        (f"{RAVEN}\n1\tWaveform 1\t1\t-2\t1\t1\t2\n", "a.txt", r"line 2: starts at -2\.0 s"),
        (f"{RAVEN}\n1\tWaveform 1\t1\t1\t2\t900\t300\n", "a.txt", r"line 2: 900\.0 to 300\.0 Hz is no band"),
        ("start,end,label\n0,5,0,9,pop\n", "a.csv", r"line 2: 5 cells for 3 columns"),
        ("a\tb\n1\t2\n", "a.txt", r"no table of annotations: its first line is 'a, b'.*'Begin Time \(s\)'"),
        ("Selection\tBegin Time (s)\n1\t2\n", "a.txt", r"'Selection, Begin Time \(s\)'; it must name"),
        ("", "a.csv", r"a\.csv is no table of annotations: its first line is 'nothing'"),
        ("start,end,label\n0:01,0:02.5,pop\n", "a.csv", r"line 2: start is '0:01'; times must be seconds"),
        ("0,5\t0,9\tpop\n", "a.txt", r"line 1: start is '0,5'.*decimal point"),
        ("0.5\t0.4\tpop\n", "a.txt", r"line 1: ends at 0\.4 s, before"),
        ("0.5\t0.6\tpop\n\nhere\t0.7\tpop\n", "a.txt", r"line 3: start is 'here'"),
        ("0.5\t0.6\tpop\nhere\n", "a.txt", r"line 2: 'here' is no label"),
        ("0.5\t0.6\tpop\n\\\t1\t2\n\\\t1\t2\n", "a.txt", r"line 3: the frequencies .* follow no label"),
        ('{"events": [{"start_time": 1}]}', "a.json", r"a\.json is not a result of this program.*end_time"),
        ("[1", "a.json", r"a\.json is not a result of this program"),
        (b"RIFF\x24\x00\x00\x00WAVE", "a.txt", r"a\.txt is not a text file"),
    ],
)
def test_what_cannot_be_understood_is_an_error_that_names_file_line_and_value(table, content, name, message):
    with pytest.raises(AnnotationError, match=message):
        read_annotations(table(content, name))


def test_a_missing_file_is_an_annotation_error(tmp_path):
    with pytest.raises(AnnotationError, match=r"cannot read the table .*none\.txt: No such file"):
        read_annotations(tmp_path / "none.txt")
