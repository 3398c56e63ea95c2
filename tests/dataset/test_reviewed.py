from dataclasses import replace

import numpy as np
import pytest
import soundfile

from anemone_lib.dataset import Dataset, read_recordings
from anemone_lib.errors import ConfigError
from anemone_lib.tables.verdicts import Verdict, write_verdicts


@pytest.fixture
def folder(tmp_path):
    """A recording with a table, one without."""
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(80_000), 4_000)
    (tmp_path / "a.csv").write_text("start,end,label\n1.0,2.0,toadfish\n")
    return tmp_path


def read(folder, verdicts, classes=("noise", "toadfish")):
    write_verdicts(folder / "verdicts.csv", verdicts)
    fields = {"recordings": (".",), "classes": classes, "target_class": "toadfish", "verdicts": "verdicts.csv"}
    recordings = read_recordings(Dataset(**fields).with_folder(folder))
    return {one.name: one for one in recordings}


def say(name, start, end, label, reviewer="", **options):
    return Verdict(
        f"{name}{start}", f"{name}.wav", start, end, label, label == "toadfish", 0.8, reviewer=reviewer, **options
    )


def spans(annotations):
    return [(one.start_time, one.end_time) for one in annotations]


def test_an_accepted_event_is_added_where_the_table_has_none(folder):
    found = read(folder, [say("a", 1.5, 2.5, "toadfish"), say("a", 5, 6, "toadfish"), say("a", 8, 9, "not toadfish")])
    assert spans(found["a.wav"].annotations) == [(1.0, 2.0), (5.0, 6.0)]
    assert found["a.wav"].unclear == ()
    assert list(found) == ["a.wav"]  # nobody listened to the other


def test_a_recording_without_a_table_is_annotated_where_somebody_listened(folder):
    found = read(folder, [say("b", 2, 4, "toadfish"), say("b", 6, 7, "not toadfish")])["b.wav"]
    assert spans(found.annotations) == [(2.0, 4.0)]
    assert spans(found.unclear) == [(0.0, 2.0), (4.0, 6.0), (7.0, 20.0)]


def test_with_several_classes_what_is_rejected_may_be_another(folder):
    verdicts = [say("b", 2, 4, "grunt"), say("b", 6, 7, "not toadfish")]
    found = read(folder, verdicts, classes=("noise", "toadfish", "grunt"))["b.wav"]
    assert [(one.label, one.start_time) for one in found.annotations] == [("grunt", 2.0)]
    assert (6.0, 7.0) in spans(found.unclear)


def test_a_call_in_a_quiet_window_is_unclear_and_silence_is_background(folder):
    quiet = [say("b", 2, 3, "toadfish", kind="window"), say("b", 5, 6, "not toadfish", kind="window")]
    found = read(folder, quiet)["b.wav"]
    assert found.annotations == ()
    assert spans(found.unclear) == [(2.0, 3.0), (0.0, 5.0), (6.0, 20.0)]


def test_the_majority_of_reviewers_counts_and_a_draw_is_unclear(folder):
    verdicts = [say("a", 5, 6, "toadfish", who) for who in ("Ana", "Ben")] + [say("a", 5, 6, "not toadfish", "Cem")]
    verdicts += [say("a", 8, 9, "toadfish", "Ana"), say("a", 8, 9, "not toadfish", "Ben")]
    found = read(folder, verdicts)["a.wav"]
    assert spans(found.annotations) == [(1.0, 2.0), (5.0, 6.0)]
    assert spans(found.unclear) == [(8.0, 9.0)]


def test_a_reviewer_who_judged_twice_has_one_voice_whatever_the_case_of_letters(folder):
    verdicts = [say("a", 5, 6, "not toadfish", "Ana")] * 2 + [say("a", 5, 6, "toadfish", "Ana")]
    verdicts += [replace(say("a", 5, 6, "toadfish", "Ben"), label="Toadfish"), say("a", 5, 6, "not toadfish", "Cem")]
    assert spans(read(folder, verdicts)["a.wav"].annotations) == [(1.0, 2.0), (5.0, 6.0)]


@pytest.mark.parametrize(
    "was", ["/home/ana/season/sub/b.wav", "C:\\Users\\Ana\\season\\sub\\b.wav", "season\\sub\\b.wav"]
)
def test_verdicts_from_another_machine_find_their_recordings(folder, was):
    (folder / "sub").mkdir()
    (folder / "b.wav").rename(folder / "sub" / "b.wav")
    (moved,) = (
        one
        for name, one in read(folder, [replace(say("b", 2, 4, "toadfish"), recording=was)]).items()
        if "b.wav" in name
    )
    assert spans(moved.annotations) == [(2.0, 4.0)]


def test_a_label_of_no_class_and_a_recording_that_is_gone_are_said(folder):
    with pytest.raises(ConfigError, match="label 'boat' belongs to no class"):
        read(folder, [say("a", 5, 6, "boat")])
    with pytest.raises(ConfigError, match="verdicts on gone.wav, which is not there"):
        read(folder, [say("gone", 5, 6, "toadfish")])


def test_two_recordings_with_the_same_sound_have_their_own_verdicts(folder):
    one = say("b", 2, 4, "toadfish")
    (folder / "north").mkdir()
    (folder / "north" / "b.wav").write_bytes((folder / "b.wav").read_bytes())  # an event of both has one id
    write_verdicts(
        folder / "verdicts.csv", [one, replace(one, recording="north/b.wav", label="not toadfish", is_call=False)]
    )
    fields = {"recordings": (".",), "classes": ("noise", "toadfish"), "target_class": "toadfish"}
    recordings = read_recordings(Dataset(**fields, verdicts="verdicts.csv").with_folder(folder))
    found = {one.path.relative_to(folder.resolve()).as_posix(): one for one in recordings}
    assert spans(found["b.wav"].annotations) == [(2.0, 4.0)]
    assert spans(found["north/b.wav"].annotations) == []
