"""Many recordings at once: nothing lost, nothing written over, nothing left out in silence."""

import csv
import json
import os
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import soundfile

from anemone_lib import open_recording
from anemone_lib.errors import ConfigError
from anemone_lib.files import check_folder, shorten_name


@pytest.fixture
def reef(tmp_path, noise):
    """A recording; a copy of it under any name."""
    samples = noise(3, 16000)

    def write(name, *, seed=0):
        path = tmp_path / "season" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            soundfile.write(file, np.roll(samples, seed), 16000, format="FLAC" if str(name).endswith("flac") else "WAV")
        return path

    return write


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


ALL = ("--threshold", "0")  # every window is an event


# ---------------------------------------------------------------------- identity


def test_a_renamed_recording_has_its_own_name_and_clock_although_its_scores_are_kept(anemone, reef, tmp_path):
    first = reef("20230210_000001.wav")
    options = ("--cache", tmp_path / "cache", "--out", tmp_path / "out", "--formats", "csv,json", *ALL)
    assert anemone("detect", first, *options).exit_code == 0
    second = first.rename(first.with_name("20240101_120000.wav"))
    assert anemone("detect", second, "--timezone", "Asia/Tokyo", *options).exit_code == 0
    assert len(list((tmp_path / "cache").iterdir())) == 1
    before, after = (
        rows_of(tmp_path / "out" / f"{stem}.events.csv")[0] for stem in ("20230210_000001", "20240101_120000")
    )
    assert (before["recording"], before["start_utc"]) == ("20230210_000001.wav", "2023-02-10T00:00:01.000Z")
    assert (after["recording"], after["start_utc"]) == ("20240101_120000.wav", "2024-01-01T03:00:00.000Z")
    assert after["start_local"] == "2024-01-01T12:00:00.000+09:00"
    metadata = json.loads((tmp_path / "out" / "20240101_120000.json").read_text())["metadata"]
    assert metadata["provenance"]["recording_name"] == "20240101_120000.wav"


def test_the_time_zone_of_a_second_run_counts(anemone, reef, tmp_path):
    path = reef("20230210_000001.wav")
    options = ("--cache", tmp_path / "cache", "--out", tmp_path / "out", "--formats", "csv", *ALL)
    starts = []
    for zone in ("UTC", "+09:00", "America/New_York"):
        assert anemone("detect", path, "--timezone", zone, *options).exit_code == 0
        starts.append(rows_of(tmp_path / "out" / "20230210_000001.events.csv")[0]["start_utc"])
    assert starts == ["2023-02-10T00:00:01.000Z", "2023-02-09T15:00:01.000Z", "2023-02-10T05:00:01.000Z"]


def test_identical_recordings_of_one_name_in_two_folders_stay_apart(anemone, reef, tmp_path):
    reef("site a/reef.wav"), reef("site b/reef.wav")
    result = anemone(
        "detect",
        tmp_path / "season",
        "--cache",
        tmp_path / "cache",
        "--out",
        tmp_path / "out",
        "--formats",
        "csv,raven",
        *ALL,
    )
    assert result.exit_code == 0
    for site in ("site a", "site b"):
        assert rows_of(tmp_path / "out" / site / "reef.events.csv")[0]["recording"] == f"{site}/reef.wav"
    assert "site a/reef.wav" in result.stdout


def test_the_figures_clock_is_that_of_the_tables(anemone, reef, tmp_path, monkeypatch):
    from anemone_lib.plots import timeaxis

    began = []
    original = timeaxis.add_clock_axis
    monkeypatch.setattr(
        "anemone_lib.plots.recording.add_clock_axis",
        lambda ax, a, b, start, *more: (began.append(start), original(ax, a, b, start, *more)),
    )
    path = reef("20230210_000001.wav")
    arguments = ("--timezone", "Asia/Tokyo", "--formats", "png,csv", "--out", tmp_path / "out", *ALL)
    assert anemone("detect", path, *arguments).exit_code == 0
    row = rows_of(tmp_path / "out" / "20230210_000001.events.csv")[0]
    assert began[0].isoformat(timespec="milliseconds") == row["start_local"] == "2023-02-10T00:00:01.000+09:00"


# ---------------------------------------------------------------------- clocks


def test_names_without_a_date_are_one_warning_for_the_batch(anemone, reef, tmp_path):
    for k in range(5):
        reef(f"reef {k}.wav")
    result = anemone("detect", tmp_path / "season", "--out", tmp_path / "out", "--formats", "csv")
    assert result.exit_code == 0
    assert result.stderr.count("5 recordings without a start time (reef 0.wav, reef 1.wav, reef 2.wav, …)") == 1
    assert result.stderr.count("--start-time-format") == 1


