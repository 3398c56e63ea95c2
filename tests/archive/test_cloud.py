"""A run on AWS: the bucket is moto's, the state machine a small one that calls the function's own code."""

import errno
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from anemone_lib import load_classifier
from anemone_lib.archive import batch as batch_module
from anemone_lib.archive import cloud as cloud_module
from anemone_lib.archive import execution as execution_module
from anemone_lib.archive import make_request, report_archive, run_archive
from anemone_lib.archive import running as running_module
from anemone_lib.archive import units as units_module
from anemone_lib.archive.batch import BatchRun, analyse_batch, compose_batch
from anemone_lib.archive.execution import Place, find_place
from anemone_lib.archive.inventory import list_recordings
from anemone_lib.archive.measuring import Measured
from anemone_lib.archive.packing import unpack_result
from anemone_lib.archive.state import State
from anemone_lib.errors import ConfigError, ModelError, ScoresError
from anemone_lib.scoring.classifier import rename_classifier
from tests.archive.conftest import analyse, read_bytes, write_season

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:reef-archive"
PLACE = Place(MACHINE, "results")
SOURCE = "s3://reefs/2023/"
#: A recording that is whole, and another.
LOUD, OTHER = "north reef/20230227_223000.wav", "north reef/20230228_003000.wav"


class StoppedError(BaseException):
    """Stands for Ctrl-C or a kill: nothing catches it."""


class Machine:
    """What the state machine does: each look at an execution is one call of the function, for the next batch.

    Parameters
    ----------
    invoke : callable (event) → answer, the function
    tolerated : float, percent of the batches that may fail
    """

    def __init__(self, invoke, tolerated=100.0):
        self.invoke, self.tolerated = invoke, tolerated
        self.executions, self.calls, self.looks = {}, [], []
        self.exceptions = SimpleNamespace(
            ExecutionDoesNotExist=type("ExecutionDoesNotExist", (ClientError,), {}),
            ExecutionAlreadyExists=type("ExecutionAlreadyExists", (ClientError,), {}),
        )

    def start_execution(self, *, stateMachineArn, name, input):
        about = json.loads(input)
        assert (stateMachineArn, about["run"]) == (MACHINE, name)
        keys = boto3.client("s3").list_objects_v2(Bucket=about["bucket"], Prefix=about["prefix"])["Contents"]
        self.executions[name] = {**about, "todo": [one["Key"] for one in keys], "failed": [], "n": len(keys)}

    def describe_execution(self, *, executionArn):
        if self.looks:
            raise self.looks.pop(0)
        about = self.executions.get(executionArn.rpartition(":")[2])
        if about is None:
            raise self.exceptions.ExecutionDoesNotExist({}, "DescribeExecution")
        if "ended" in about:
            return about["ended"]
        if about["todo"]:
            key = about["todo"].pop(0)
            event = {"task": "analyse_batch", "bucket": about["bucket"], "key": key, "results": about["results"]}
            self.calls.append(key)
            try:
                answer = self.invoke(event)
                if answer["left"]:
                    about["todo"].insert(0, key)
            except Exception as error:  # noqa: BLE001 as Lambda does
                cause = json.dumps({"errorMessage": str(error), "errorType": type(error).__name__})
                failure = {"Input": json.dumps({"Key": key}), "Error": type(error).__name__, "Cause": cause}
                about["failed"].append({**failure, "Status": "FAILED"})
            return {"status": "RUNNING"}
        return self.end(about)

    def end(self, about, word="SUCCEEDED", **details):
        if about["failed"]:
            body = json.dumps(about["failed"]).encode()
            key = f"archives/{about['run']}/map/0f/FAILED_0.json"
            boto3.client("s3").put_object(Bucket=about["bucket"], Key=key, Body=body)
            if 100 * len(about["failed"]) > self.tolerated * about["n"]:
                word, details = "FAILED", {"error": "States.ExceedToleratedFailureThreshold", "cause": "too many"}
        about["ended"] = {"status": word, **details}
        return about["ended"]


