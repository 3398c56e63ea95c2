"""Runs: stopped anywhere, by any workers, with odd files among the recordings, the tables are the same bytes."""

import ctypes
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from filelock import FileLock

from anemone_lib.archive import assembling as assembling_module
from anemone_lib.archive import make_request, open_archive, plan_archive, report_archive, run_archive
from anemone_lib.archive import running as running_module
from anemone_lib.archive.clips import write_clips
from anemone_lib.archive.estimate import estimate_run
from anemone_lib.archive.pieces import Job
from anemone_lib.archive.running import Run
from anemone_lib.archive.state import State
from anemone_lib.archive.units import SMALL_CHUNK_WINDOWS, DiskFullError, Outcome, Task, analyse_recording
from anemone_lib.archive.workers import WORKER_BYTES, count_workers, open_workers, parse_memory
from anemone_lib.audio import open_recording
from anemone_lib.dataset import Dataset
from anemone_lib.errors import ConfigError, ScoresError
from anemone_lib.scoring import DEMONSTRATION_MODEL
from anemone_lib.scoring.scores import Chunk
from tests.archive.conftest import encode
from tests.conftest import ROOT


class KilledError(BaseException):
    """Stands for a kill: nothing catches it."""


# ---------------------------------------------------------------------- what is in the tables


def test_every_odd_recording_has_its_row_and_costs_only_itself(large):
    _, odd, archive = large
    table = archive.recordings.set_index("recording")
    assert len(table) == 200
    effort = archive.effort.groupby("recording")
    for name, what in odd.items():
        row = table.loc[name]
        if what in ("empty", "text"):
            assert (row["status"], bool(row["problem"])) == ("failed", True), name
            assert not effort.get_group(name)["analysed"].any()
        elif what == "copy":
            assert row["status"] == "duplicate"
            assert row["duplicate_of"] == "north reef/20230227_223000.wav"
            assert "the same bytes" in effort.get_group(name)["reason"].iloc[0]
        elif what == "hole":
            assert row["status"] == "analysed"
            assert set(effort.get_group(name)["analysed"]) == {True, False}
        else:
            assert row["status"] in ("analysed", "failed")
    usual = table.drop(index=list(odd))
    assert (usual["status"] == "analysed").all()
    assert archive.provenance["recordings"] == {"listed": 200, **table["status"].value_counts().to_dict()}


def test_intervals_of_effort_make_up_each_recording_and_hours_add_them_up(large):
    _, _, archive = large
    durations = archive.recordings.dropna(subset="duration_s").set_index("recording")["duration_s"]
    lengths = (archive.effort["end_s"] - archive.effort["start_s"]).groupby(archive.effort["recording"]).sum()
    assert np.allclose(lengths[durations.index], durations, atol=1e-5)
    analysed = archive.effort[archive.effort["analysed"].astype(bool)]
    for site, rows in archive.hours.groupby("site"):
        total = (analysed["end_s"] - analysed["start_s"])[analysed["site"] == site].sum()
        assert rows["effort_s"].sum() == pytest.approx(total, abs=1e-4)
    assert archive.hours["events"].sum() == len(archive.events) > 0
    assert set(archive.hours["hour_utc"].dt.minute) == {0}


def test_events_are_those_that_detect_finds(make_season, analyse, out):
    from anemone_lib import detect

    folder = make_season(6)
    archive = analyse([folder], out("a"))
    for name, rows in archive.recordings.groupby("recording"):
        path = rows["source"].iloc[0]
        found = archive.events[archive.events["recording"] == name]
        assert found["id"].tolist() == [event.id for event in detect(path).events]