def test_a_format_or_a_start_says_when_recordings_began(anemone, reef, tmp_path):
    path = reef("site7-07May2023-1405.wav")
    arguments = ("detect", path, "--out", tmp_path / "out", "--formats", "csv", *ALL)
    result = anemone(*arguments, "--start-time-format", "%d%b%Y-%H%M", "--timezone", "+10:00")
    assert (result.exit_code, result.stderr) == (0, "")
    assert rows_of(tmp_path / "out" / f"{path.stem}.events.csv")[0]["start_local"] == "2023-05-07T14:05:00.000+10:00"
    assert anemone(*arguments, "--start-time", "2020-01-02 03:04:05").exit_code == 0
    assert rows_of(tmp_path / "out" / f"{path.stem}.events.csv")[0]["start_utc"] == "2020-01-02T03:04:05.000Z"


@pytest.mark.parametrize(
    ("option", "word"), [("--start-time", "yesterday"), ("--start-time-format", "%Q"), ("--timezone", "Mars/Olympus")]
)
def test_a_clock_that_cannot_be_understood_is_said_once(anemone, reef, option, word):
    result = anemone("detect", reef("reef.wav"), option, word)
    assert result.exit_code == 2
    assert word in result.stderr


def test_one_start_for_several_recordings_is_refused(anemone, reef, tmp_path):
    reef("a.wav"), reef("b.wav")
    result = anemone("detect", tmp_path / "season", "--start-time", "2020-01-02 03:04:05")
    assert result.exit_code == 2
    assert "--start-time-format" in result.stderr


# ---------------------------------------------------------------------- what is found and what is not


def test_an_empty_folder_and_a_glob_without_match_are_named_and_the_rest_is_done(anemone, reef, tmp_path):
    path = reef("20230210_000001.wav")
    (tmp_path / "empty").mkdir()
    result = anemone(
        "detect", tmp_path / "empty", f"{tmp_path}/*.mp3", path, "--out", tmp_path / "out", "--formats", "json"
    )
    assert result.exit_code == 1
    assert (tmp_path / "out" / "20230210_000001.json").is_file()
    assert "empty: the folder has no recordings" in result.stderr
    assert "*.mp3: no file matches" in result.stderr


def test_what_is_left_out_of_a_folder_is_named(anemone, reef, tmp_path):
    reef("20230210_000001.wav")
    for name in ("a.wv", "b.ape", ".Trash-1000/c.wav"):
        reef(name)
    (tmp_path / "season" / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    result = anemone("detect", tmp_path / "season", "--out", tmp_path / "out", "--formats", "json")
    assert result.exit_code == 0
    for words in ("a.wv", "b.ape", ".Trash-1000", "gone.wav", "a link to a missing file"):
        assert words in result.stderr


def test_a_pipe_is_refused_at_once(anemone, reef, tmp_path):
    good = reef("20230210_000001.wav")
    os.mkfifo(tmp_path / "live.wav")
    result = anemone("detect", tmp_path / "live.wav", "/dev/zero", good, "--out", tmp_path / "out", "--formats", "json")
    assert result.exit_code == 1
    assert "live.wav: it is a pipe (FIFO)" in result.stderr
    assert "/dev/zero: it is a device" in result.stderr
    assert (tmp_path / "out" / "20230210_000001.json").is_file()
    with pytest.raises(Exception, match="it is a pipe"):
        open_recording(tmp_path / "live.wav")


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_an_output_folder_that_is_a_file_is_refused_before_anything_is_scored(anemone, reef, tmp_path, name):
    (tmp_path / "file").write_text("mine")
    result = anemone("detect", reef("a.wav"), "--out", tmp_path / name, "--cache", tmp_path / "cache")
    assert result.exit_code == 2
    assert "--out is" in result.stderr
    assert not (tmp_path / "cache").exists()
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(("number", "words"), [(28, "No space left on device"), (30, "Read-only file system")])
def test_an_output_folder_that_is_full_or_read_only_is_refused_before_anything_is_scored(
    tmp_path, monkeypatch, number, words
):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ConfigError, match=f"--out is .*{words}"):
        check_folder(tmp_path, "--out")


def test_a_result_that_cannot_be_written_fails_beside_the_others(anemone, reef, tmp_path):
    reef("site a/reef.wav"), reef("site b/reef.wav")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "site a").write_text("mine")
    result = anemone("detect", tmp_path / "season", "--out", tmp_path / "out", "--formats", "json")
    assert result.exit_code == 1
    assert "is a file; the results need a folder of that name" in result.stderr
    assert (tmp_path / "out" / "site b" / "reef.json").is_file()


# ---------------------------------------------------------------------- nothing of a person's is written over


def test_the_table_of_a_person_is_never_written_over(anemone, reef, tmp_path):
    path = reef("reef.wav")
    table = path.with_name("reef.selections.txt")
    table.write_text("Selection\tBegin Time (s)\tEnd Time (s)\n1\t0.5\t0.9\n")
    result = anemone("detect", path, "--out", path.parent, "--formats", "raven,csv")
    assert result.exit_code == 0
    assert table.read_text() == "Selection\tBegin Time (s)\tEnd Time (s)\n1\t0.5\t0.9\n"
    assert path.with_name("reef.selections-2.txt").is_file()
    assert "it is kept" in result.stdout.replace("\n", " ")


