"""Tables of other programs, and of other recordings."""

import json
import sys
import unicodedata
from datetime import UTC, datetime

import pytest

from anemone_lib.errors import AnnotationError
from anemone_lib.tables.reading import is_detection, read_annotations, read_table
from anemone_lib.tables.table import AnnotationTable

OTHER = "filepath,start,end,common_name,confidence\n/x/other.wav,2,5,anemonefish,0.9\n"


def times_of(path, **options):
    return [(a.start_time, a.end_time, a.label) for a in read_annotations(path, **options)]


@pytest.mark.parametrize("column", ["filepath", "Begin File", "Begin Path", "IN FILE", "file", "audio_file", "path"])
def test_rows_of_other_recordings_are_counted_and_left_out(table, column):
    path = table(
        f"{column},start,end,label\n/x/other.wav,2,5,pop\n/x/reef.wav,1,2,pop\n/x/other.wav,7,8,pop\n", "all.csv"
    )
    found = read_table(path, recording_name="reef.wav")
    assert [(a.start_time, a.end_time) for a in found.annotations] == [(1, 2)]
    assert found.other_recordings == {"other.wav": 2}
    assert found.notes == ("2 rows of all.csv are of other recordings (other.wav)",)


def test_a_table_of_another_recording_has_no_annotation_of_this_one(table):
    assert read_annotations(table(OTHER, "reef.csv"), recording_name="reef.wav") == []


@pytest.mark.parametrize("row", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["NFC", "NFD"])
def test_accents_are_the_same_however_they_are_encoded(table, row, name):
    row, name = (unicodedata.normalize(form, "Récif_Été.wav") for form in (row, name))
    path = table(f"file,start,end,label\n{row},1,2,pop\nx.wav,1,2,pop\n", "all.csv")
    assert len(read_annotations(path, recording_name=name)) == 1


def test_recordings_of_one_name_in_two_folders_stay_apart(table):
    path = table("file,start,end,label\nsite a/reef.wav,1,2,pop\nsite b\\reef.wav,3,4,pop\n", "all.csv")
    assert times_of(path, recording_name="site a/reef.wav") == [(1, 2, "pop")]
    assert times_of(path, recording_name="/data/site b/reef.wav") == [(3, 4, "pop")]
    assert times_of(path, recording_name="site c/reef.wav") == []
    with pytest.raises(AnnotationError, match="2 folders .*enough of its folders"):
        read_annotations(path, recording_name="reef.wav")


def test_names_that_differ_in_a_number_are_two_recordings(table):
    path = table("file,start,end,label\nsite.1,1,2,pop\nsite.2,3,4,pop\n", "all.csv")
    assert times_of(path, recording_name="site.2.wav") == [(3, 4, "pop")]


def test_rows_past_the_end_are_left_out_and_counted(table):
    path = table("start,end,label\n1,2,pop\n59,61,pop\n60,61,pop\n75,76,pop\n", "reef.csv")
    found = read_table(path).within(60)
    assert [(a.start_time, a.end_time) for a in found.annotations] == [(1, 2), (59, 60)]
    assert found.notes == (
        "2 rows of reef.csv start after the end of the recording (60 s) and were left out: the first at 60 s",
        "1 row of reef.csv ends after the end of the recording (60 s) and was cut there",
    )


def test_an_end_that_was_rounded_up_is_not_remarked_on(table):
    found = read_table(table("start,end,label\n1,60.0004,pop\n", "reef.csv")).within(60)
    assert (found.annotations[0].end_time, found.notes) == (60, ())


KALEIDOSCOPE = (
    "INDIR,OUTDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,Fmin,Fmax,AUTO ID*,MANUAL ID\n"
    "D:\\in,,site 1,reef.wav,0,12.5,0.75,200,900,NoID,anemonefish\n"
    "D:\\in,,site 1,reef.wav,0,30,1,200,900,NoID,\n"
    "D:\\in,,site 1,other.wav,0,3,1,200,900,NoID,grouper\n"
)


def test_kaleidoscope_gives_an_offset_and_a_duration(table):
    path = table(KALEIDOSCOPE, "id.csv")
    found = read_table(path, recording_name="reef.wav", label="anemonefish")
    assert [(a.start_time, a.end_time, a.label) for a in found.annotations] == [
        (12.5, 13.25, "anemonefish"),
        (30, 31, ""),
    ]
    assert (found.annotations[0].low_hz, found.annotations[0].high_hz) == (200, 900)
    assert found.format == "Kaleidoscope CSV"
    assert "1 row of id.csv is of other recordings (other.wav)" in found.notes


def test_kaleidoscope_names_the_folder_beside_the_file(table):
    path = table(KALEIDOSCOPE.replace("site 1,other.wav", "site 2,reef.wav"), "id.csv")
    assert len(read_annotations(path, recording_name="site 1/reef.wav")) == 2
    assert [a.label for a in read_annotations(path, recording_name="site 2/reef.wav")] == ["grouper"]


