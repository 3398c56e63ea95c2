"""Annotated recordings in a batch: a bad one costs itself, and what is left out is said."""

import numpy as np
import pytest

from anemone_lib import InferenceConfig
from anemone_lib.errors import AnnotationError
from anemone_lib.tables.pairing import pair_tables
from anemone_lib.tuning.recordings import score_annotated_recordings

HEADER = "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n"
CALL = HEADER + "1\t0.5\t0.9\tanemonefish\n"


@pytest.fixture
def scored(tmp_path, write_wav, noise, loudness):
    """Write recordings and tables, and score what belongs together."""

    def score(files, **options):
        for name, content in files.items():
            path = tmp_path / "season" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                write_wav(noise(3, 8000), 8000, name=f"season/{name}")
            else:
                path.write_text(content)
        return score_annotated_recordings(
            pair_tables(tmp_path / "season"),
            classifier=loudness,
            config=InferenceConfig(),
            cache=tmp_path / "cache",
            **options,
        )

    return score


def test_a_bad_recording_and_a_bad_table_never_end_the_batch(scored):
    found = scored(
        {
            "good.wav": None,
            "good.csv": "start,end,label\n1,2,anemonefish\n",
            "broken.wav": "RIFF",
            "broken.csv": "start,end,label\n1,2,anemonefish\n",
            "line.wav": None,
            "line.csv": "start,end,label\n1,soon,anemonefish\n",
            "column.wav": None,
            "column.csv": "start,end,Laut\n1,2,anemonefish\n",
            "other.wav": None,
            "other.csv": "filepath,start,end,label\n/x/reef.wav,1,2,anemonefish\n",
        }
    )
    assert [recording.name for recording in found] == ["good.wav"]
    assert [name for name, _ in found.failures] == ["broken.wav", "column.wav", "line.wav", "other.wav"]
    reasons = dict(found.failures)
    assert "cannot be decoded" in reasons["broken.wav"]
    assert "'Laut' ('anemonefish')" in reasons["column.wav"]
    assert "line 2: end is 'soon'" in reasons["line.wav"]
    assert "names other recordings only" in reasons["other.wav"]


def test_a_batch_without_one_good_recording_is_an_error_with_reasons(scored):
    with pytest.raises(AnnotationError, match=r"none of 1 recording could be read and scored: a\.wav: "):
        scored({"a.wav": "RIFF", "a.csv": "start,end,label\n"})


def test_identical_recordings_in_two_folders_are_two_with_their_own_tables(scored, tmp_path):
    for site in "ab":
        (tmp_path / "season" / site).mkdir(parents=True)
    np.random.default_rng(1)
    found = scored({"a/reef.wav": None, "a/reef.csv": "start,end,label\n1,2,anemonefish\n"})
    (tmp_path / "season" / "b" / "reef.wav").write_bytes((tmp_path / "season" / "a" / "reef.wav").read_bytes())
    found = scored({"b/reef.csv": "start,end,label\n"})
    assert [(recording.name, len(recording.annotations)) for recording in found] == [
        ("a/reef.wav", 1),
        ("b/reef.wav", 0),
    ]
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_what_a_table_holds_beside_the_recording_is_counted_and_said(scored):
    found = scored(
        {
            "a.wav": None,
            "a.csv": "file,start,end,label\na.wav,1,2,anemonefish\nb.wav,1,2,x\na.wav,90,91,anemonefish\na.wav,1,2,\n",
        }
    )
    assert found.notes == (
        "a.wav: 1 row of a.csv is of other recordings (b.wav)",
        "a.wav: 1 row of a.csv has no label in 'label': that is not the target",
        "a.wav: 1 row of a.csv starts after the end of the recording (3 s) and was left out: the first at 90 s",
    )
    assert len(found[0].join_bouts(labels=["anemonefish"])) == 1


def test_labels_that_stand_for_no_target_are_counted(scored):
    found = scored({"a.wav": None, "a.txt": HEADER + "1\t0.5\t0.9\tWOTH\n2\t1\t2\tWOTH\n3\t1\t2\tEATO\n"})
    assert found.describe_other_labels(["anemonefish"]) == (
        "3 annotations with labels that are not the target: WOTH (2), EATO (1); none is anemonefish"
    )
    assert found.describe_other_labels(["woth"]) == "1 annotation with labels that are not the target: EATO (1)"
    assert found.describe_other_labels(["WOTH", "EATO"]) == ""


def test_a_blank_label_is_the_target_only_if_asked_for(scored):
    files = {"a.wav": None, "a.txt": HEADER + "1\t0.5\t0.9\t\n2\t1\t2\tWOTH\n"}
    assert len(scored(files)[0].join_bouts(labels=["anemonefish"])) == 0
    assert len(scored(files, blank_label="anemonefish")[0].join_bouts(labels=["anemonefish"])) == 1
    assert [a.label for a in scored(files, label_column="Selection")[0].annotations] == ["1", "2"]
