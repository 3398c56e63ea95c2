"""A real Dask cluster, started by its own commands and with its own settings: the tables are the same bytes."""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from anemone_lib.archive import cluster as cluster_module
from anemone_lib.archive import running as running_module
from anemone_lib.archive.running import Run
from anemone_lib.archive.units import SMALL_CHUNK_WINDOWS, analyse_recording
from anemone_lib.archive.workers import open_workers
from anemone_lib.errors import ConfigError, ScoresError
from tests.conftest import ROOT

#: So long a test waits for a process at the most, seconds.
PATIENCE_S = 600.0
LOUD = "20230227_223000.wav"


class DaskCommands:
    """``dask scheduler`` and ``dask worker`` as processes."""

    def __init__(self, folder):
        self.folder, self._processes = folder, []
        about = folder / "scheduler.json"
        options = (
            "--host",
            "127.0.0.1",
            "--port",
            0,
            "--no-dashboard",
            "--idle-timeout",
            3600,
            "--scheduler-file",
            about,
        )
        self.scheduler = self._start("scheduler", *options)
        wait_until(lambda: about.is_file() and about.read_text().endswith("}"))
        self.address = json.loads(about.read_text())["address"]

    def _start(self, role, *options):
        command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (self.folder / f"{role}-{len(self._processes)}.log").open("w") as log:
            process = subprocess.Popen([*map(str, command)], env=environment, stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def add_worker(self, *options):
        common = (
            self.address,
            "--death-timeout",
            60,
            "--nthreads",
            1,
            "--no-dashboard",
            "--local-directory",
            self.folder,
        )
        return self._start("worker", *common, *options)

    def ask(self, question):
        """Ask a client of the cluster."""
        from distributed import Client

        with Client(self.address, timeout="60s", set_as_default=False) as client:
            return question(client)

    def list_statuses(self):
        return [worker["status"] for worker in self.ask(lambda client: client.scheduler_info(-1))["workers"].values()]

    def close(self):
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(is_so):
    until = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def dask(tmp_path):
    commands = DaskCommands(tmp_path)
    yield commands
    commands.close()


@pytest.fixture
def impatient(monkeypatch):
    """The scheduler is asked at once, and what it says is said at once."""
    monkeypatch.setattr(cluster_module, "ASK_S", 0.05)
    monkeypatch.setattr(cluster_module, "SAY_S", 0.0)


def count_scores(archive):
    return len(list((archive / "scores").glob("*.npz")))


@pytest.mark.slow
def test_workers_that_join_late_and_die_give_the_same_tables(dask, whole, analyse, out, tables_of):
    folder, _, expected = whole

    def disturb():
        wait_until((out("dask") / "state").is_dir)  # the run has begun, and there is no worker
        dask.add_worker()
        wait_until(lambda: count_scores(out("dask")) >= 5)
        (first,) = dask.ask(lambda client: client.run(os.getpid)).values()
        dask.add_worker()
        os.kill(first, signal.SIGKILL)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    analyse([folder], out("dask"), scheduler=dask.address)
    disturber.join()
    assert tables_of(out("dask")) == expected


def swell(task, classifier, config):
    """A unit of work that takes more memory than its worker may have, unless it is done in small pieces."""
    if LOUD in task.source and task.chunk_windows > SMALL_CHUNK_WINDOWS:
        taken = [np.ones(10 << 20, np.uint8) for _ in range(100)]
        wait_until(lambda: not taken)  # until the worker is ended
    return analyse_recording(task, classifier, config)


@pytest.mark.slow
def test_a_recording_for_which_a_worker_has_no_memory_is_done_in_small_pieces(
    dask, make_season, analyse, out, tables_of, monkeypatch
):
    folder = make_season(4)
    analyse([folder], out("whole"))
    monkeypatch.setattr(running_module, "analyse_recording", swell)
    dask.add_worker("--memory-limit", "900MB")
    analyse([folder], out("dask"), scheduler=dask.address)
    assert tables_of(out("dask")) == tables_of(out("whole"))
    assert (dask.folder / "worker-1.log").read_text().count("exceeded 95% memory budget") >= 4


LEAKED = []


def leak(limit, place, task, classifier, config):
    """A unit of work that, once, keeps so much memory that its worker begins nothing more."""
    from distributed import get_worker

    if not place.exists():
        place.touch()
        while psutil.Process().memory_info().rss < 0.86 * limit:
            LEAKED.append(np.ones(1 << 20, np.uint8))
        wait_until(lambda: get_worker().status.name == "paused")
    return analyse_recording(task, classifier, config)


@pytest.mark.slow
def test_a_worker_that_stays_paused_is_started_anew(
    dask, make_season, analyse, out, tables_of, tmp_path, monkeypatch, impatient
):
    folder, notes = make_season(4), []
    analyse([folder], out("whole"))
    monkeypatch.setattr(running_module, "analyse_recording", functools.partial(leak, 900e6, tmp_path / "leaked"))
    dask.add_worker("--memory-limit", "900MB")
    analyse([folder], out("dask"), scheduler=dask.address, note=notes.append)
    assert tables_of(out("dask")) == tables_of(out("whole"))
    assert any(
        "1 is paused, because more than 80 % of the memory is in use (0.9 GB a worker)" in note for note in notes
    )
    assert notes[-1] == "the cluster is at work again"


def hang(task, classifier, config):
    """A unit of work that never comes back from one recording."""
    if LOUD in task.source:
        threading.Event().wait()
    return analyse_recording(task, classifier, config)


@pytest.mark.slow
def test_a_recording_in_which_a_worker_hangs_costs_only_itself_and_is_tried_again(
    dask, make_season, analyse, out, tables_of, monkeypatch
):
    folder, name = make_season(4), f"north reef/{LOUD}"
    dask.add_worker()
    with monkeypatch.context() as patch:
        patch.setattr(running_module, "analyse_recording", hang)
        patch.setattr(Run, "_choose_limit", lambda run, job: 0.1 if job.row["recording"] == name else 1e9)
        archive = analyse([folder], out("dask"), scheduler=dask.address)
    failed = archive.recordings[archive.recordings["status"] == "failed"].set_index("recording")
    assert failed.index.tolist() == [name]
    assert "it was not done in its time (--timeout)" in failed.loc[name, "problem"]
    assert archive.provenance["recordings"] == {"listed": 4, "analysed": 3, "failed": 1}
    analyse([folder], out("dask"), scheduler=dask.address)
    analyse([folder], out("whole"))
    assert tables_of(out("dask")) == tables_of(out("whole"))


def test_pieces_are_done_in_one_thread_and_after_one_that_hangs_in_another():
    go_on = threading.Event()
    first, second = (cluster_module._work_in_time(600, threading.get_ident) for _ in range(2))
    late = cluster_module._work_in_time(0.0, go_on.wait)
    third = cluster_module._work_in_time(600, threading.get_ident)
    go_on.set()
    assert first == second != threading.get_ident()
    assert third not in (first, threading.get_ident())
    assert (late.status, "it was not done in its time" in late.reason) == ("failed", True)
    with pytest.raises(MemoryError):
        cluster_module._work_in_time(600, refuse_memory)


def refuse_memory():
    raise MemoryError


@pytest.mark.slow
def test_a_cluster_without_workers_and_one_without_memory_end_the_run_with_what_to_do(
    dask, make_season, analyse, out, impatient
):
    folder, options = make_season(2), {"scheduler": dask.address, "wait_minutes": 0}
    with pytest.raises(ScoresError, match=r"there is no worker at tcp://.*: start workers .*0 recordings of 2"):
        analyse([folder], out("a"), **options)
    dask.add_worker("--no-nanny", "--memory-limit", "50MB")  # less than it takes when it does nothing
    wait_until(lambda: dask.list_statuses() == ["paused"])
    with pytest.raises(
        ScoresError, match=r"of 1 worker at tcp.*, 1 is paused.*\(0.05 GB a worker\): give workers more"
    ):
        analyse([folder], out("a"), **options)
    dask.add_worker()
    wait_until(lambda: "running" in dask.list_statuses())
    assert analyse([folder], out("a"), scheduler=dask.address).provenance["recordings"]["analysed"] == 2


@pytest.mark.slow
def test_a_scheduler_that_is_killed_ends_the_run_and_the_next_goes_on(dask, whole, analyse, out, tables_of):
    folder, _, expected = whole
    dask.add_worker()

    def disturb():
        wait_until(lambda: count_scores(out("dask")) >= 3)
        dask.scheduler.kill()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    with pytest.raises(ScoresError, match=r"the workers are gone .*scheduler .*; \d+ recordings of 24 are done"):
        analyse([folder], out("dask"), scheduler=dask.address)
    disturber.join()
    assert 3 <= count_scores(out("dask")) < 20
    analyse([folder], out("dask"))
    assert tables_of(out("dask")) == expected


def test_a_scheduler_that_does_not_answer_is_said():
    with pytest.raises(ConfigError, match="no Dask scheduler answers"):
        with open_workers(scheduler="nonsense://127.0.0.1:1"):
            pass
