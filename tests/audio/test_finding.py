"""Which recordings are meant, and what is left out with which reason."""

import os
import socket
from pathlib import Path

import pytest

from anemone_lib.audio.finding import find_recordings, refuse_special_file


@pytest.fixture
def season(tmp_path):
    """A folder with recordings in it and below, and with what is none."""
    folder = tmp_path / "season"
    for name in ("b.wav", "A.FLAC", "site 1/reef.wav", "site 2/reef.wav", "site 2/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def names_of(*sources):
    return [recording.name for recording in find_recordings(sources).recordings]


def reasons_of(finding):
    return {reason: [Path(path).name for path in paths] for reason, paths in finding.omissions.items()}


def test_recordings_of_a_folder_are_named_by_their_path_in_it(season):
    finding = find_recordings([season])
    assert [r.name for r in finding.recordings] == ["A.FLAC", "b.wav", "site 1/reef.wav", "site 2/reef.wav"]
    assert [Path(r.source) for r in finding.recordings] == [season / r.name for r in finding.recordings]
    assert (finding.failures, finding.notes) == ([], [])


def test_two_recordings_of_one_name_are_told_apart_by_their_folders(season):
    assert names_of(season / "b.wav", season / "site 1/reef.wav") == ["b.wav", "reef.wav"]
    assert names_of(season / "site 1/reef.wav", season / "site 2/reef.wav") == ["site 1/reef.wav", "site 2/reef.wav"]
    assert names_of(season / "site 1", season / "site 2") == ["site 1/reef.wav", "site 2/reef.wav"]
    assert names_of("s3://a/x/reef.wav", "s3://b/x/reef.wav") == ["a/x/reef.wav", "b/x/reef.wav"]


def test_a_glob_names_recordings_by_their_path_from_the_folder_before_its_first_star(season):
    assert names_of(f"{season}/site */*.wav") == ["site 1/reef.wav", "site 2/reef.wav"]
    assert names_of(f"{season}/**/*.wav") == ["b.wav", "site 1/reef.wav", "site 2/reef.wav"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(season):
    (season / "[1] reef.wav").write_bytes(b"")
    assert names_of(season / "[1] reef.wav") == ["[1] reef.wav"]


def test_each_real_file_is_found_once(season):
    once = names_of(season)
    assert names_of(season, season / "b.wav", f"{season}/**/*.wav", season / "site 1", f"{season}/site*") == once
    assert find_recordings([season, season / "site 1"]).failures == []


def test_links_lead_to_a_recording_once_and_loops_end(season, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.wav").write_bytes(b"far")
    (season / "linked").symlink_to(elsewhere)
    (season / "site 1" / "loop").symlink_to(season)
    (season / "site 1" / "same.wav").symlink_to(season / "b.wav")
    (season / "gone.wav").symlink_to(season / "nowhere.wav")
    finding = find_recordings([season])
    assert sorted(r.name for r in finding.recordings) == [
        *("A.FLAC", "b.wav", "linked/far.wav", "site 1/reef.wav", "site 2/reef.wav")
    ]
    assert reasons_of(finding) == {
        "the folder is searched already, under another name": ["loop"],
        "another name of a recording that is analysed already": ["same.wav"],
        "a link to a missing file": ["gone.wav"],
    }


def test_two_identical_files_are_two_recordings(season):
    (season / "copy.wav").write_bytes((season / "b.wav").read_bytes())
    assert {"b.wav", "copy.wav"} <= set(names_of(season))


def test_sound_of_other_suffixes_trash_and_hidden_files_are_named(season):
    for name in ("x.wv", "y.ape", "z.ape", "$RECYCLE.BIN/old.wav", ".Trash-1000/old.wav", "._b.wav", "DATA0001"):
        (season / name).parent.mkdir(exist_ok=True)
        (season / name).write_bytes(b"")
    finding = find_recordings([season])
    assert len(finding.recordings) == 4
    assert reasons_of(finding) == {
        ".wv is not among the suffixes of recordings; name such files one by one to try": ["x.wv"],
        ".ape is not among the suffixes of recordings; name such files one by one to try": ["y.ape", "z.ape"],
        "trash and hidden folders are not searched": ["$RECYCLE.BIN", ".Trash-1000"],
        "hidden files are not taken": ["._b.wav"],
        "files without a suffix are not taken; name them one by one to try": ["DATA0001"],
    }
    assert names_of(season / "x.wv") == ["x.wv"]  # itself named, it is tried


def test_a_folder_that_cannot_be_read_is_named(season, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("site 1"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    finding = find_recordings([season])
    assert [r.name for r in finding.recordings] == ["A.FLAC", "b.wav", "site 2/reef.wav"]
    assert reasons_of(finding) == {"the folder cannot be read (Permission denied)": ["site 1"]}
    assert finding.notes[0].startswith("the folder cannot be read (Permission denied): 1 place left out (")


def test_an_empty_folder_and_a_glob_without_a_match_are_named_and_the_rest_is_found(season, tmp_path):
    (tmp_path / "empty").mkdir()
    finding = find_recordings([tmp_path / "empty", f"{season}/*.mp3", season / "b.wav"])
    assert [r.name for r in finding.recordings] == ["b.wav"]
    assert [(Path(source).name, why.split(" (")[0]) for source, why in finding.failures] == [
        ("empty", "the folder has no recordings"),
        ("*.mp3", "no file matches"),
    ]


def test_a_pipe_a_device_and_a_socket_are_refused_without_being_opened(season):
    os.mkfifo(season / "live.wav")
    (season / "null.wav").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(season)  # the path of a socket is short
        listener.bind("s.wav")
        os.chdir(here)
        finding = find_recordings([season / "live.wav", season / "null.wav", season / "s.wav"])
    assert [why.split(",")[0] for _, why in finding.failures] == [
        "it is a pipe (FIFO)",
        "it is a device",
        "it is a socket",
    ]
    assert len(find_recordings([season]).recordings) == 4
    assert refuse_special_file(season / "b.wav") == ""


def test_a_name_too_long_for_the_system_fails_by_itself():
    assert names_of("x" * 5000) == ["x" * 5000]


def test_a_glob_takes_recordings_and_folders_and_any_suffix_that_it_names(season):
    (season / "x.wv").write_bytes(b"")
    (season / "notes.txt").write_text("calm sea")
    everything = names_of(season)
    assert sorted(names_of(f"{season}/*")) == everything
    assert sorted(names_of(f"{season}/**")) == everything
    assert reasons_of(find_recordings([f"{season}/*"])) == {
        ".wv is not among the suffixes of recordings; name such files one by one to try": ["x.wv"]
    }
    (season / "lost+found").mkdir()
    (season / "lost+found" / "old.wav").write_bytes(b"old")
    assert sorted(names_of(f"{season}/*")) == everything
    assert names_of(f"{season}/*.wv") == ["x.wv"]
    assert names_of(f"{season}/?.w*") == ["b.wav"]


def test_an_empty_name_is_said_to_be_empty():
    assert find_recordings([""]).failures == [("", "the name is empty; give the path of a recording or a folder")]