def test_what_kaleidoscope_decided_itself_is_no_label_of_a_person(table):
    text = KALEIDOSCOPE.replace("anemonefish", "").replace("grouper", "").replace("NoID", "AMPCLA")
    path = table(text, "id.csv")
    assert {a.label for a in read_annotations(path, recording_name="reef.wav", label="anemonefish")} == {""}
    found = read_table(path, recording_name="reef.wav", label_column="AUTO ID*")
    assert (found.labels, found.made_by) == ({"AMPCLA": 2}, "Kaleidoscope")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (
            "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tCommon Name\t"
            "Species Code\tConfidence\tBegin Path\tFile Offset (s)\n"
            "1\tSpectrogram 1\t1\t3.0\t6.0\t0\t15000\tpop\tpop1\t0.9\t/a/reef.wav\t3.0\n",
            "reef.BirdNET.selection.table.txt",
        ),
        ("Start (s),End (s),Scientific name,Common name,Confidence,File\n3.0,6.0,A. c.,pop,0.9,/a/reef.wav\n", "b.csv"),
        (
            "filepath,start,end,scientific_name,common_name,confidence,lat,lon,week\n"
            "/a/reef.wav,3,6,A. c.,pop,0.9,,,\n",
            "r.csv",
        ),
        (
            "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,lat,lon,date\n"
            ",,reef.wav,3,3,A. c.,pop,,,\n",
            "k.csv",
        ),
    ],
)
def test_birdnet_is_read_in_all_its_spellings(table, content, name):
    path = table(content, name)
    assert times_of(path, recording_name="reef.wav") == [(3, 6, "pop")]
    assert read_table(path, recording_name="reef.wav").made_by in ("BirdNET", "Kaleidoscope")


PAMGUARD = (
    "Id,UID,UTC,UTCMilliseconds,PCLocalTime,ChannelBitmap,duration,lowFreq,highFreq,label\n"
    "1,1001,2023-02-10 00:00:46,200,2023-02-10 09:00:46,1,1.5,300.0,900.0,anemonefish\n"
    "2,1002,2023-02-09 23:59:46,0,2023-02-10 08:59:46,1,1.5,300.0,900.0,anemonefish\n"
)


def test_a_pamguard_export_counts_from_when_the_recording_began(table):
    path = table(PAMGUARD, "pamguard.csv")
    found = read_table(path, start_time=datetime(2023, 2, 10, 0, 0, 1, tzinfo=UTC))
    (annotation,) = found.annotations
    assert (annotation.start_time, annotation.end_time, annotation.label) == (45.2, 46.7, "anemonefish")
    assert (annotation.low_hz, annotation.high_hz) == (300, 900)
    assert "1 row of pamguard.csv began before the recording and was left out" in found.notes


def test_a_pamguard_export_is_refused_where_nobody_knows_when_the_recording_began(table):
    with pytest.raises(AnnotationError, match=r"PAMGuard export.*give start_time"):
        read_annotations(table(PAMGUARD, "pamguard.csv"))


def test_a_workbook_is_refused_with_the_way_out(table):
    with pytest.raises(AnnotationError, match="save it there as CSV"):
        read_annotations(table(b"PK\x03\x04\x14\0\0\0", "calls.xlsx"))


AOEF = {
    "version": "1.1.0",
    "created_on": "2024-01-01T00:00:00",
    "data": {
        "uuid": "b1e5b1a6-3f3f-4b8e-9a57-0a5b2a5a0001",
        "collection_type": "annotation_set",
        "created_on": "2024-01-01T00:00:00",
        "recordings": [
            {
                "uuid": "b1e5b1a6-3f3f-4b8e-9a57-0a5b2a5a0002",
                "path": "reef.wav",
                "duration": 60.0,
                "channels": 1,
                "samplerate": 48000,
            }
        ],
        "clips": [
            {
                "uuid": "b1e5b1a6-3f3f-4b8e-9a57-0a5b2a5a0003",
                "recording": "b1e5b1a6-3f3f-4b8e-9a57-0a5b2a5a0002",
                "start_time": 0.0,
                "end_time": 60.0,
            }
        ],
        "tags": [{"id": 0, "key": "species", "value": "anemonefish"}],
        "sound_events": [
            {
                "uuid": "b1e5b1a6-3f3f-4b8e-9a57-0a5b2a5a0004",
                "recording": "b1e5b1a6-3f3f-4b8e-9a57-0a5b2a5a0002",
                "geometry": {"type": "BoundingBox", "coordinates": [1.5, 300.0, 2.25, 900.0]},
            }
        ],
        "sound_event_annotations": [
            {
                "uuid": "b1e5b1a6-3f3f-4b8e-9a57-0a5b2a5a0005",
                "sound_event": "b1e5b1a6-3f3f-4b8e-9a57-0a5b2a5a0004",
                "tags": [0],
            }
        ],
        "clip_annotations": [
            {
                "uuid": "b1e5b1a6-3f3f-4b8e-9a57-0a5b2a5a0006",
                "clip": "b1e5b1a6-3f3f-4b8e-9a57-0a5b2a5a0003",
                "sound_events": ["b1e5b1a6-3f3f-4b8e-9a57-0a5b2a5a0005"],
            }
        ],
    },
}