def test_sites_and_months_have_their_files(large):
    _, _, archive = large
    root = archive.folder
    files = sorted(path.relative_to(root).as_posix() for path in (root / "events.parquet").rglob("*.parquet"))
    assert files == [
        "events.parquet/north reef/2023-02.parquet",
        "events.parquet/north reef/2023-03.parquet",
        "events.parquet/south/2023-02.parquet",
        "events.parquet/south/2023-03.parquet",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_and_a_rate_of_1_hz_cost_nothing_else(tmp_path, analyse, out, rng):
    for name in (b"r\xe9cif/20230210_060000.wav", b"r\xe9cif/\xff.wav", b"north/20230210_060000.wav"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/season/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(rng.normal(0, 0.1, 4000 * 3), ("WAV", "PCM_16", ".wav", 4000)))
    soundfile.write(tmp_path / "season" / "north" / "slow.wav", rng.normal(0, 0.1, 200), 1)
    with plan_archive(make_request([str(tmp_path / "season")]), out("planned")) as state:
        assert estimate_run(state, make_request([str(tmp_path / "season")])).audio_s == 209
    recordings = analyse([tmp_path / "season"], out("a")).recordings.set_index("recording")
    assert recordings["status"].tolist() == ["analysed"] * 4
    assert {*recordings["site"]} == {r"r\xe9cif", "north"}
    for name in (r"r\xe9cif/20230210_060000.wav", r"r\xe9cif/\xff.wav"):
        with open_recording(recordings["source"][name]) as recording:
            assert recording.duration == 3
        assert recordings["size_bytes"][name] == 24_044
    report_archive(out("a"), settings={"confidence_threshold": 0.0})
    assert write_clips(out("a"), out("clips")).number == 4


def test_a_dead_and_a_clipped_stretch_are_in_the_effort(tmp_path, analyse, out):
    rng = np.random.default_rng(0)
    dead = np.concatenate([rng.normal(0, 0.1, 16000), np.zeros(16000)])
    soundfile.write(tmp_path / "dead.wav", dead, 8000)
    soundfile.write(tmp_path / "loud.wav", np.clip(rng.normal(0, 1, 32000), -1, 1), 8000)
    effort = analyse([tmp_path / "dead.wav", tmp_path / "loud.wav"], out("a")).effort.set_index("recording")
    assert effort.loc["dead.wav", "dead_s"] == pytest.approx(2.0, abs=0.4)
    assert effort.loc["loud.wav", "clipped"] == pytest.approx(0.32, abs=0.02)


def test_with_a_dataset_the_targets_settings_are_those_of_the_models_card(tmp_path):
    model = shutil.copytree(DEMONSTRATION_MODEL, tmp_path / "model")
    card = json.loads((model / "best_model.json").read_text())
    card["decisions"] = {"anemonefish": {"confidence_threshold": 0.73, "smoothing_window": 3}}
    (model / "best_model.json").write_text(json.dumps(card))
    fields = {"recordings": (".",), "classes": card["classes"], "target_class": "anemonefish"}
    description = Dataset(**fields).save(tmp_path / "dataset.yaml")
    request = make_request([str(tmp_path)], model=str(model), dataset=description)
    assert (request.configs[0].confidence_threshold, request.configs[0].smoothing_window) == (0.73, 3)
    changed = {"confidence_threshold": 0.6}
    request = make_request([str(tmp_path)], model=str(model), dataset=description, settings=changed)
    assert request.configs[0].confidence_threshold == 0.6


def test_every_class_of_a_description_has_events_and_hours(tmp_path, make_season, analyse, out):
    description = tmp_path / "dataset.yaml"
    description.write_text(
        "recordings: season\nclasses: [noise, anemonefish, biological]\ntarget_class: anemonefish\n"
        "group: '(\\w+)'\nsplit: {by: time}\n"
    )
    archive = analyse([make_season(4)], out("a"), dataset=description, settings={"confidence_threshold": 0.0})
    assert archive.provenance["classes"] == ["anemonefish", "biological"]
    assert set(archive.events["class"]) == {"anemonefish", "biological"}
    assert set(archive.hours["site"]) == {"north", "south"}
    assert set(archive.hours.groupby("hour_utc")["class"].nunique()) == {2}


# ---------------------------------------------------------------------- stopped and begun again


def test_a_season_that_is_killed_ten_times_gives_the_same_tables(large, analyse, out, tables_of, monkeypatch):
    folder, _, archive = large
    dice = random.Random(7)

    def die(*places, after):
        with monkeypatch.context() as patch:
            _kill_at(patch, *dice.choice(places), after=dice.randint(0, after))
            with pytest.raises(KilledError):
                analyse([folder], out("again"))

    listing = [(running_module.State, "list_item"), (running_module.State, "keep_probe")]
    analysing = [
        (Run, "_keep"), (Run, "_keep_noise"), (running_module.ScoreCache, "finish"),
        (running_module.State, "keep_outcome"), (running_module, "write_atomically"),
    ]  # fmt: skip
    die(*listing, after=150)
    for _ in range(5):
        die(*analysing, after=15)
    _kill_9(folder, out("again"), "the run")
    die(*analysing, after=15)
    said, code = _kill_9(folder, out("again"), "a worker")  # the run goes on
    assert code == 1, said  # some recordings are odd
    expected = tables_of(archive.folder)
    assert tables_of(out("again")) == expected
    die((assembling_module, "write_table"), (assembling_module, "open_table"), after=3)
    analyse([folder], out("again"))
    assert tables_of(out("again")) == expected


def _kill_at(patch, owner, name, *, after):
    """Let the process die before or after one call of a method."""
    original, left = getattr(owner, name), [after]

    def dying(*arguments, **options):
        if left[0] == 0:
            raise KilledError
        left[0] -= 1
        return original(*arguments, **options)

    patch.setattr(owner, name, dying)


def _kill_9(folder, place, who):
    """Start a run as a command and kill -9 it, or its worker, after some recordings; return its last words and code."""
    import psutil

    command = [sys.executable, "-c", "from anemone_lib.cli import app; app()", "archive", "run", str(folder)]
    command += ["--out", str(place), "--workers", "1", "--quiet"]
    options = {"cwd": ROOT, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "stderr": subprocess.PIPE}

    def count():
        return len(list((place / "scores").glob("*.npz")))

    before, until = count(), time.monotonic() + 300
    run = subprocess.Popen(command, **options)
    while count() < before + 5 and time.monotonic() < until:
        time.sleep(0.02)
    children = psutil.Process(run.pid).children(recursive=True)
    if who == "the run":
        run.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive  # nothing is left behind
    else:
        max((one for one in children if one.children() == []), key=lambda one: one.memory_info().rss).kill()
    said = run.communicate(timeout=600)[1].decode()
    return said, run.returncode


@pytest.fixture
def again(whole, out):
    """A season, and a copy of its archive."""
    folder, archive, _ = whole
    shutil.copytree(archive, out("again"))
    return folder, out("again")


def test_only_what_is_missing_is_computed(again, analyse, monkeypatch):
    folder, archive = again
    analysed = []
    monkeypatch.setattr(
        running_module, "analyse_recording", lambda *a: (analysed.append(a[0].source), analyse_recording(*a))[1]
    )
    analyse([folder], archive)
    assert analysed == []
    next((archive / "scores").glob("*.npz")).unlink()
    analyse([folder], archive)
    assert len(analysed) == 1


def test_changed_event_settings_reuse_the_scores_and_changed_score_settings_say_so(again, analyse, monkeypatch):
    folder, place = again
    notes = []
    before = {path.name for path in (place / "scores").iterdir()}
    monkeypatch.setattr(running_module, "analyse_recording", pytest.fail)
    archive = analyse([folder], place, settings={"confidence_threshold": 0.0}, note=notes.append)
    assert len(archive.events) >= 20
    assert notes == []
    monkeypatch.undo()
    analyse([folder], place, settings={"stride_duration": 0.5}, note=notes.append)
    assert notes == [
        "all recordings are scored again (stride_duration 0.4 → 0.5); the earlier scores are kept in scores/"
    ]
    assert before < {path.name for path in (place / "scores").iterdir()}


def test_a_file_that_changed_is_analysed_again_and_one_that_is_gone_is_said(make_season, analyse, out):
    folder = make_season(4)
    before = analyse([folder], out("a")).recordings.set_index("recording")
    name = "north reef/20230227_223000.wav"
    soundfile.write(folder / name, np.random.default_rng(1).normal(0, 0.1, 24000), 8000)
    (folder / "south/2023/20230227_223000.flac").unlink()
    notes = []
    second = analyse([folder], out("a"), note=notes.append)
    assert before.loc[name, "duration_s"] == 2.0
    assert second.recordings.set_index("recording").loc[name, "duration_s"] == 3.0
    assert len(second.recordings) == 3
    assert "1 recording of an earlier run is not among the sources" in notes[-1]


def test_another_clock_needs_no_new_scores(make_season, analyse, out, monkeypatch):
    folder = make_season(4)
    analyse([folder], out("a"))
    monkeypatch.setattr(running_module, "analyse_recording", pytest.fail)
    archive = analyse([folder], out("a"), timezone="Asia/Tokyo")
    assert archive.recordings["start_utc"].min().isoformat() == "2023-02-27T13:30:00+00:00"
    assert archive.hours["hour_local"].min().isoformat() == "2023-02-27T22:00:00"


# ---------------------------------------------------------------------- by whom


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_processes_gives_the_same_tables(whole, analyse, out, tables_of, workers):
    folder, _, expected = whole
    analyse([folder], out("processes"), workers=workers)
    assert tables_of(out("processes")) == expected


def test_shards_give_the_same_tables(whole, analyse, out, tables_of):
    folder, _, expected = whole
    for part in (2, 0, 1):
        assert analyse([folder], out("shards"), shard=(part, 3)) is None
    n_scores = len(list(out("shards", "scores").iterdir()))
    analyse([folder], out("shards"))
    assert len(list(out("shards", "scores").iterdir())) == n_scores
    assert tables_of(out("shards")) == expected


def test_a_large_recording_is_analysed_in_stretches_with_the_same_result(
    tmp_path, analyse, out, tables_of, monkeypatch
):
    rng = np.random.default_rng(2)
    soundfile.write(tmp_path / "20230210_060000.wav", rng.normal(0, 0.1, 20 * 8000), 8000)
    analyse([tmp_path / "20230210_060000.wav"], out("whole"))
    monkeypatch.setattr(running_module, "LARGE_BYTES", 1000)
    monkeypatch.setattr(running_module, "STRETCH_S", 3.0)
    with monkeypatch.context() as patch:
        _kill_at(patch, running_module.ScoreCache, "keep", after=3)
        with pytest.raises(KilledError):
            analyse([tmp_path / "20230210_060000.wav"], out("cut"))
    assert len(list(out("cut", "state", "stretches").rglob("*.npy"))) == 3
    analyse([tmp_path / "20230210_060000.wav"], out("cut"))
    assert not list(out("cut", "state", "stretches").rglob("*.npy"))
    assert tables_of(out("cut")) == tables_of(out("whole"))


def test_a_large_recording_is_heard_beside_its_stretches_and_costs_itself_where_it_cannot_be(
    tmp_path, analyse, out, monkeypatch
):
    monkeypatch.setattr(running_module, "LARGE_BYTES", 1000)
    monkeypatch.setattr(running_module, "STRETCH_S", 3.0)
    soundfile.write(tmp_path / "20230210_060000.wav", np.random.default_rng(2).normal(0, 0.1, 20 * 8000), 8000)
    order = []

    def note(name, answer=None):
        original = getattr(running_module, name)
        monkeypatch.setattr(running_module, name, lambda *asked: (order.append(name), answer or original(*asked))[1])

    for name in ("hear_recording", "score_stretch", "finish_recording"):
        note(name)
    archive = analyse([tmp_path / "20230210_060000.wav"], out("a"))
    assert order == ["hear_recording", *["score_stretch"] * (len(order) - 2), "finish_recording"]
    assert len(order) > 4
    assert archive.recordings["sha256"].notna().all()
    note("hear_recording", Outcome("failed", "the disk is gone"))
    archive = analyse([tmp_path / "20230210_060000.wav"], out("b"))
    assert archive.recordings[["status", "problem"]].values.tolist() == [["failed", "the disk is gone"]]


# ---------------------------------------------------------------------- what goes wrong


def die_at_loud_recordings(task, classifier, config):
    """A unit of work that is killed at one recording."""
    if "20230227_223000.wav" in task.source:
        os.kill(os.getpid(), signal.SIGKILL)
    return analyse_recording(task, classifier, config)


def test_a_recording_that_kills_its_workers_is_given_up_and_the_rest_is_done(make_season, analyse, out, monkeypatch):
    folder = make_season(4)
    monkeypatch.setattr(running_module, "analyse_recording", die_at_loud_recordings)
    archive = analyse([folder], out("a"), workers=1)
    failed = archive.recordings[archive.recordings["status"] == "failed"]
    assert failed["recording"].tolist() == ["north reef/20230227_223000.wav"]
    assert "a worker process was killed" in failed["problem"].iloc[0]
    assert archive.provenance["recordings"] == {"listed": 4, "analysed": 3, "failed": 1}


def wait_at_loud_recordings(task, classifier, config):
    """A unit of work that never comes back from one recording."""
    if "20230227_223000.wav" in task.source:
        threading.Event().wait()
    return analyse_recording(task, classifier, config)


def hold_python_at_loud_recordings(task, classifier, config):
    """The same, in a library that gives no other thread a turn."""
    if "20230227_223000.wav" in task.source:
        ctypes.PyDLL(None).pause()
    return analyse_recording(task, classifier, config)


@pytest.mark.parametrize("hang", [wait_at_loud_recordings, hold_python_at_loud_recordings])
def test_a_recording_that_hangs_costs_only_itself_and_is_tried_again(
    make_season, analyse, out, tables_of, monkeypatch, hang
):
    folder, name = make_season(6), "north reef/20230227_223000.wav"
    with monkeypatch.context() as patch:
        patch.setattr(running_module, "analyse_recording", hang)
        patch.setattr(Run, "_choose_limit", lambda run, job: 0.1 if job.row["recording"] == name else 1e9)
        archive = analyse([folder], out("a"), workers=2)
    failed = archive.recordings[archive.recordings["status"] == "failed"].set_index("recording")
    assert failed.index.tolist() == [name]
    assert "it was not done in its time (--timeout)" in failed.loc[name, "problem"]
    assert archive.provenance["recordings"] == {"listed": 6, "analysed": 5, "failed": 1}
    analyse([folder], out("a"))
    analyse([folder], out("b"))
    assert tables_of(out("a")) == tables_of(out("b"))


def test_the_time_of_a_piece_of_work_is_far_more_than_it_takes(make_season, out, monkeypatch):
    request, row = make_request([str(make_season(1))]), {"duration": 3600.0}
    monkeypatch.setattr(running_module, "monotonic", lambda: 1000.0)
    with State(out("a", "state.sqlite")) as state, open_workers(2) as workers:
        run = Run(state, out("a"), request, workers)
        assert run._choose_limit(Job(row, Task(""))) == 600 + 3600
        assert run._choose_limit(Job(row, Task(""), Chunk(0, 0, 450))) == 600 + 180
        run._audio_s = 7200.0  # in 36 s, by two workers: a hundred times real time
        monkeypatch.setattr(running_module, "monotonic", lambda: 1036.0)
        assert run._choose_limit(Job(row, Task(""))) == pytest.approx(600 + 20 * 36)


def test_a_recording_for_which_there_is_no_memory_is_done_in_small_pieces(
    make_season, analyse, out, tables_of, monkeypatch
):
    folder = make_season(4)
    analyse([folder], out("whole"))

    def analyse_if_small(task, *what):
        if "20230227_223000.wav" in task.source and task.chunk_windows > SMALL_CHUNK_WINDOWS:
            raise MemoryError
        return analyse_recording(task, *what)

    monkeypatch.setattr(running_module, "analyse_recording", analyse_if_small)
    analyse([folder], out("small"))
    assert tables_of(out("small")) == tables_of(out("whole"))


@pytest.mark.parametrize(("enough_at", "status"), [(3, "analysed"), (4, "failed")])
def test_a_recording_for_which_there_is_no_memory_beside_others_is_done_alone_at_the_end(
    make_season, analyse, out, monkeypatch, enough_at, status
):
    done = []  # recordings that were done before each try

    def analyse_if_enough(task, *what):
        if "20230227_223000.wav" in task.source:
            done.append(len(list(out("a", "scores").glob("*.npz"))))
            if len(done) < enough_at:
                raise MemoryError
        return analyse_recording(task, *what)

    monkeypatch.setattr(running_module, "analyse_recording", analyse_if_enough)
    archive = analyse([make_season(8)], out("a"))
    assert done[2:] == [7]
    statuses = archive.recordings.set_index("recording")["status"]
    assert statuses.pop("north reef/20230227_223000.wav") == status
    assert set(statuses) == {"analysed"}


class BreakingExecutor(ThreadPoolExecutor):
    """An executor whose workers are gone after some pieces of work."""

    left = 2

    def submit(self, *arguments):
        self.left -= 1
        if self.left < 0:
            raise BrokenExecutor("a worker ended")
        return super().submit(*arguments)


def test_an_executor_of_the_caller_that_breaks_ends_the_run_and_the_next_goes_on(whole, analyse, out, tables_of):
    folder, _, expected = whole
    with BreakingExecutor(1) as executor:
        with pytest.raises(ScoresError, match=r"the workers are gone .*; 2 recordings of 24 are done: run again"):
            analyse([folder], out("a"), executor=executor)
    analyse([folder], out("a"))
    assert tables_of(out("a")) == expected


def test_a_file_that_grows_or_vanishes_meanwhile_has_its_row(make_season, analyse, out, monkeypatch):
    folder = make_season(4)

    def change(task, *what):
        if task.source.endswith("20230227_223000.wav"):
            with open(task.source, "ab") as file:
                file.write(bytes(1000))
        if task.source.endswith(".flac"):
            os.unlink(task.source)
        return analyse_recording(task, *what)

    monkeypatch.setattr(running_module, "analyse_recording", change)
    problems = analyse([folder], out("a")).recordings.set_index("recording")["problem"].dropna()
    assert "still being written" in problems["north reef/20230227_223000.wav"]
    assert "No such file" in problems["south/2023/20230227_223000.flac"]
    assert len(problems) == 2
    monkeypatch.undo()
    again = analyse([folder], out("a"))
    assert again.provenance["recordings"] == {"listed": 3, "analysed": 3}


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_an_unreadable_file_has_its_row(make_season, analyse, out):
    folder = make_season(4)
    (folder / "north reef/20230227_223000.wav").chmod(0)
    counts = analyse([folder], out("a")).provenance["recordings"]
    assert counts == {"listed": 4, "analysed": 3, "failed": 1}


def test_a_full_disk_ends_the_run_with_what_to_do_and_the_next_goes_on(whole, analyse, out, tables_of, monkeypatch):
    folder, _, expected = whole
    original, left = running_module.ScoreCache.finish, [6]

    def fill(self, scores):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, scores)

    with monkeypatch.context() as patch:
        patch.setattr(running_module.ScoreCache, "finish", fill)
        with pytest.raises(DiskFullError, match=r"6 of 24 recordings are done and kept: make room"):
            analyse([folder], out("full"))
    assert not out("full", "archive.json").exists()
    analyse([folder], out("full"))
    assert tables_of(out("full")) == expected


