"""Which column holds the labels: known names, one-hot tables, and errors instead of guesses."""

import re

import pytest

from anemone_lib.errors import AnnotationError
from anemone_lib.tables.reading import read_annotations, read_table

RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"


def labels_of(path, **options):
    return [annotation.label for annotation in read_annotations(path, **options)]


@pytest.mark.parametrize(
    "name",
    [
        *("category", "Category", "Species", "Label", "LABEL", "Tags", "tag", "Type", "Code", "Annotation", "Class"),
        *(
            "Common Name",
            "Call Type",
            "call_type",
            "Sound Type",
            "Manual ID",
            "MANUAL ID*",
            "class_name",
            "species_code",
        ),
    ],
)
def test_the_names_that_people_give_their_label_column_are_known(table, name):
    path = table(f"{RAVEN}{name}\n1\tSpectrogram 1\t1\t1\t2\t100\t900\tlt\n2\tSpectrogram 1\t1\t3\t4\t100\t900\tm\n")
    assert labels_of(path, label="anemonefish") == ["lt", "m"]
    assert read_table(path).label_column == name


@pytest.mark.parametrize("label", [None, "anemonefish"])
def test_a_label_column_that_is_not_known_is_an_error_with_its_first_values_even_where_a_label_is_given(table, label):
    rows = "".join(
        f"{k}\tSpectrogram 1\t1\t{k}\t{k}.5\t1\t2\t{word}\n" for k, word in enumerate(("lt", "m", "lt", "x", "y"))
    )
    path = table(f"{RAVEN}Laut\n{rows}")
    with pytest.raises(AnnotationError, match=r"'Laut' \('lt', 'm', 'x', …\).*label_column \(--label-column\)"):
        read_annotations(path, label=label)
    assert labels_of(path, label_column="laut") == ["lt", "m", "lt", "x", "y"]


def test_an_empty_label_column_says_that_no_column_holds_labels(table):
    path = table(f"{RAVEN}Distance\n1\tSpectrogram 1\t1\t1\t2\t1\t2\tfar\n")
    assert labels_of(path, label="anemonefish", label_column="") == ["anemonefish"]


def test_remarks_and_measurements_are_no_labels(table):
    path = table(
        f"{RAVEN}Notes\tPeak Freq (Hz)\tBegin Clock Time\n1\tSpectrogram 1\t1\t1\t2\t1\t2\tlovely\t512.5\t10:00:01\n"
        + "".join(f"{k}\tSpectrogram 1\t1\t{k}\t{k}.5\t1\t2\t\t512.5\t10:00:0{k}\n" for k in (2, 3))
    )
    assert labels_of(path, label="anemonefish") == ["anemonefish"] * 3
    assert labels_of(path) == [""] * 3


@pytest.mark.parametrize("name", ["Notes", "Comments", "description"])
def test_a_remark_on_every_row_may_be_its_label_and_is_asked_about(table, name):
    path = table(f"{RAVEN}{name}\n1\tSpectrogram 1\t1\t1\t2\t1\t2\tboat\n2\tSpectrogram 1\t1\t3\t4\t1\t2\tfish\n")
    with pytest.raises(AnnotationError, match=f"'{name}' \\('boat', 'fish'\\)"):
        read_annotations(path, label="anemonefish")
    assert labels_of(path, label_column=name) == ["boat", "fish"]


def test_a_blank_column_gives_way_to_one_that_is_filled(table):
    path = table(f"{RAVEN}Annotation\tSpecies\n1\tSpectrogram 1\t1\t1\t2\t0\t9\t\tgrouper\n")
    assert labels_of(path, label="anemonefish") == ["grouper"]


def test_a_column_with_a_remark_here_and_there_gives_way_to_one_that_is_filled(table):
    rows = "".join(f"{k}\tSpectrogram 1\t1\t{k}\t{k}.5\t0\t9\t{'sic' * (k == 3)}\tpop\n" for k in range(1, 7))
    assert labels_of(table(f"{RAVEN}Annotation\tSpecies\n{rows}")) == ["pop"] * 6


def test_blank_labels_are_not_the_target_unless_asked_for(table):
    path = table(f"{RAVEN}Species\n1\tSpectrogram 1\t1\t1\t2\t0\t9\tWOTH\n2\tSpectrogram 1\t1\t3\t4\t0\t9\t\n")
    assert labels_of(path, label="anemonefish") == ["WOTH", ""]
    assert labels_of(path, blank_label="anemonefish") == ["WOTH", "anemonefish"]
    assert read_table(path).notes == (f"1 row of {path.name} has no label in 'Species': that is not the target",)


def test_a_cell_of_several_tags_is_several_annotations(table):
    path = table("start,end,tags\n1,2,pop;grunt\n3,4,pop\n", "a.csv")
    assert labels_of(path) == ["pop", "grunt", "pop"]


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("1.0", "0.0"), ("True", "False")])
def test_a_one_hot_table_gives_an_annotation_for_every_class_that_is_there(table, yes, no):
    path = table(
        "file,start_time,end_time,anemonefish,noise\n"
        f"reef.wav,0,3,{no},{yes}\nreef.wav,3,6,{yes},{no}\nreef.wav,6,9,{yes},{yes}\nreef.wav,9,12,{no},{no}\n",
        "one_hot.csv",
    )
    found = [(a.start_time, a.end_time, a.label) for a in read_annotations(path, label="anemonefish")]
    assert found == [(0, 3, "noise"), (3, 6, "anemonefish"), (6, 9, "anemonefish"), (6, 9, "noise")]
    assert read_table(path).format == "one-hot CSV"
    assert labels_of(path, label_column="anemonefish") == ["anemonefish", "anemonefish"]


def test_a_table_of_one_class_of_clips_is_one_hot_too(table):
    path = table("file,start_time,end_time,anemonefish\na.wav,0,3,0\na.wav,3,6,1\n", "clips.csv")
    assert [(a.start_time, a.label) for a in read_annotations(path)] == [(3, "anemonefish")]


def test_a_code_on_every_row_of_a_raven_table_is_a_label_and_no_class_called_like_the_column(table):
    header = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tKlasse\n"
    path = table(header + "1\tSpectrogram 1\t1\t1\t2\t50\t500\t1\n", "reef.Table.1.selections.txt")
    assert labels_of(path, label_column="Klasse") == ["1"]
    assert labels_of(path) == [""]  # which column holds the labels is not known


def test_scores_of_another_program_are_no_labels(table):
    path = table("file,start_time,end_time,anemonefish\na.wav,0,3,0.02\na.wav,3,6,0.97\n", "scores.csv")
    with pytest.raises(AnnotationError, match=r"no column is known.*'anemonefish' \('0\.02', '0\.97'\)"):
        read_annotations(path, label="anemonefish")


def test_a_table_without_any_column_for_labels_needs_to_be_told_one(table):
    path = table("start,end\n1,2\n", "a.csv")
    with pytest.raises(AnnotationError, match=re.escape("no column of labels among start, end")):
        read_annotations(path)
    assert labels_of(path, label="pop") == ["pop"]


def test_a_column_that_is_not_there_is_an_error_that_lists_those_that_are(table):
    with pytest.raises(AnnotationError, match=r"no column 'Mood'; it has start, end, label"):
        read_annotations(table("start,end,label\n1,2,x\n", "a.csv"), label_column="Mood")
