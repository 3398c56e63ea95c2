"""Writers of detections: what is written is read back, by the readers here and by others' parsers."""

import csv
import json
import re
import tracemalloc
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anemone_lib.audio.gaps import Gap
from anemone_lib.detection.events import Annotation, Event
from anemone_lib.detection.results import build_result, to_json, write_json
from anemone_lib.scoring.scores import Scores
from anemone_lib.scoring.windows import lay_grid
from anemone_lib.tables.reading import read_annotations
from anemone_lib.tables.writing import CSV_COLUMNS, write_audacity, write_csv, write_raven

EVENT = Event("3f2a", "anemonefish", 45.2, 47.8, 0.8712345678, float(np.float32(0.94)), 5)
BEGAN = datetime(2023, 2, 10, 0, 0, 1, tzinfo=UTC)

times = st.floats(0, 1e6, allow_nan=False)
labels = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], codec="utf-8"), max_size=20).map(str.strip)
bands = st.tuples(st.none() | st.floats(0, 1e6), st.none() | st.floats(0, 1e6)).map(
    lambda band: band if None in band else tuple(sorted(band))
)


@st.composite
def annotations(draw, bands=bands, ids=st.just("")):
    start, end = sorted((draw(times), draw(times)))
    return Annotation(start, end, draw(labels), *draw(bands), draw(ids))


whole_bands = st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)).map(sorted)
ids = st.text("0123456789abcdef", max_size=12)
once_a_test = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def assert_same(found, written):
    """The same annotations, times and bands to the millionth, to which they are written."""
    assert [(a.label, a.id) for a in found] == [(a.label, a.id) for a in written]
    for name in ("start_time", "end_time", "low_hz", "high_hz"):
        assert [getattr(a, name) for a in found] == [
            None if (value := getattr(a, name)) is None else pytest.approx(value, abs=5.1e-7, rel=1e-15)
            for a in written
        ]


def make_scores(probabilities, *, sample_rate=48000, classes=("noise", "anemonefish", "biological"), **about):
    n_samples = round((len(probabilities) - 1) * 0.4 * sample_rate) + sample_rate
    grid = lay_grid(n_samples, sample_rate=sample_rate, window_duration=1.0, stride_duration=0.4)
    assert grid.n_windows == len(probabilities)
    return Scores(np.asarray(probabilities, np.float32), classes, grid, **about)


# ---------------------------------------------------------------------- there and back


@once_a_test
@given(written=st.lists(annotations(ids=ids), max_size=5))
def test_annotations_written_as_csv_are_read_back_equal(tmp_path, written):
    assert_same(read_annotations(write_csv(tmp_path / "a.csv", written)), written)


@once_a_test
@given(written=st.lists(annotations(bands=whole_bands, ids=ids), max_size=5))
def test_annotations_written_as_raven_table_are_read_back_equal(tmp_path, written):
    assert_same(read_annotations(write_raven(tmp_path / "a.txt", written, high_hz=2000)), written)


@once_a_test
@given(written=st.lists(annotations(), max_size=5))
def test_annotations_written_as_audacity_labels_are_read_back_equal(tmp_path, written):
    assert_same(read_annotations(write_audacity(tmp_path / "a.txt", written)), written)


@pytest.mark.parametrize("suffix", ["csv", "txt"])
def test_a_reviewed_table_still_says_which_event_is_meant(tmp_path, suffix):
    write = write_csv if suffix == "csv" else write_raven
    path = write(tmp_path / f"a.{suffix}", [EVENT], low_hz=0, high_hz=2000, recording_name="a.wav")
    (annotation,) = read_annotations(path, detections=True)
    assert annotation == Annotation(45.2, 47.8, "anemonefish", 0, 2000, "3f2a")
    assert read_annotations(path, recording_name="a.wav", detections=True) == [annotation]


def test_times_late_in_a_long_recording_keep_their_sample(tmp_path):
    sample_rate, sample = 192_000, 192_000 * 86_400 * 7 + 1
    event = Annotation(sample / sample_rate, (sample + 1) / sample_rate, "click", 0, 2000)
    for path in (
        write_csv(tmp_path / "a.csv", [event]),
        write_raven(tmp_path / "a.selections.txt", [event], high_hz=2000),
        write_audacity(tmp_path / "a.txt", [event]),
    ):
        (back,) = read_annotations(path)
        assert (round(back.start_time * sample_rate), round(back.end_time * sample_rate)) == (sample, sample + 1)