def test_a_full_folder_of_temporary_files_ends_the_run_instead_of_failing_every_recording(
    make_season, analyse, out, monkeypatch
):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("anemone_lib.audio.spool.tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("anemone_lib.archive.steps.check_folder", lambda *_: None)
    with pytest.raises(DiskFullError, match="TMPDIR"):
        analyse([make_season(6)], out("a"))


def test_two_runs_in_one_folder_are_refused_and_shards_are_not(make_season, analyse, out, monkeypatch):
    folder = make_season(2)
    refused = []

    def meanwhile(task, *what):
        if not refused:
            refused.append(None)
            with pytest.raises(ConfigError, match=rf"another run works in .* \(process {os.getpid()} on"):
                analyse([folder], out("a"))
            with pytest.raises(ConfigError, match="another run works"):
                analyse([folder], out("a"), shard=(1, 2))
        return analyse_recording(task, *what)

    monkeypatch.setattr(running_module, "analyse_recording", meanwhile)
    analyse([folder], out("a"))
    assert refused


def test_a_run_that_cannot_say_who_works_in_the_folder_is_refused_all_the_same(make_season, analyse, out):
    folder = make_season(2)
    (out("a") / "state" / "run.owner").mkdir(parents=True)  # it cannot be read, like one that was just removed
    with (
        FileLock(out("a") / "state" / "run.lock"),
        pytest.raises(ConfigError, match="another run works in .* .another process"),
    ):
        analyse([folder], out("a"))


def test_shards_work_beside_each_other(make_season, analyse, out, monkeypatch):
    folder = make_season(6)
    inside = []

    def meanwhile(task, *what):
        if not inside:
            inside.append(None)
            analyse([folder], out("a"), shard=(1, 2))
            with pytest.raises(ConfigError, match="another run works"):
                analyse([folder], out("a"))
        return analyse_recording(task, *what)

    monkeypatch.setattr(running_module, "analyse_recording", meanwhile)
    for part in (0, 1):
        analyse([folder], out("a"), shard=(part, 2))
    assert inside
    assert len(open_archive(analyse([folder], out("a")).folder).recordings) == 6


# ---------------------------------------------------------------------- memory, and what is asked for


@pytest.mark.parametrize(
    ("text", "number"), [("4GB", 4_000_000_000), ("512MiB", 512 << 20), ("2.5 g", 2_500_000_000), ("1000", 1000)]
)
def test_an_amount_of_memory_is_read(text, number):
    assert parse_memory(text) == number


@pytest.mark.parametrize("text", ["much", "4 GBit", "", "-"])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(ConfigError, match="--memory is"):
        parse_memory(text)


def test_memory_limits_the_workers():
    assert count_workers(8, 4 * WORKER_BYTES) == 3
    assert count_workers(2, 100 * WORKER_BYTES) == 2
    with pytest.raises(ConfigError, match="need 0.84 GB"):
        count_workers(1, WORKER_BYTES)


def test_nothing_to_analyse_is_an_error_and_no_tables(tmp_path, out):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="there is nothing to analyse: .*has no recordings"):
        run_archive(make_request([str(tmp_path / "empty")]), out("a"), workers=1)
    assert not out("a", "archive.json").exists()