def test_aoef_is_read_by_its_own_package(table):
    pytest.importorskip("soundevent", reason="needs the package soundevent, an extra")
    path = table(json.dumps(AOEF), "whombat.json")
    (annotation,) = read_annotations(path, recording_name="reef.wav")
    assert (annotation.start_time, annotation.end_time, annotation.label) == (1.5, 2.25, "anemonefish")
    assert (annotation.low_hz, annotation.high_hz) == (300, 900)
    assert read_table(path, recording_name="other.wav").other_recordings == {"reef.wav": 1}


def test_aoef_is_refused_with_the_command_where_its_package_is_missing(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundevent.io", None)
    with pytest.raises(AnnotationError, match=r"AOEF.*pip install 'anemone-lib\[aoef\]'"):
        read_annotations(table(json.dumps(AOEF), "whombat.json"))


def test_a_table_says_how_often_each_label_is_there(table):
    assert read_table(table("start,end,label\n1,2,pop\n3,4,pop\n5,6,x\n", "a.csv")).labels == {"pop": 2, "x": 1}


# ---------------------------------------------------------------------- what the detector found is no truth


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("recording,id,class,start_time_s,end_time_s,Detected By\n", "none.csv"),
        ("id,class,start_time_s,end_time_s,Detected By\na,pop,1,2,anemone 0.2\n", "reef.csv"),
        (
            "id,class,start_time_s,end_time_s,mean_confidence,max_confidence,num_windows\na,pop,1,2,0.9,0.9,3\n",
            "old.csv",
        ),
        ("0.0\t0.0\tdetected by anemone 0.2\n1.5\t2\tpop\n", "reef.txt"),
        ('{"events": [{"class": "pop", "start_time": 1, "end_time": 2}]}', "reef.json"),
    ],
)
def test_what_was_detected_is_refused_as_truth_whatever_the_file_is_called(table, content, name):
    path = table(content, name)
    assert is_detection(path)
    with pytest.raises(AnnotationError, match=r"has detections by anemone, not annotations by a person"):
        read_annotations(path)
    assert isinstance(read_table(path, detections=True), AnnotationTable)


def test_the_table_of_a_person_is_no_detection(table):
    assert not is_detection(table("start,end,label\n1,2,pop\n", "a.csv"))
    assert not is_detection(table("no table at all", "b.txt"))
    # a review of detections keeps their names, not their confidences
    assert not is_detection(
        table("id,class,start_time_s,end_time_s,mean_confidence,num_windows\na,pop,1,2,,\n", "c.csv")
    )


@pytest.mark.parametrize("before", ["sep=,\n", "# made by hand\n# on 3 May\n"])
def test_remarks_before_the_header_are_passed_over(table, before):
    path = table(f"{before}start,end,label\n1,soon,pop\n", "a.csv")
    with pytest.raises(AnnotationError, match=f"line {before.count(chr(10)) + 2}: end is 'soon'"):
        read_annotations(path)


@pytest.mark.parametrize(
    ("kind", "coordinates", "bounds"),
    [
        ("TimeStamp", 1.5, (1.5, 1.5, None, None)),
        ("TimeInterval", [1.5, 2.25], (1.5, 2.25, None, None)),
        ("Point", [1.5, 300.0], (1.5, 1.5, 300, 300)),
        ("LineString", [[1.5, 300.0], [2.0, 900.0], [2.25, 450.0]], (1.5, 2.25, 300, 900)),
        ("Polygon", [[[1.5, 300.0], [2.25, 300.0], [2.0, 900.0]]], (1.5, 2.25, 300, 900)),
    ],
)
def test_whatever_was_drawn_in_aoef_has_a_start_an_end_and_a_band(table, kind, coordinates, bounds):
    pytest.importorskip("soundevent", reason="needs the package soundevent, an extra")
    content = json.loads(json.dumps(AOEF))
    content["data"]["sound_events"][0]["geometry"] = {"type": kind, "coordinates": coordinates}
    (found,) = read_annotations(table(json.dumps(content), "whombat.json"))
    assert (found.start_time, found.end_time, found.low_hz, found.high_hz) == bounds
