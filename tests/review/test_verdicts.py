import numpy as np
import pytest

from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Annotation, Event
from anemone_lib.errors import AnnotationError
from anemone_lib.review.verdicts import Review
from anemone_lib.tables.reading import read_annotations
from anemone_lib.tables.writing import write_raven

CONFIG = InferenceConfig()


def event(name, start, end, confidence):
    return Event(name, "anemonefish", start, end, confidence, confidence, 3)


EVENTS = [event("e1", 1.0, 2.4, 0.95), event("e2", 10.0, 11.4, 0.55), event("e3", 20.0, 22.2, 0.7)]


@pytest.fixture
def table(tmp_path):
    return tmp_path / "reef.review.selections.txt"


@pytest.fixture
def review(table):
    return Review(EVENTS, table, config=CONFIG, recording_name="reef.wav")


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# ---------------------------------------------------------------------- verdicts


def test_the_most_uncertain_event_comes_first(review, table):
    assert [one.id for one in review.events] == ["e2", "e3", "e1"]
    assert [one.id for one in Review(EVENTS, table, config=CONFIG, order="time").events] == ["e1", "e2", "e3"]


def test_random_order_is_the_same_again(table):
    events = [event(f"{k:x}", k, k + 1, 0.9) for k in np.random.default_rng(1).permutation(50)]
    first = Review(events, table, config=CONFIG, order="random").events
    again = Review(events[::-1], table, config=CONFIG, order="random").events
    assert first == again


def test_verdicts_are_labels(review):
    review.accept(EVENTS[0])
    review.reject(EVENTS[1])
    review.relabel(EVENTS[2], "  damselfish \n pop ")
    assert [review.get_label(one) for one in EVENTS] == ["anemonefish", "not anemonefish", "damselfish pop"]
    assert review.open_events == []


def test_precision_counts_what_has_a_verdict(review):
    rate, low, high, n = review.measure_precision()
    assert np.isnan(rate)
    assert (low, high, n) == (0, 1, 0)
    review.accept(EVENTS[0])
    review.relabel(EVENTS[2], "damselfish")
    rate, low, high, n = review.measure_precision()
    assert (rate, n) == (0.5, 2)
    assert 0 < low < 0.5 < high < 1


def test_undo_takes_back_one_verdict_after_the_other(review):
    review.accept(EVENTS[0])
    review.reject(EVENTS[0])
    assert review.undo() == EVENTS[0]
    assert review.get_label(EVENTS[0]) == "anemonefish"
    review.undo()
    assert review.get_label(EVENTS[0]) == "anemonefish?"
    assert review.undo() is None


def test_an_empty_label_and_an_event_of_another_recording_are_refused(review):
    with pytest.raises(ValueError, match="label is empty"):
        review.relabel(EVENTS[0], " ")
    with pytest.raises(ValueError, match="e9 is not among those"):
        review.accept(event("e9", 0, 1, 0.5))


# ---------------------------------------------------------------------- saved, resumed


def test_every_verdict_is_saved_at_once_with_the_events_id(review, table):
    assert not table.exists()
    review.accept(EVENTS[0])
    rows = read_annotations(table)
    assert [(row.id, row.label) for row in rows] == [
        ("e1", "anemonefish"),
        ("e2", "anemonefish?"),
        ("e3", "anemonefish?"),
    ]
    assert list(table.parent.iterdir()) == [table]


def test_a_review_goes_on_where_it_stopped(review, table):
    review.accept(EVENTS[0])
    review.relabel(EVENTS[1], "boat")
    again = Review(EVENTS, table, config=CONFIG)
    assert [again.get_label(one) for one in EVENTS] == ["anemonefish", "boat", "anemonefish?"]
    assert [one.id for one in again.open_events] == ["e3"]


def test_after_tuning_new_events_are_open_and_old_verdicts_are_kept(review, table):
    review.accept(EVENTS[0])
    review.reject(EVENTS[1])
    tuned = [EVENTS[0], event("e4", 30.0, 31.0, 0.9)]
    again = Review(tuned, table, config=CONFIG)
    assert [again.get_label(one) for one in tuned] == ["anemonefish", "anemonefish?"]
    assert ("not anemonefish", 10.0) in [(row.label, row.start_time) for row in again.list_rows()]


def test_the_table_of_another_recording_is_refused(table):
    write_raven(table, [event("other", 1, 2, 0.9)], high_hz=2000)
    with pytest.raises(AnnotationError, match="none of which is under review"):
        Review(EVENTS, table, config=CONFIG)


def test_only_what_a_person_called_something_is_exported(review, table, tmp_path):
    review.accept(EVENTS[0])
    review.reject(EVENTS[1])
    assert [(row.start_time, row.label) for row in review.list_annotations()] == [(1.0, "anemonefish")]
    exported = read_annotations(review.export(tmp_path / "reef.Table.1.selections.txt"))
    assert [(row.start_time, row.end_time, row.label, row.id) for row in exported] == [(1.0, 2.4, "anemonefish", "e1")]


# ---------------------------------------------------------------------- round trips