def call(event, seconds=900.0):
    """The function: its model is the demonstration model."""
    deadline = time.monotonic() + seconds
    return analyse_batch(event["bucket"], event["key"], event["results"], load_classifier(), deadline=deadline)


@pytest.fixture(scope="module")
def reefs(tmp_path_factory):
    """A bucket with a season of 15 recordings, and the tables of a run on this machine over them."""
    root = tmp_path_factory.mktemp("reefs")
    write_season(root / "season", 14)
    shutil.copy(root / "season" / LOUD, root / "season/south/2023/20230301_000000.wav")  # a copy
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        for name in ("reefs", "results"):
            client.create_bucket(Bucket=name)
        for path in (root / "season").rglob("*.*"):
            client.put_object(Bucket="reefs", Key=f"2023/{path.relative_to(root / 'season')}", Body=path.read_bytes())
        analyse([SOURCE], root / "near")
        yield client, read_bytes(root / "near")


@pytest.fixture
def bucket(reefs):
    """The client of S3; nothing is in the bucket of results."""
    client, _ = reefs
    for key in list_keys(client):
        client.delete_object(Bucket="results", Key=key)
    return client


@pytest.fixture
def near(reefs):
    """The tables of a run on this machine over the same recordings."""
    return reefs[1]


@pytest.fixture
def machine(bucket, monkeypatch):
    """A state machine, with batches of a few recordings."""
    made = Machine(call)
    opened = execution_module.open_client
    monkeypatch.setattr(
        execution_module, "open_client", lambda name, region: made if name == "stepfunctions" else opened(name, region)
    )
    monkeypatch.setattr(cloud_module, "POLL_S", 0.0)
    monkeypatch.setattr(cloud_module, "BATCH_FILES", 4)
    return made


@pytest.fixture
def run(machine, out):
    """A function that runs on AWS; and what it said."""

    def start(name="aws", **options):
        known = {key: options.pop(key) for key in ("settings", "noise", "call_level_db", "model") if key in options}
        request = make_request([options.pop("source", SOURCE)], **known)
        return run_archive(request, out(name), aws=PLACE, note=start.notes.append, **options)

    start.notes = []
    return start


