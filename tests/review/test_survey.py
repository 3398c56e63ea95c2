from dataclasses import replace
from pathlib import Path

import pytest
from scipy.special import expit, logit

from anemone_lib.detection import Annotation
from anemone_lib.errors import AnnotationError, ConfigError
from anemone_lib.review.survey import Survey
from anemone_lib.tables.reading import read_annotations
from anemone_lib.tables.verdicts import read_verdicts, write_verdicts


@pytest.fixture
def table(tmp_path):
    return tmp_path / "verdicts.csv"


def test_every_verdict_is_one_row_with_its_recording_and_confidence(season, table):
    survey = Survey(season, table, n=5, n_windows=2)
    said = {}
    for item, label in zip(survey.events, ("anemonefish", "not anemonefish", "grunt", "boat") * 2, strict=False):
        survey.relabel(item, label)
        said[item.id] = item, label
        assert {row.event_id for row in read_verdicts(table)} == set(said)  # after every one
    for row in read_verdicts(table):
        item, label = said[row.event_id]
        assert (row.recording, row.start_time, row.end_time, row.kind) == (
            item.recording, item.start_time, item.end_time, item.kind,
        )  # fmt: skip
        assert (row.label, row.is_call) == (label, label == "anemonefish")
        assert row.confidence == pytest.approx(item.confidence, abs=1e-6)
    survey.undo()
    assert len(read_verdicts(table)) == 6


def test_a_survey_is_taken_up_where_it_was_left(season, table):
    survey = Survey(season, table, n=20, seed=2)
    for item in survey.events[:7]:
        survey.reject(item)
    again = Survey(season, table, n=20, seed=2)
    assert again.open_events == survey.events[7:]
    other = Survey(season, table, n=20, seed=9)
    other.accept(other.open_events[0])
    assert len(read_verdicts(table)) == 8  # verdicts on events that are not offered now stay


def test_two_reviewers_at_one_table_keep_each_others_verdicts_and_are_compared(season, table):
    ana, ben = (Survey(season, table, n=12, reviewer=name) for name in ("Ana", "Ben"))
    for k, (one, two) in enumerate(zip(ana.events, ben.events, strict=True)):
        (ana.accept if k % 2 else ana.reject)(one)
        (ben.accept if k % 2 or k == 0 else ben.reject)(two)
    rows = read_verdicts(table)
    assert sorted(row.reviewer for row in rows) == ["Ana"] * 12 + ["Ben"] * 12
    agreement = Survey(season, table, n=12, reviewer="Ana").compare_reviewers()["Ana", "Ben"]
    assert (agreement.n, round(agreement.agreed * 12)) == (12, 11)
    assert "Ana and Ben: 12 judged by both, 92 % alike: kappa 0.83" in "\n".join(ben.describe())


def test_verdicts_of_another_model_are_not_mixed_in(season, table):
    survey = Survey(season, table, n=2)
    survey.accept(survey.events[0])
    (row,) = read_verdicts(table)
    write_verdicts(table, [type(row)(**{**vars(row), "model_sha256": "b" * 64})])
    with pytest.raises(AnnotationError, match="events of the model bbbbbbbbbbbb"):
        Survey(season, table)


def test_a_row_of_which_only_the_answer_or_the_label_was_edited_is_said(season, table):
    survey = Survey(season, table, n=2)
    survey.accept(survey.events[0])
    (row,) = read_verdicts(table)
    write_verdicts(table, [replace(row, is_call=False)])
    with pytest.raises(AnnotationError, match=f"event {row.event_id}: is_call is no, but the label is 'anemonefish'"):
        Survey(season, table, n=2)
    assert read_verdicts(table) == [replace(row, is_call=False)]


def test_no_recording_is_said(table):
    with pytest.raises(ConfigError, match="no recording to review"):
        Survey({}, table)


def test_precision_and_recall_are_those_of_a_season_whose_calls_are_known(season, table, rng):
    survey = Survey(season, table, n=150, n_windows=150, seed=5)
    everything = Survey(season, table.with_name("all.csv"), sample="everything", n_windows=10_000)
    is_call = {
        item.id: rng.random() < (expit(2 + 2 * logit(item.confidence)) if item.kind == "event" else 0.1)
        for item in everything.events
    }
    for item in survey.events:
        (survey.accept if is_call[item.id] else survey.reject)(item)
    found = sum(is_call[item.id] for item in everything.events if item.kind == "event")
    missed = sum(is_call[item.id] for item in everything.events if item.kind == "window")
    recall = survey.estimate_recall()
    assert recall.low <= found / (found + missed) <= recall.high
    assert recall.high - recall.low < 0.3
    said = "\n".join(survey.describe())
    assert "windows without an event have a call" in said
    assert "recall of windows with calls: 0." in said
    assert "nan" not in said
    assert 0.5 < survey.calibrate().find_threshold(0.9) < 0.95


def test_without_quiet_windows_recall_is_said_to_be_unknown(season, table):
    survey = Survey(season, table, n=3)
    assert survey.describe()[-1].startswith("recall is unknown: no window without an event was reviewed")
    with pytest.raises(ConfigError):
        survey.estimate_recall()


def test_the_truth_decides_events_and_windows(season, table):
    survey = Survey(season, table, sample="everything", n_windows=1200)
    path = "north/reef0.wav"
    survey.judge({path: [Annotation(0.2, 1.5, "anemonefish"), Annotation(9.1, 9.2, "boat")]})
    heard = [(row.recording, row.start_time, row.kind) for row in read_verdicts(table) if row.is_call]
    assert sorted(heard) == [(path, 0.0, "event"), (path, 1.0, "window")]


def test_annotations_are_of_events_alone_and_never_replace_a_persons_table(season, table, tmp_path):
    survey = Survey(season, table, sample="everything", n_windows=50)
    first = next(item for item in survey.events if item.kind == "event")
    window = next(item for item in survey.events if item.kind == "window" and item.recording == first.recording)
    survey.accept(first)
    survey.accept(window)
    mine = tmp_path / Path(first.recording).with_name("reef0.Table.1.selections.txt")
    mine.parent.mkdir()
    mine.write_text("my own notes\n")
    (written,) = survey.export(tmp_path)
    assert mine.read_text() == "my own notes\n"
    assert written.name == "reef0.Table.2.selections.txt"
    rows = read_annotations(written)
    assert [(row.id, row.label, row.start_time) for row in rows] == [(first.id, "anemonefish", first.start_time)]


def test_tables_of_recordings_with_one_name_lie_in_folders_of_their_own(season, tmp_path):
    survey = Survey(season, tmp_path / "verdicts.csv")
    for item in survey.events[:40]:
        survey.accept(item)
    written = survey.export(tmp_path / "tables", overwrite=True)
    names = [f"{site}/reef{k}.Table.1.selections.txt" for site in ("north", "south") for k in range(2)]
    assert [path.relative_to(tmp_path / "tables").as_posix() for path in written] == names
    rows = sum(len(read_annotations(path)) for path in written)
    assert rows == len([item for item in survey.events if survey.get_label(item) == survey.target]) == 40