def test_a_table_edited_in_raven_comes_back_with_every_change_named(review, table):
    review.accept(EVENTS[0])
    edit(table, "10.0\t11.4", "10.25\t11.4")  # moved
    lines = table.read_text().splitlines()
    lines = [line.replace("anemonefish?", "grunt") if "\te3" in line else line for line in lines]
    lines.append("9\tSpectrogram 1\t1\t40.0\t41.0\t300.0\t900.0\tanemonefish")
    table.write_text("\n".join(lines) + "\n")

    changes = review.find_changes(table)
    assert [(change.kind, change.before and change.before.id) for change in changes] == [
        ("moved", "e2"),
        ("relabelled", "e3"),
        ("added", None),
    ]
    assert str(changes[0]) == "moved: 10.000–11.400 s anemonefish? → 10.250–11.400 s anemonefish?"
    review.apply(changes)
    assert review.find_changes(table) == []
    assert review.get_label(EVENTS[2]) == "grunt"
    assert [row.start_time for row in review.list_annotations()] == [1.0, 20.0, 40.0]
    resumed = Review(EVENTS, table, config=CONFIG)
    assert resumed.list_rows() == review.list_rows()


def test_a_row_deleted_in_raven_is_open_again(review, table):
    review.accept(EVENTS[0])
    lines = [line for line in table.read_text().splitlines() if "\te1" not in line]
    table.write_text("\n".join(lines) + "\n")
    changes = review.find_changes(table)
    assert [change.kind for change in changes] == ["removed"]
    review.apply(changes)
    assert review.get_label(EVENTS[0]) == "anemonefish?"


def test_labels_edited_in_audacity_find_their_events_without_ids(review, tmp_path):
    review.accept(EVENTS[0])
    labels = review.export_audacity(tmp_path / "labels.txt")
    assert review.find_changes(labels) == []
    lines = labels.read_text().splitlines()
    lines = [line for line in lines if not line.startswith("\\")]  # as older versions of Audacity write them
    lines = ["10.1\t11.0\tnot anemonefish" if line.startswith("10.0") else line for line in lines]
    labels.write_text("\n".join([*lines, "50.0\t51.0\tanemonefish"]) + "\n")
    changes = review.find_changes(labels)
    assert [change.kind for change in changes] == ["relabelled", "added"]
    review.apply(changes)
    assert review.get_label(EVENTS[1]) == "not anemonefish"
    box = next(row for row in review.list_rows() if row.id == "e2")
    assert (box.start_time, box.end_time) == (10.1, 11.0)
    assert Review(EVENTS, review.table, config=CONFIG).list_rows() == review.list_rows()


def test_a_row_that_was_added_can_be_taken_away_again(review, table):
    review.accept(EVENTS[0])
    added = Annotation(40.0, 41.0, "anemonefish", 300.0, 900.0)
    write_raven(table, [*review.list_rows(), added], high_hz=2000)
    review.apply(review.find_changes(table))
    assert len(review.list_rows()) == 4
    write_raven(table, review.list_rows()[:3], high_hz=2000)
    changes = review.find_changes(table)
    assert [change.kind for change in changes] == ["removed"]
    review.apply(changes)
    assert len(review.list_rows()) == 3


# ---------------------------------------------------------------------- a person's tables


@pytest.mark.parametrize("name", ["reef.Table.1.selections.txt", "reef.txt"])
def test_a_persons_table_is_never_overwritten(review, tmp_path, name):
    review.accept(EVENTS[0])
    mine = tmp_path / name
    mine.write_text("my own notes\n")
    written = review.export(mine)
    assert mine.read_text() == "my own notes\n"
    assert written.name == {"reef.txt": "reef-2.txt"}.get(name, "reef.Table.2.selections.txt")
    assert len(read_annotations(written)) == 1
    assert review.export(mine) == written  # the same again needs no third file
    review.accept(EVENTS[1])
    assert review.export(mine).name.replace("3", "2") == written.name
    assert review.export(mine, overwrite=True) == mine
    assert len(read_annotations(mine)) == 2
    assert not list(tmp_path.glob(".anemone-*"))


def test_labels_edited_and_saved_under_their_own_name_are_kept_and_exported(review, tmp_path):
    review.accept(EVENTS[0])
    labels = review.export_audacity(tmp_path / "reef.audacity.txt")
    labels.write_text(labels.read_text() + "50.0\t51.0\tanemonefish\n")
    edited = labels.read_text()
    assert [change.kind for change in review.take_over(labels)] == ["added"]
    review.export_audacity(tmp_path / "reef.audacity.txt")
    assert labels.read_text() == edited
    exported = review.export(tmp_path / "reef.Table.1.selections.txt")
    assert [row.start_time for row in read_annotations(exported)] == [1.0, 50.0]
    assert review.check_round_trip(review.table)


def test_the_truth_decides_by_overlap_with_the_target(review):
    review.judge([Annotation(2.3, 3.0, "anemonefish"), Annotation(10.2, 10.4, "damselfish")])
    assert [review.get_label(one) for one in EVENTS] == ["anemonefish", "not anemonefish", "not anemonefish"]


def test_no_verdict_is_said_in_words(review):
    assert review.describe_precision() == "0 of 3 events reviewed: no verdict yet"
    review.accept(EVENTS[0])
    assert review.describe_precision() == "1 of 3 events reviewed: precision 1.00 (0.21 to 1.00)"
