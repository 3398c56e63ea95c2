from pathlib import Path

import numpy as np
import pytest
import soundfile

from anemone_lib import InferenceConfig, detect
from anemone_lib.dataset import Dataset, SplitByName, SplitByTime, check_dataset, draft_dataset, read_recordings
from anemone_lib.dataset.recordings import find_files, find_group
from anemone_lib.dataset.splitting import draw_split
from anemone_lib.errors import AnnotationError, AudioError, ConfigError
from tests.dataset.season import write_season

MEANING = {"h": "hummer", "k": "knocker"}


def test_few_groups_are_split_in_time_and_many_by_group_with_every_class_in_every_part(tmp_path):
    write_season(tmp_path / "few", n_recordings=3, seconds=20)
    draft = draft_dataset(tmp_path / "few", labels=MEANING)
    assert isinstance(draft.dataset.split, SplitByTime)
    assert any("3 groups are few" in note for note in draft.notes)
    write_season(tmp_path / "one", n_recordings=1, seconds=20)
    assert any("1 group is few" in note for note in draft_dataset(tmp_path / "one", labels=MEANING).notes)

    write_season(tmp_path / "many", n_recordings=14, seconds=20, knocks=(3, 5))
    dataset = draft_dataset(tmp_path / "many", labels=MEANING, seed=3).dataset
    assert dataset.sha256 == draft_dataset(tmp_path / "many", labels=MEANING, seed=3).dataset.sha256
    assert isinstance(dataset.split, SplitByName)
    assert len({*dataset.split.train, *dataset.split.validation, *dataset.split.test}) == 14
    report = check_dataset(dataset)
    assert all(n > 0 for calls in report.calls.values() for n in calls.values())
    assert report.errors == ()


def test_the_column_of_labels_is_found_by_the_labels_that_are_named(tmp_path):
    write_season(tmp_path, n_recordings=2, seconds=20)
    assert draft_dataset(tmp_path, labels=MEANING).dataset.label_column == "heard by Ana"
    with pytest.raises((AnnotationError, ConfigError), match="h"):
        draft_dataset(tmp_path, labels={"absent": "hummer"})


def test_labels_that_are_not_named_are_neither_calls_nor_background(tmp_path):
    write_season(tmp_path, n_recordings=2, seconds=20)
    draft = draft_dataset(tmp_path, labels={"h": "hummer"})
    assert draft.dataset.labels == {"h": "hummer", "k": None}
    recordings = read_recordings(draft.dataset)
    assert {a.label for one in recordings for a in one.annotations} == {"hummer"}
    assert sum(len(one.unclear) for one in recordings) == draft.counts["k"]