def test_tabs_and_line_ends_in_a_label_become_spaces(tmp_path):
    odd = Annotation(1, 2, "a\tb\r\nc", 1, 2)
    for path in (
        write_csv(tmp_path / "a.csv", [odd]),
        write_raven(tmp_path / "a.selections.txt", [odd], high_hz=2000),
        write_audacity(tmp_path / "a.txt", [odd]),
    ):
        assert [a.label for a in read_annotations(path)] == ["a b c"]


def test_a_time_that_is_not_a_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="nan is not a time"):
        write_audacity(tmp_path / "a.txt", [Annotation(float("nan"), 1, "x")])


# ---------------------------------------------------------------------- as others read them


def test_a_raven_table_begins_with_ravens_own_columns(tmp_path):
    path = write_raven(
        tmp_path / "out" / "reef.Table.1.selections.txt",
        [EVENT, Annotation(50, 51, "pop"), Annotation(52, 53, "grunt", 300, 900)],
        high_hz=2000,
        start_utc=BEGAN,
        recording_name="reef.wav",
        extra={"Model Version": "v1.0"},
    )
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    assert lines[0][:7] == (
        ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
    )
    assert {len(line) for line in lines} == {len(lines[0])}
    assert lines[1][:7] == ["1", "Spectrogram 1", "1", "45.2", "47.8", "0.0", "2000.0"]
    assert lines[2][:7] == ["2", "Spectrogram 1", "1", "50.0", "51.0", "0.0", "2000.0"]
    assert lines[3][:7] == ["3", "Spectrogram 1", "1", "52.0", "53.0", "300.0", "900.0"]
    ours = dict(zip(lines[0][7:], lines[1][7:], strict=True))
    assert ours == {
        "Annotation": "anemonefish",
        "Mean Confidence": "0.8712346",
        "Max Confidence": "0.94",
        "Windows": "5",
        "Event ID": "3f2a",
        "Begin UTC": "2023-02-10T00:00:46.200Z",
        "Begin Local": "2023-02-10T00:00:46.200+00:00",
        "Begin File": "reef.wav",
        "Model Version": "v1.0",
    }


def test_audacity_labels_are_start_end_text_and_the_band_on_a_line_of_its_own(tmp_path):
    path = write_audacity(tmp_path / "a.txt", [EVENT, Annotation(50, 51, "pop", 300)], high_hz=2000)
    assert path.read_text() == ("45.2\t47.8\tanemonefish\n\\\t-1.0\t2000.0\n50.0\t51.0\tpop\n\\\t300.0\t2000.0\n")
    assert write_audacity(tmp_path / "b.txt", [EVENT]).read_text() == "45.2\t47.8\tanemonefish\n"


def test_a_csv_names_its_units_and_leaves_blank_what_is_not_known(tmp_path):
    path = write_csv(
        tmp_path / "a.csv",
        [EVENT, Annotation(50, 51, 'a "quoted", label')],
        start_utc=BEGAN,
        recording_name="reef.wav",
        extra={"model_version": "v1.0"},
    )
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == (*CSV_COLUMNS, "model_version")
    assert first["start_time_s"] == "45.2"
    assert first["duration_s"] == "2.6"  # 47.8 - 45.2 is 2.5999999999999943 in binary
    assert first["start_utc"] == "2023-02-10T00:00:46.200Z"
    assert first["start_local"] == "2023-02-10T00:00:46.200+00:00"
    assert (first["mean_confidence"], first["max_confidence"], first["num_windows"]) == ("0.8712346", "0.94", "5")
    assert second["class"] == 'a "quoted", label'
    assert {second[name] for name in ("id", "low_hz", "high_hz", "mean_confidence", "num_windows")} == {""}
    assert first["model_version"] == second["model_version"] == "v1.0"


# ---------------------------------------------------------------------- JSON


def test_the_result_is_the_one_of_the_design():
    scores = make_scores([[0.92, 0.05, 0.03], [0.1, 0.7, 0.2]], start_time=BEGAN)
    result = build_result(scores, [EVENT], {"model_version": "v1.0"})
    assert result == {
        "predictions": [
            {
                "timestamp": "0.0-1.0s",
                "start_time": 0.0,
                "end_time": 1.0,
                "class": "noise",
                "confidence": 0.92,
                "probabilities": {"noise": 0.92, "anemonefish": 0.05, "biological": 0.03},
            },
            {
                "timestamp": "0.4-1.4s",
                "start_time": 0.4,
                "end_time": 1.4,
                "class": "anemonefish",
                "confidence": 0.7,
                "probabilities": {"noise": 0.1, "anemonefish": 0.7, "biological": 0.2},
            },
        ],
        "events": [
            {
                "id": "3f2a",
                "class": "anemonefish",
                "start_time": 45.2,
                "end_time": 47.8,
                "duration": 2.6,
                "mean_confidence": 0.8712346,
                "max_confidence": 0.94,
                "num_windows": 5,
                "start_utc": "2023-02-10T00:00:46.200Z",
            }
        ],
        "metadata": {"model_version": "v1.0"},
    }


