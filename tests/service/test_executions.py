"""The executions that work on jobs: one at a time, another after one that is dead, and what a client is told of it."""

import json
from dataclasses import replace

import boto3
import pytest
from moto import mock_aws

from anemone_lib.service.executions import Executions
from anemone_lib.service.folder_store import FolderStore
from anemone_lib.service.jobs import make_id
from tests.service.conftest import ACCOUNT, Inside, as_json, tell_of_end


@pytest.fixture
def states(monkeypatch):
    """Step Functions in this process, where executions run until somebody stops them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)  # that of `s3`, in use by other tests
    with mock_aws():
        yield boto3.client("stepfunctions")


@pytest.fixture
def machine(states):
    """The ARN of a state machine."""
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}}
    role = f"arn:aws:iam::{ACCOUNT}:role/jobs"
    return states.create_state_machine(name="jobs", definition=json.dumps(definition), roleArn=role)["stateMachineArn"]


@pytest.fixture
def list_names(states, machine):
    """List the names of all executions."""

    def names():
        return sorted(one["name"] for one in states.list_executions(stateMachineArn=machine)["executions"])

    return names


def test_a_job_that_runs_is_started_once(tmp_path, machine, list_names):
    executions, job = Executions(machine, FolderStore(tmp_path)), make_id()
    assert executions.find_trouble(job) == ""
    for _ in range(3):
        executions.start(job)
    assert executions.find_trouble(job) == ""
    assert list_names() == [job]


def test_a_dead_job_is_started_anew_and_can_be_stopped_again(tmp_path, machine, states, list_names):
    executions, job = Executions(machine, FolderStore(tmp_path)), make_id()
    for names in ([job], [job, f"{job}-2"], [job, f"{job}-2", f"{job}-3"]):
        executions.start(job)
        executions.start(job)
        assert list_names() == names
        executions.stop(job)
        assert "was stopped" in executions.find_trouble(job)


@pytest.mark.parametrize(("status", "words"), [("TIMED_OUT", "longer than it may"), ("FAILED", "NoRoom: no room")])
def test_what_ended_the_work_is_told(tmp_path, machine, status, words):
    executions = Executions(machine, FolderStore(tmp_path))
    executions.start("a")
    described = {"status": status, **({"error": "NoRoom", "cause": "no room"} if status == "FAILED" else {})}
    executions._states.describe_execution = lambda **_: described
    assert words in executions.find_trouble("a")
    described["status"] = "SUCCEEDED"
    assert executions.find_trouble("a") == ""


def test_a_client_sees_that_the_work_was_stopped_and_starts_it_again(settings, tmp_path, machine, states, list_names):
    executions = Executions(machine, FolderStore(tmp_path / "recordings"))
    inside = Inside(replace(settings, store=tmp_path), find_trouble=executions.find_trouble)
    inside.jobs._launch = executions.start
    job = inside("POST", "/jobs", **as_json({"size_bytes": 4})).json()["job_id"]
    etag = inside("PUT", f"/jobs/{job}/parts/1", body=b"RIFF").headers["etag"]
    start = as_json({"parts": [{"number": 1, "etag": etag}]})
    assert inside("POST", f"/jobs/{job}/start", **start).json()["state"] == "running"
    arn = machine.replace(":stateMachine:", ":execution:")
    states.stop_execution(executionArn=f"{arn}:{job}")
    content = inside("GET", f"/jobs/{job}").json()
    assert (content["state"], content["error"]) == ("failed", "job_failed")
    assert "was stopped" in content["message"]

    inside.jobs.results.create(f"jobs/{job}/error.json", b'{"error": "job_failed", "message": "was stopped"}')
    assert inside("POST", f"/jobs/{job}/start", **start).json()["state"] == "running"
    assert inside("GET", f"/jobs/{job}").json()["state"] == "running"
    assert list_names() == [job, f"{job}-2"]


def test_an_end_is_written_down_only_of_a_job_that_is_there_and_on_which_nothing_works(tmp_path, machine, states):
    recordings, job = FolderStore(tmp_path), make_id()
    executions = Executions(machine, recordings)
    executions.start(job)
    arn = machine.replace(":stateMachine:", ":execution:") + f":{job}"
    states.stop_execution(executionArn=arn)
    assert executions.find_dead_job(tell_of_end(arn, "ABORTED")) is None  # nobody made it by a request
    recordings.write(f"jobs/{job}/request.json", b"{}")
    found, reason = executions.find_dead_job(tell_of_end(arn, "ABORTED"))
    assert (found, "was stopped" in reason) == (job, True)
    assert executions.find_dead_job(tell_of_end(arn, "ABORTED", error="JobDeleted")) is None
    executions.start(job)
    assert executions.find_dead_job(tell_of_end(arn, "ABORTED")) is None  # another works on it by now
    states.stop_execution(executionArn=f"{arn}-2")
    assert executions.find_dead_job(tell_of_end(f"{arn}-2", "TIMED_OUT"))[0] == job