def write_calls(path, labels, *, table=True):
    """Ten seconds with a call a second, and their table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(10 * 4000), 4000)
    rows = [(t + 0.1, t + 0.6, label) for t, label in enumerate(labels)]
    if table:
        path.with_suffix(".csv").write_text("start;end;label\n" + "".join(f"{a};{b};{n}\n" for a, b, n in rows))
    return rows


def test_a_label_spelled_in_two_cases_is_one_class_called_as_it_is_mostly_spelled(tmp_path):
    write_calls(tmp_path / "reef.wav", ["Pé de peixe", "pé de peixe", "Pé de peixe", "pop"])
    draft = draft_dataset(tmp_path)
    assert draft.dataset.classes == ("noise", "Pé de peixe", "pop")
    assert read_recordings(draft.dataset)[0].count_calls() == {"Pé de peixe": 3, "pop": 1}
    assert not any("to no class" in note for note in draft.notes)


def test_a_label_that_is_named_in_another_case_is_not_said_to_be_of_no_class(tmp_path):
    write_calls(tmp_path / "reef.wav", ["Grunt", "grunt", "pop"])
    draft = draft_dataset(tmp_path, labels={"GRUNT": "grunter"})
    assert [note for note in draft.notes if "to no class" in note] == [
        "label 'pop' (1) belongs to no class, call or background"
    ]
    assert read_recordings(draft.dataset)[0].count_calls() == {"grunter": 2}


def test_labels_that_differ_in_blanks_or_in_how_accents_are_encoded_are_one_class(tmp_path):
    write_calls(tmp_path / "reef.wav", ["m\u00e9rou", "me\u0301rou", "Long  grunt", "long grunt", "long grunt"])
    draft = draft_dataset(tmp_path)
    assert draft.dataset.classes == ("noise", "long grunt", "m\u00e9rou")
    assert read_recordings(draft.dataset)[0].count_calls() == {"long grunt": 3, "m\u00e9rou": 2}


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_the_column_of_labels_is_found_however_the_table_is_encoded(tmp_path, encoding):
    write_calls(tmp_path / "reef.wav", ["lt", "m"])
    table = tmp_path / "reef.csv"
    table.write_bytes(table.read_text().replace("label", "Esp\u00e8ce").encode(encoding))
    dataset = draft_dataset(tmp_path).dataset
    assert dataset.label_column == "Esp\u00e8ce"
    assert read_recordings(dataset)[0].count_calls() == {"lt": 1, "m": 1}


def test_recordings_of_one_name_in_many_folders_are_groups_of_their_own_and_split(tmp_path):
    for k in range(12):
        write_calls(tmp_path / f"site{k:02d}" / "reef.wav", ["lt", "m", "m"])
        soundfile.write(tmp_path / f"site{k:02d}" / "reef.wav", np.full(10 * 4000, k / 100), 4000)
    draft = draft_dataset(tmp_path, group="recording")
    assert isinstance(draft.dataset.split, SplitByName)
    draft.dataset.save(tmp_path / "dataset.yaml")
    recordings = read_recordings(Dataset.load(tmp_path / "dataset.yaml"))
    assert len({one.group for one in recordings}) == 12
    parts = [part for one in recordings for part in one.spans]
    assert len(parts) == 12
    assert set(parts) == {"train", "validation", "test"}
    assert check_dataset(Dataset.load(tmp_path / "dataset.yaml")).errors == ()


def test_a_recording_under_two_names_in_two_parts_is_an_error(tmp_path):
    write_calls(tmp_path / "reef.wav", ["lt"])
    write_calls(tmp_path / "north" / "pier.wav", ["lt"])
    fields = draft_dataset(tmp_path).dataset.model_dump()
    for names in (("reef.wav", "reef"), ("pier", "north/pier.wav")):
        split = {"train": [names[0]], "test": [names[1]]}
        with pytest.raises(ConfigError, match="another name"):
            read_recordings(Dataset(**{**fields, "split": split}).with_folder(tmp_path))


def test_one_table_may_name_all_recordings(tmp_path):
    rows = {
        name: write_calls(tmp_path / "audio" / name, ["a", "b", "a"], table=False)
        for name in ("x.wav", "y.wav", "z.wav")
    }
    table = tmp_path / "all.csv"
    lines = [f"{name},{a},{b},{n},{k}\n" for name, own in rows.items() for k, (a, b, n) in enumerate(own)]
    for heading in ("species", "heard by Ana"):
        table.write_text(f"filename,start_time,end_time,{heading},box id\n" + "".join(lines))
        draft = draft_dataset(tmp_path / "audio", annotations=table, labels={"a": "a", "b": "b"})
        recordings = read_recordings(draft.dataset)
        assert [one.count_calls() for one in recordings] == [{"a": 2, "b": 1}] * 3


def test_settings_fit_the_rate_and_the_calls(tmp_path):
    write_season(tmp_path, n_recordings=2, seconds=20)
    settings = draft_dataset(tmp_path, labels=MEANING).dataset.settings
    assert settings["target_sr"] == 4000
    assert settings["n_fft"] / 4000 <= 0.15 / 2  # two frames in a knock of 0.15 s
    assert 900 <= settings["fmax_hz"] <= 2000
    assert settings["window_duration"] >= 0.7


def test_all_of_it_can_be_a_test(tmp_path):
    write_season(tmp_path, n_recordings=2, seconds=20)
    split = draft_dataset(tmp_path, labels=MEANING, split="test").dataset.split
    assert (len(split.train), len(split.validation), len(split.test)) == (0, 0, 2)


def test_groups_are_days_sites_recordings_or_a_pattern():
    def group(kind):
        dataset = Dataset(recordings=("x",), classes=("noise", "a"), target_class="a", group=kind)
        return find_group(Path("north/buoy7_20210712_210000.wav"), dataset)

    assert [group(kind) for kind in ("day", "site", "recording", r"buoy(\d)")] == [
        *("2021-07-12", "north", "buoy7_20210712_210000", "7")
    ]
    with pytest.raises(ConfigError, match="not a regular expression"):
        group("(")
    assert group("(south)|north") == "north"  # the first group has nothing


def test_leaks_are_named(tmp_path):
    paths = write_season(tmp_path, n_recordings=3, seconds=20, names=["20210701_01", "20210701_02", "20210702_01"])
    copy = tmp_path / "copy.wav"
    copy.write_bytes(paths[2].read_bytes())
    (tmp_path / "copy.Table.1.selections.txt").write_text((tmp_path / "20210702_01.Table.1.selections.txt").read_text())
    dataset = draft_dataset(tmp_path, labels=MEANING, group="day").dataset
    split = {"train": ["20210701_01", "20210702_01"], "test": ["20210701_02", "copy"]}
    leaky = Dataset(**{**dataset.model_dump(), "split": split}).with_folder(tmp_path)
    errors = check_dataset(leaky).errors
    assert any("2021-07-01" in text and "test" in text for text in errors)
    assert any("copy.wav" in text and "same audio" in text for text in errors)


def test_a_part_without_a_call_of_a_class_is_warned_of(tmp_path):
    for name, labels in (("a", ["lt", "m"]), ("b", ["m"]), ("c", ["lt"])):
        write_calls(tmp_path / f"{name}.wav", labels)
    fields = draft_dataset(tmp_path).dataset.model_dump()
    split = {"train": ["a"], "validation": ["b"], "test": ["c"]}
    warnings = check_dataset(Dataset(**{**fields, "split": split}).with_folder(tmp_path)).warnings
    assert "lt has no call in the validation part: no threshold can be found for it" in warnings
    assert "m has no call in the test part: it is not tested" in warnings
    assert sum("has no call in" in text for text in warnings) == 2


def test_what_a_table_says_twice_or_beyond_the_end_is_named(tmp_path):
    rows = write_calls(tmp_path / "reef.wav", ["lt"] * 5)
    with (tmp_path / "reef.csv").open("a") as table:
        table.write(f"{rows[0][0]};{rows[0][1]};LT\n9.5;10.7;lt\n12;13;lt\n")
    report = check_dataset(draft_dataset(tmp_path).dataset)
    assert [text for text in report.warnings if "reef.csv" in text] == [
        "reef.csv: 1 annotation ends after the end of reef.wav (10.0 s) and is cut there",
        "reef.csv: 1 annotation is there already, with the same times and class; was a table put into itself?",
    ]
    assert report.errors == (
        "reef.csv: 1 annotation starts after the end of reef.wav (10.0 s); is it another recording's table?",
    )


def test_all_recordings_that_cannot_be_read_are_named_with_the_way_out(tmp_path):
    for name in ("a", "b", "c"):
        write_calls(tmp_path / f"{name}.wav", ["lt"])
    dataset = draft_dataset(tmp_path).dataset
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "b.wav").write_bytes(b"RIFF no recording")
    for read in (lambda: draft_dataset(tmp_path), lambda: read_recordings(dataset)):
        with pytest.raises(
            AudioError, match=r"2 annotated recordings cannot be read: a\.wav.*b\.wav.*move their tables"
        ):
            read()


def test_a_class_with_few_calls_is_warned_of(tmp_path):
    write_season(tmp_path, n_recordings=3, seconds=20)
    warnings = check_dataset(draft_dataset(tmp_path, labels=MEANING).dataset).warnings
    assert any("knocker has" in text and "expect" in text for text in warnings)


def test_a_split_in_time_gives_every_second_to_one_part(tmp_path):
    write_season(tmp_path, n_recordings=2, seconds=20)
    for one in read_recordings(draft_dataset(tmp_path, labels=MEANING, split="time").dataset):
        edges = [one.spans[part] for part in ("train", "validation", "test")]
        assert np.allclose(np.ravel(edges), [0, 10, 10, 13, 13, 20])


def test_a_split_that_names_an_absent_recording_is_an_error(tmp_path):
    write_season(tmp_path, n_recordings=2, seconds=20)
    dataset = draft_dataset(tmp_path, labels=MEANING).dataset
    wrong = Dataset(**{**dataset.model_dump(), "split": {"train": ["absent"]}}).with_folder(tmp_path)
    with pytest.raises(ConfigError, match="absent"):
        read_recordings(wrong)


def test_what_was_detected_is_no_truth_and_a_persons_table_counts(tmp_path):
    samples = 0.01 * np.random.default_rng(0).standard_normal(8_000 * 6)
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, samples, 8_000)
        detect(tmp_path / name, config=InferenceConfig(confidence_threshold=0.0)).save(tmp_path, formats=["raven"])
    (tmp_path / "a.csv").write_text("start,end,label\n1.0,1.8,lt\n")
    assert (tmp_path / "a.selections.txt").exists()
    draft = draft_dataset(tmp_path, labels={"lt": "toadfish"})
    recordings = read_recordings(draft.dataset)
    assert [(one.path.name, one.table.name, one.count_calls()["toadfish"]) for one in recordings] == [
        ("a.wav", "a.csv", 1)
    ]
    notes = " ".join(draft.notes)
    assert "b.wav" in notes
    assert "detections by anemone" in notes


def test_recordings_in_subfolders_and_in_a_glob_are_found(tmp_path):
    for site in ("north", "south"):
        (tmp_path / site).mkdir()
        soundfile.write(tmp_path / site / "reef.wav", np.full(8_000 * 4, 0.01), 8_000)
        (tmp_path / site / "reef.csv").write_text("start,end,label\n1.0,1.8,lt\n")
    dataset = draft_dataset(tmp_path, labels={"lt": "toadfish"}).dataset
    assert [one.path.parent.name for one in read_recordings(dataset)] == ["north", "south"]
    only = dataset.model_copy(update={"recordings": ("south/*.wav",)}).with_folder(tmp_path)
    assert [file.name for file in find_files(only)] == ["reef.wav"]


def test_a_way_to_split_that_is_not_known_is_an_error():
    with pytest.raises(ConfigError, match="split is 'groups'; it must be one of auto, group, time, train"):
        draw_split([], by="groups")