def test_an_event_of_a_recording_of_unknown_date_has_no_time_of_day():
    (event,) = build_result(make_scores([[1, 0, 0]]), [EVENT], {})["events"]
    assert "start_utc" not in event


def test_a_skipped_window_has_no_prediction_and_nan_is_never_written():
    scores = make_scores([[1, 0, 0], [np.nan] * 3, [0, 1, 0]], skipped=(Gap(1.0, 1.2, "not finite"),))
    result = build_result(scores, [], {})
    assert [prediction["start_time"] for prediction in result["predictions"]] == [0.0, 0.8]
    assert "NaN" not in to_json(result)
    with pytest.raises(ValueError, match="JSON"):
        to_json({"metadata": {"duration": float("nan")}})


@given(values=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30))
def test_probabilities_in_json_are_the_same_float32(values):
    result = json.loads(to_json(build_result(make_scores([[v, v] for v in values], classes=("a", "b")), [], {})))
    back = np.array([prediction["probabilities"]["a"] for prediction in result["predictions"]], np.float32)
    np.testing.assert_array_equal(back, np.array(values, np.float32))


def test_probabilities_have_no_more_digits_than_a_float32_needs(rng):
    values = rng.random(2000, dtype=np.float32)
    result = build_result(make_scores(np.stack([values, 1 - values], 1), classes=("a", "b")), [], {})
    written = [repr(prediction["probabilities"]["a"]) for prediction in result["predictions"]]
    assert all(len(text.lstrip("0.").rstrip("0")) <= 9 or "e" in text for text in written)
    assert float(np.mean([len(text) for text in written])) < 11


@pytest.mark.parametrize("sample_rate", [44_100, 48_000, 200_000])
def test_times_in_json_name_their_sample(sample_rate):
    scores = make_scores(np.full((5000, 2), 0.5), sample_rate=sample_rate, classes=("a", "b"))
    starts = np.array([p["start_time"] for p in build_result(scores, [], {})["predictions"]])
    np.testing.assert_array_equal(np.round(starts * sample_rate), np.arange(5000) * scores.grid.stride_samples)


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_json_is_the_standard_librarys_but_for_line_ends(indent):
    scores = make_scores([[0.92, 0.05, 0.03], [0.1, 0.7, 0.2]])
    result = build_result(scores, [], {"coverage": {"skipped": []}, "warnings": ["ä\n"]})
    text = to_json(result, indent=indent)
    expected = json.dumps(result, ensure_ascii=False, indent=indent)
    assert re.sub(r"\s+", "", text) == re.sub(r"\s+", "", expected)
    if indent is None:
        assert text == expected


def test_json_is_written_without_holding_it_and_whole_or_not_at_all(tmp_path):
    scores = make_scores(np.full((20_000, 2), 0.5), classes=("a", "b"))
    whole = write_json(tmp_path / "whole.json", build_result(scores, [], {}))
    tracemalloc.start()
    lazy = write_json(tmp_path / "lazy.json", build_result(scores, [], {}, lazy=True))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lazy.read_bytes() == whole.read_bytes()
    assert peak < lazy.stat().st_size
    with pytest.raises(ValueError, match="JSON"):
        write_json(lazy, build_result(scores, [], {"duration": float("nan")}, lazy=True))
    assert lazy.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lazy.json", "whole.json"]


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_json_says_the_same_however_it_is_indented(tmp_path, indent):
    scores = make_scores([[0.92, 0.05, 0.03], [0.1, 0.7, 0.2]], recording_name="größe.wav")
    result = build_result(scores, [EVENT], {"coverage": {"skipped": []}, "warnings": ["ä\n"], "provenance": {"a": 1}})
    path = write_json(tmp_path / "a.json", result, indent=indent)
    assert json.loads(path.read_text(encoding="utf-8")) == result
    assert read_annotations(path, detections=True) == [Annotation(45.2, 47.8, "anemonefish", id="3f2a")]