def list_keys(client, bucket="results"):
    return [one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", ())]


# ---------------------------------------------------------------------- the same tables


def test_a_run_on_aws_gives_the_same_tables_and_leaves_nothing_there(bucket, machine, run, out, near):
    steps = []
    archive = run(progress=lambda done, total: steps.append((done, total)))
    assert read_bytes(out("aws")) == near
    assert len(machine.calls) == 4
    assert archive.provenance["recordings"]["listed"] == 15
    assert archive.provenance["recordings"]["duplicate"] == 1
    assert steps[-1][1] > steps[0][0] >= 0
    assert steps == sorted(steps)
    assert list_keys(bucket) == []
    assert any("you may stop this program" in note for note in run.notes)
    run()
    assert len(machine.executions) == 1  # nothing is missing
    assert read_bytes(out("aws")) == near


def test_a_run_that_is_stopped_joins_its_execution_and_hands_over_only_what_is_missing(
    bucket, machine, run, out, near, monkeypatch
):
    looks = []

    def stop(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(cloud_module.time, "sleep", stop)
        with pytest.raises(StoppedError):
            run()
    assert len(list(out("aws", "scores").glob("*.npz"))) > 3  # what was found by then
    added = "2023/new/20230401_000000.wav"
    bucket.copy_object(Bucket="reefs", Key=added, CopySource={"Bucket": "reefs", "Key": f"2023/{LOUD}"})
    try:
        run()
    finally:
        bucket.delete_object(Bucket="reefs", Key=added)
    assert any("is running: its results are collected" in note for note in run.notes)
    assert len(machine.executions) == 2
    assert len(machine.calls) == 5  # of the four batches, and of the new recording
    assert run().provenance["recordings"]["listed"] == 15
    assert read_bytes(out("aws")) == near


@pytest.mark.parametrize("place", ["write_batch", "start", "_take", "take_over", "remove"])
def test_a_run_that_is_killed_anywhere_gives_the_same_tables(run, out, near, monkeypatch, place):
    owner = {"_take": cloud_module._Exchange, "take_over": State}.get(place, execution_module.Execution)
    original, left = getattr(owner, place), [2 if place in ("write_batch", "_take") else 0]

    def die(*arguments, **options):
        if not left[0]:
            raise StoppedError
        left[0] -= 1
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, place, die)
        with pytest.raises(StoppedError):
            run()
    run()
    assert read_bytes(out("aws")) == near


def test_report_collects_what_is_there(machine, run, out, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(cloud_module.time, "sleep", lambda seconds: (_ for _ in ()).throw(StoppedError))
        with pytest.raises(StoppedError):
            run()
    (about,) = machine.executions.values()
    while about["todo"]:
        machine.describe_execution(executionArn=f"x:{about['run']}")
    notes = []
    archive = report_archive(out("aws"), note=notes.append)
    assert archive.provenance["recordings"]["analysed"] >= 12
    assert "`anemone archive run --on aws` collects the rest" in notes[0]
    run()
    assert len(machine.executions) == 1


def test_other_event_settings_reuse_the_scores_and_calls_are_measured_on_aws(machine, run, out, monkeypatch):
    run()
    n_notes, n_calls = len(run.notes), len(machine.calls)
    for path in out("aws", "noise").iterdir():
        path.unlink()  # the levels, too, are measured again
    monkeypatch.setattr(running_module, "analyse_recording", pytest.fail)
    run(settings={"confidence_threshold": 0.0})
    assert len(machine.calls) == n_calls + 4
    assert not any("scored again" in note for note in run.notes[n_notes:])
    monkeypatch.undo()
    analyse([SOURCE], out("near"), settings={"confidence_threshold": 0.0})
    assert read_bytes(out("aws")) == read_bytes(out("near"))


# ---------------------------------------------------------------------- what fails


def test_a_batch_that_fails_is_tried_recording_by_recording_and_costs_only_its_own(machine, run, out, near):
    def die(event):
        rows = json.loads(boto3.client("s3").get_object(Bucket="results", Key=event["key"])["Body"].read())["rows"]
        if any(row["recording"] == OTHER for row in rows):
            raise MemoryError("Runtime exited with error: signal: killed")
        return call(event)

    machine.invoke = die
    archive = run()
    table = archive.recordings.set_index("recording")
    row = table.loc[OTHER]
    assert (row["status"], row["problem"]) == ("failed", "on AWS: Runtime exited with error: signal: killed")
    assert (table.drop(index=row.name)["status"] == "failed").sum() == 1  # the odd one
    assert len(machine.executions) == 2
    machine.invoke = call
    run()  # what failed is tried again
    assert read_bytes(out("aws")) == near


def test_more_failures_than_are_tolerated_do_not_end_the_run(machine, run, out, near):
    machine.tolerated, failed = 1.0, []

    def fail_first(event):
        if not failed:
            failed.append(event)
            raise RuntimeError("a passing fault")
        return call(event)

    machine.invoke = fail_first
    run()
    assert read_bytes(out("aws")) == near


def test_what_may_not_be_deleted_is_said_and_the_tables_are_there(bucket, machine, run, out, near, monkeypatch):
    rule = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::results/*"}
    bucket.put_bucket_policy(Bucket="results", Policy=json.dumps({"Version": "2012-10-17", "Statement": [rule]}))
    try:
        run()
    finally:
        bucket.delete_bucket_policy(Bucket="results")
    assert "the collected results are still on AWS" in run.notes[-1]
    assert "Access Denied" in run.notes[-1]
    assert read_bytes(out("aws")) == near


def test_a_full_disk_ends_the_run_with_what_to_do_and_the_next_goes_on(machine, run, out, near, monkeypatch):
    def fill(*_):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(State, "take_over", fill)
        with pytest.raises(units_module.DiskFullError, match="0 of 15 recordings are done and kept: make room"):
            run()
    run()
    assert read_bytes(out("aws")) == near


def test_a_function_of_other_code_is_said_once(machine, run, monkeypatch):
    monkeypatch.setattr(batch_module, "code_sha256", lambda: "0" * 64)
    run()
    assert sum("the function runs different code (000000000000)" in note for note in run.notes) == 1


def test_failures_without_a_reason_end_the_run(machine, run, monkeypatch):
    machine.tolerated, machine.invoke = 1.0, lambda event: 1 / 0
    monkeypatch.setattr(execution_module.Execution, "list_failures", lambda self: {})
    with pytest.raises(ScoresError, match=r"failed \(States.ExceedToleratedFailureThreshold: too many\); 0 of 15"):
        run()
    assert len(machine.executions) == 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "damaged"),
        (lambda path: _add(path, "../../outside.npz"), "'../../outside.npz', which is none of a result"),
        (lambda path: _add(path, "/tmp/outside.npz"), "none of a result"),
        (lambda path: _add(path, "state/stretches/../0-1.npy"), "none of a result"),
        (lambda path: _replace(path, "state/state.sqlite", b"no database at all" * 100), "its state cannot be read"),
        (lambda path: _leave_out(path, "scores/"), "it names scores that are not in it"),
    ],
)
def test_a_result_that_is_spoilt_is_not_used_and_done_again(machine, run, out, near, tmp_path, spoil, said):
    spoilt = []

    def store(event):
        answer = call(event)
        if not spoilt:
            client, path = boto3.client("s3"), tmp_path / "result.zip"
            key = event["results"] + re.search(r"(\d+)\.json", event["key"])[1] + ".zip"
            client.download_file("results", key, str(path))
            spoil(path)
            client.upload_file(str(path), "results", key)
            spoilt.append(key)
        return answer

    machine.invoke = store
    run()
    assert any(said in note and "the result of batch 0 is not used" in note for note in run.notes), run.notes
    assert read_bytes(out("aws")) == near
    assert not list(tmp_path.rglob("outside.npz"))
    assert len(machine.executions) == 2


def _add(path, name):
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(name, b"x")


def _rewrite(path, change):
    with zipfile.ZipFile(path) as packed:
        content = {name: packed.read(name) for name in packed.namelist()}
    change(content)
    with zipfile.ZipFile(path, "w") as packed:
        for name, value in content.items():
            packed.writestr(name, value)


def _replace(path, name, value):
    _rewrite(path, lambda content: content.update({name: value}))


def _leave_out(path, beginning):
    _rewrite(path, lambda content: [content.pop(name) for name in list(content) if name.startswith(beginning)])


def test_a_function_with_another_model_is_refused_with_what_to_do(machine, run, bucket):
    other = SimpleNamespace(sha256="f" * 64, version="v9")
    machine.invoke = lambda event: analyse_batch(
        event["bucket"], event["key"], event["results"], other, deadline=time.monotonic() + 900
    )
    with pytest.raises(ConfigError, match=r"refuses the batches: the function has the model v9 \(f{12}\).*deploy that"):
        run()
    assert list_keys(bucket) == []
    machine.invoke = call
    assert run().provenance["recordings"]["analysed"]


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ({"word": "ABORTED"}, r"was stopped; 0 of 15 recordings are done and kept: run again"),
        ({"word": "TIMED_OUT"}, "took longer than its state machine allows"),
        (
            {"word": "FAILED", "error": "States.Runtime", "cause": "no such path"},
            r"failed \(States.Runtime: no such path",
        ),
    ],
)
def test_an_execution_that_ends_before_its_time_is_told_and_the_next_run_goes_on(
    machine, run, out, near, ended, said, monkeypatch
):
    def end(executionArn):
        return machine.end(machine.executions[executionArn.rpartition(":")[2]], **ended)

    with monkeypatch.context() as patch:
        patch.setattr(machine, "describe_execution", end)
        with pytest.raises(ScoresError, match=said):
            run()
    run()
    assert read_bytes(out("aws")) == near


def test_a_function_without_room_for_more_calls_is_told_with_what_to_do(machine, run):
    class TooManyRequestsException(Exception):
        pass

    TooManyRequestsException.__name__ = "Lambda.TooManyRequestsException"

    def refuse(event):
        raise TooManyRequestsException("Rate exceeded")

    machine.invoke = refuse
    with pytest.raises(ScoresError, match="raise the concurrency of the function, or lower max_concurrency"):
        run()
    assert len(machine.executions) == 1


def test_aws_that_does_not_answer_for_a_while_is_asked_again(machine, run, out, near):
    busy = ClientError({"Error": {"Code": "ThrottlingException"}}, "DescribeExecution")
    machine.looks += [busy, EndpointConnectionError(endpoint_url="https://states")]
    run()
    assert sum("it is tried again" in note for note in run.notes) == 1
    assert read_bytes(out("aws")) == near


def test_a_login_that_has_expired_ends_the_run_with_what_to_do(machine, run):
    machine.looks.append(ClientError({"Error": {"Code": "ExpiredTokenException"}}, "DescribeExecution"))
    with pytest.raises(ConfigError, match="log in to AWS again, and run again to go on"):
        run()


def test_an_execution_with_other_score_settings_at_work_is_not_mixed_up(machine, run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(cloud_module.time, "sleep", lambda seconds: (_ for _ in ()).throw(StoppedError))
        with pytest.raises(StoppedError):
            run()
    with pytest.raises(ConfigError, match="with another model or other settings is running"):
        run(settings={"stride_duration": 0.5})


def test_sources_that_are_not_in_s3_are_refused_with_what_to_do(run, make_season, tmp_path):
    folder = make_season(2)
    for source in (str(folder), "https://reef.example/2023/"):
        with pytest.raises(ConfigError, match=r"is not in S3: copy it \(`aws s3 sync`\)"):
            run(source=source)
    (tmp_path / "season.csv").write_text(f"path\n{folder}\n")
    with pytest.raises(ConfigError, match=r"is not in S3: copy it \(`aws s3 sync`\)"):
        run(source=str(tmp_path / "season.csv"))


def test_what_is_missing_on_the_command_line_or_no_arn_is_refused(monkeypatch):
    monkeypatch.delenv(execution_module.MACHINE_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match="give --state-machine and --bucket, or set ANEMONE_ARCHIVE_STATE_MACHINE"):
        find_place(None, "results")
    with pytest.raises(ConfigError, match="give an ARN like"):
        find_place("reef-archive", "results")
    monkeypatch.setenv(execution_module.MACHINE_VARIABLE, MACHINE)
    assert find_place(None, "results") == PLACE


# ---------------------------------------------------------------------- the function's side


@pytest.fixture
def stored(bucket, out):
    """A batch of all recordings in the bucket; a function that calls for it once, and the state that it stores."""
    with State(out("plan", "state.sqlite")) as state:
        request = make_request([SOURCE])
        list_recordings(state, request, note=lambda text: None)
        rows = [dict(row) for row in state.list_rows("problem IS NULL")]
    bucket.put_object(Bucket="results", Key="archives/a/batches/000000.json", Body=compose_batch(request, rows, {}))

    def once(seconds=900.0):
        place = {"bucket": "results", "key": "archives/a/batches/000000.json", "results": "archives/a/results/"}
        return call(place, seconds)

    def read_state():
        place = out("result")
        shutil.rmtree(place, ignore_errors=True)
        bucket.download_file("results", "archives/a/results/000000.zip", str(out("result.zip")))
        unpack_result(out("result.zip"), place)
        with State(place / "state/state.sqlite") as state:
            return {row["recording"]: dict(row) for row in state.list_rows()}

    once.rows, once.read_state = rows, read_state
    return once


def test_a_batch_that_needs_several_calls_goes_on_where_the_last_one_ended(stored, monkeypatch):
    calls = []

    def slow(self, audio_s):
        return len(self.finished) + len(+self._under_way) < 5

    monkeypatch.setattr(BatchRun, "_fits", slow)
    analysed = running_module.analyse_recording
    monkeypatch.setattr(
        running_module, "analyse_recording", lambda task, *what: (calls.append(task.source), analysed(task, *what))[1]
    )
    answers = [stored()]
    while answers[-1]["left"]:
        answers.append(stored())
    assert len(answers) >= 3
    assert [answer["done"] + answer["failed"] for answer in answers] == sorted(
        answer["done"] + answer["failed"] for answer in answers
    )
    assert answers[-1]["done"] + answers[-1]["failed"] == len(stored.rows)
    assert len(calls) == len(set(calls)) == len(stored.rows)


def test_a_call_without_progress_is_an_error(stored):
    with pytest.raises(
        ScoresError, match=r"one call of the function \(0 s\) was not enough for any recording: give the function a"
    ):
        stored(seconds=0)


def test_a_recording_for_which_one_call_is_not_enough_is_left_out_and_the_rest_is_done(stored, monkeypatch):
    monkeypatch.setattr(batch_module, "RESERVE_S", 0.0)
    late = stored.rows[0]["source"]
    analysed = running_module.analyse_recording

    def take_time(task, *what):
        if task.source == late:
            raise units_module.LateError("late")
        return analysed(task, *what)

    monkeypatch.setattr(running_module, "analyse_recording", take_time)
    monkeypatch.setattr(BatchRun, "_fits", lambda self, audio_s: False)
    first = stored()
    assert (first["done"], first["failed"], first["left"]) == (0, 1, len(stored.rows) - 1)
    reason = stored.read_state()[stored.rows[0]["recording"]]["reason"]
    assert re.match(r"one call of the function \(\d+ s\) was not enough for it: analyse it without --on aws", reason)
    monkeypatch.setattr(BatchRun, "_fits", lambda self, audio_s: True)
    second = stored()
    assert second["left"] == 0
    assert second["failed"] == len(stored.rows) - second["done"]


def test_a_large_recording_goes_on_with_the_stretches_that_are_missing(stored, monkeypatch):
    monkeypatch.setattr(running_module, "LARGE_BYTES", 1000)
    monkeypatch.setattr(running_module, "STRETCH_S", 0.4)
    monkeypatch.setattr(BatchRun, "_fits", lambda self, audio_s: False)  # one recording a call
    scored, score = [], running_module.score_stretch

    def stop_after(number):
        def score_some(task, *what):
            if len(scored) == number:
                raise units_module.LateError("late")
            scored.append((task.source, what[0]))
            return score(task, *what)

        return score_some

    def count():
        bucket = boto3.client("s3")
        content = bucket.get_object(Bucket="results", Key="archives/a/results/000000.zip")["Body"].read()
        return sum(name.endswith(".npy") for name in zipfile.ZipFile(io.BytesIO(content)).namelist())

    for limit in (1, 2):
        monkeypatch.setattr(running_module, "score_stretch", stop_after(limit))
        answer = stored()
        assert (answer["done"], answer["left"], count()) == (0, len(stored.rows), limit)
    monkeypatch.setattr(running_module, "score_stretch", stop_after(100))
    assert (stored()["done"], count()) == (1, 0)
    assert len(scored) == len(set(scored)) > 2


def test_what_passes_its_deadline_in_the_middle_is_late_and_not_failed(stored, monkeypatch):
    task = units_module.Task(stored.rows[0]["source"], deadline=time.monotonic() - 1)
    config = make_request([SOURCE]).config
    with pytest.raises(units_module.LateError):
        units_module.analyse_recording(task, load_classifier(), config)


def test_a_temporary_folder_without_room_costs_only_the_recordings_that_do_not_fit(stored, monkeypatch):
    large = stored.rows[2]["source"]
    analysed = running_module.analyse_recording

    def fill(task, *what):
        if task.source == large:
            units_module._stop_if_full(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        return analysed(task, *what)

    monkeypatch.setattr(running_module, "analyse_recording", fill)
    assert stored()["left"] == 0
    rows = stored.read_state()
    assert "ephemeral storage" in rows.pop(stored.rows[2]["recording"])["reason"]
    assert {row["status"] for row in rows.values()} == {"analysed"}


def test_nothing_stays_in_the_temporary_folder(stored, tmp_path, monkeypatch):
    place = tmp_path / "tmp"
    (place / "anemone-batch-of-a-call-that-was-stopped").mkdir(parents=True)
    monkeypatch.setattr(batch_module.tempfile, "tempdir", str(place))
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "reef")
    with pytest.raises(ScoresError):
        stored(seconds=0)
    assert list(place.iterdir()) == []
    stored()
    assert list(place.iterdir()) == []


def test_a_batch_of_another_version_is_refused_with_what_to_do(bucket):
    batch = {"format": 1, "anemone": "0.0.1", "rows": []}
    bucket.put_object(Bucket="results", Key="b/0.json", Body=json.dumps(batch).encode())
    with pytest.raises(ConfigError, match="the batch is of Anemone 0.0.1: deploy the image of that version"):
        call({"bucket": "results", "key": "b/0.json", "results": "r/"})
    with pytest.raises(ModelError, match="deploy that model"):
        batch_module.restore_batch(
            json.loads(compose_batch(make_request([SOURCE]), [], {})), SimpleNamespace(sha256="f", version="v9")
        )


def test_a_function_whose_model_has_another_name_classifies_as_well_and_gives_the_name_of_the_run():
    batch = json.loads(compose_batch(make_request([SOURCE]), [], {}))
    deployed = rename_classifier(load_classifier(), "deployed")
    classifier = batch_module.restore_batch(batch, deployed).classifier
    assert (classifier.version, deployed.version) == (load_classifier().version, "deployed")
    images = np.zeros((2, *classifier.input_shape), np.float32)
    np.testing.assert_array_equal(classifier.classify(images), deployed.classify(images))


def test_the_function_needs_nothing_that_is_not_in_its_image():
    """The image has the extra `serve`: no libraries of tables; TensorFlow and pictures are not loaded for a batch."""
    absent = ["pyarrow", "pandas", "distributed", "fsspec", "astral", "matplotlib", "tensorflow", "keras"]
    code = (
        f"import sys; absent = {absent!r}; sys.modules.update(dict.fromkeys(absent)); "
        "import anemone_lib.archive.batch; print([name for name in absent if sys.modules.get(name)])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_calls_that_could_not_be_measured_do_not_replace_those_that_were(out):
    with State(out("one.sqlite")) as one, State(out("two.sqlite")) as two:
        one.keep_calls("a", "k", Measured({"e": {"calls": 1}}))
        two.keep_calls("a", "k", Measured(None, "no"))
        two.keep_calls("b", "k", Measured(None, "no room"))
        two.flush()
        one.take_over(two.path, "k")
        kept = one._db.execute("SELECT sha256, calls, reason FROM calls ORDER BY sha256").fetchall()
    assert [tuple(row) for row in kept] == [("a", '{"e": {"calls": 1}}', None), ("b", None, "no room")]