@pytest.mark.parametrize("kind", ["csv", "raven", "audacity", "json", "png"])
def test_what_this_program_wrote_is_replaced_and_what_a_person_changed_in_it_is_not(anemone, reef, tmp_path, kind):
    path, out = reef("reef.wav"), tmp_path / "out"
    arguments = ("detect", path, "--out", out, "--formats", kind)
    assert anemone(*arguments, *ALL).exit_code == 0
    (written,) = out.iterdir()
    assert anemone(*arguments, "--threshold", "1").exit_code == 0  # no events: a table without rows
    assert anemone(*arguments, *ALL).exit_code == 0
    assert list(out.iterdir()) == [written]
    if kind in ("csv", "raven", "audacity"):
        changed = written.read_text().replace("anemonefish", "grunt", 1)
        written.write_text(changed)
        assert anemone(*arguments, *ALL).exit_code == 0
        assert written.read_text() == changed
        assert len(list(out.iterdir())) == 2


# ---------------------------------------------------------------------- screens and names


def test_quiet_prints_nothing_but_what_went_wrong(anemone, reef, tmp_path):
    good, bad = reef("20230210_000001.wav"), tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF\0\0\0\0WAVE")
    result = anemone("detect", good, "--out", tmp_path / "out", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    result = anemone("detect", good, bad, "--out", tmp_path / "out", "-q")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "bad.wav" in result.stderr


def test_the_threshold_replaces_that_of_the_configuration(anemone, reef, tmp_path):
    path = reef("reef.wav")
    n_events = {}
    for threshold in ("0", "1"):
        assert (
            anemone(
                "detect", path, "--out", tmp_path / threshold, "--threshold", threshold, "--formats", "json"
            ).exit_code
            == 0
        )
        n_events[threshold] = json.loads((tmp_path / threshold / "reef.json").read_text())["metadata"]["total_events"]
    assert n_events == {"0": 1, "1": 0}
    assert anemone("detect", path, "--threshold", "2").exit_code == 2


def test_one_event_is_one_event(anemone, reef, tmp_path):
    result = anemone("detect", reef("reef.wav"), "--out", tmp_path / "out", "--formats", "json", *ALL)
    assert "1 anemonefish event " in result.stdout
    assert "1 anemonefish events" not in result.stdout


SCRIPT = "import sys; from anemone_lib.cli import app; app()"
NAMES = [
    "größe 日本語 [bold] 🐠.wav".encode(),
    b"r\xe9cif.wav",  # Latin-1: no UTF-8
    b"line\nend\x1b[31m.wav",
    b"x" * 251 + b".wav",
    ("é" * 125).encode() + b".wav",
    b"$HOME 100% `a`.wav",
]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_any_name_prints_in_any_locale_and_its_results_are_written(reef, tmp_path, encoding):
    for name in NAMES:
        reef(os.fsdecode(name))
    reef(os.fsdecode(b"r\xe9cif.flac"))
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C.UTF-8" if encoding == "utf-8" else "C"}
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        "detect",
        "season",
        "--out",
        "out",
        "--formats",
        "json,csv,raven,audacity,png",
        *ALL,
    ]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr.decode("utf-8", "replace")
    assert b"7 of 7 recordings analysed" in answer.stdout
    assert b"\x1b[31m.wav" not in answer.stdout
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) == 7 * 5
    assert all(len(os.fsencode(path.name)) <= 255 for path in written)


def test_accents_in_a_name_are_kept_as_they_are_on_disk(anemone, reef, tmp_path):
    name = unicodedata.normalize("NFD", "réef")
    assert anemone("detect", reef(f"{name}.wav"), "--out", tmp_path / "out", "--formats", "json").exit_code == 0
    assert (tmp_path / "out" / f"{name}.json").is_file()


def test_two_names_too_long_for_the_disk_stay_two():
    one, two = (shorten_name("x" * 250 + letter, ".selections.txt") for letter in "ab")
    assert one != two
    assert len(one) <= 247


def test_the_chatter_of_decoders_becomes_a_note_on_the_recording_it_is_about(reef, tmp_path):
    path = reef("20230210_000001.wav")
    script = (
        "import os, anemone_lib\n"
        "from anemone_lib.audio import recording\n"
        "original = recording.open_decoder\n"
        "def noisy(*arguments):\n"
        "    os.write(2, b'[src/libmpg123/layer3.c:INT123_do_layer3():1801] error: part2_3_length too large\\n')\n"
        "    os.write(2, b'Note: Trying to resync...\\nNote: Skipped 1024 bytes in input.\\n')\n"
        "    os.write(2, b'INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n')\n"
        "    os.write(2, b'oneDNN custom operations are on\\n')\n"
        "    os.write(2, b'something else entirely\\n')\n"
        "    return original(*arguments)\n"
        "recording.open_decoder = noisy\n" + SCRIPT
    )
    command = [sys.executable, "-c", script, "detect", str(path), "--out", str(tmp_path / "out"), "--formats", "json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "the decoder says:" in answer.stdout
    assert "part2_3_length too large" in answer.stdout
    assert answer.stderr.strip() == "something else entirely"
