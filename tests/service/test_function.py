"""The function's entry without its runtime: what importing it does, and the addresses that it gives."""

import json
import subprocess
import sys
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from aws_lambda_powertools import Logger
from mangum import Mangum

from anemone_lib.archive.batch import compose_batch
from anemone_lib.archive.inventory import list_recordings
from anemone_lib.archive.request import make_request
from anemone_lib.archive.state import State
from anemone_lib.service import function
from anemone_lib.simulation import write_recording
from tests.service.conftest import ACCOUNT, INPUT, OUTPUT, Inside, Runtime, proxy_event, tell_of_end


def test_importing_the_entry_does_nothing():
    code = "import sys, anemone_lib.service.aws; print(sorted({'boto3', 'numpy', 'fastapi'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() in ("[]", "['numpy']")


JSON = {"Content-Type": "application/json"}
#: What no answer to a WAV needs; SciPy's parts draw in each other, so that one of them is most of it.
UNUSED = {"av", "boto3", "keras", "matplotlib", "pandas", "rich", "scipy.interpolate", "scipy.optimize", "scipy.signal"}
UNUSED |= {"scipy.sparse", "scipy.stats", "soundfile", "tensorflow", "typer", "uvicorn", "yaml"}

ANSWER = """
import json, sys
import anemone_lib.service.aws as aws
from types import SimpleNamespace

ready = aws.handler and set(sys.modules)
event = json.load(sys.stdin)
answer = aws.handler(event, SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 29_000))
events = json.loads(answer["body"])["events"]
names = ("anemone_lib", "scipy", "ai_edge_litert")
later = sorted(name for name in set(sys.modules) - ready if name.startswith(names))
calls = [len(event["calls"]) for event in events]
print(json.dumps({"modules": sorted(sys.modules), "imported by the answer": later, "calls": calls}))
"""


def test_a_cold_start_imports_what_an_answer_needs_and_nothing_else(tmp_path):
    path = tmp_path / "reef.wav"
    write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    event = proxy_event("POST", "/predict", body=path.read_bytes(), headers={"Content-Type": "audio/wav"})
    command = [sys.executable, "-c", ANSWER]
    said = subprocess.run(command, input=json.dumps(event), capture_output=True, text=True, check=True)
    found = json.loads(said.stdout.splitlines()[-1])
    assert sum(found["calls"]) > 0  # they were measured
    assert UNUSED.intersection(found["modules"]) == set()
    assert found["imported by the answer"] == []


def test_the_description_of_the_interface_is_made_when_it_is_asked_for(inside):
    assert Inside(inside.engine.settings).app.openapi_schema is None


@pytest.mark.parametrize(
    ("event", "root"),
    [
        ({"path": "/jobs/1", "requestContext": {"path": "/prod/jobs/1"}}, "/prod"),
        ({"path": "/jobs/1", "requestContext": {"path": "/base/prod/jobs/1"}}, "/base/prod"),
        ({"path": "/jobs/1", "requestContext": {"path": "/jobs/1"}}, ""),
        ({"path": "/jobs/1", "requestContext": {}}, ""),
        ({}, ""),
    ],
)
def test_the_stage_of_the_gateway_is_part_of_the_address(event, root):
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope)

    scope = {"type": "http", "path": "/jobs/1", "aws.event": event}
    with pytest.raises(StopIteration):
        function._keep_stage(app)(scope, None, None).send(None)
    assert seen.get("root_path", "") == root
    assert seen["path"] == f"{root}/jobs/1"


def test_redirects_and_addresses_of_new_jobs_keep_the_stage(inside):
    gateway = Mangum(function._keep_stage(inside.app), lifespan="off")
    context = SimpleNamespace(aws_request_id="1")
    host = {"Host": "localhost"}
    moved = gateway(proxy_event("GET", "/health/", headers=host), context)
    assert moved["statusCode"] == 307
    assert urlsplit(moved["headers"]["location"]).path == "/api/health"
    made = gateway(proxy_event("POST", "/jobs", headers=host | JSON, body=b'{"size_bytes": 4}'), context)
    assert made["statusCode"] == 201
    job = json.loads(made["body"])
    assert urlsplit(made["headers"]["location"]).path == f"/api/jobs/{job['job_id']}"
    assert urlsplit(job["upload"]["parts"][0]["url"]).path == f"/api/jobs/{job['job_id']}/parts/1"


@pytest.mark.parametrize("dead", [("a" * 32, "the work on the job was stopped"), None])
def test_the_function_writes_down_why_an_execution_ended_without_a_result(dead):
    written = []
    entry = object.__new__(function.LambdaFunction)  # without a model
    entry._logger, entry._service, entry._namespace, entry._is_cold = Logger(service="test"), "test", "test", False
    entry._executions = SimpleNamespace(find_dead_job=lambda event: dead if event["detail"]["name"] else None)
    entry._worker = SimpleNamespace(fail=lambda *arguments: written.append(arguments) or {"failed": True})
    event = tell_of_end(f"arn:aws:states:us-east-1:{ACCOUNT}:execution:jobs:{'a' * 32}", "ABORTED")
    context = SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 1000)
    assert entry(event, context) == ({"failed": True} if dead else {})
    assert written == ([dead] if dead else [])


@pytest.fixture
def batch(s3, wav, model, tmp_path):
    """A function that stores a batch of one recording, and returns the event that asks for it."""
    s3.upload_file(str(wav), INPUT, f"season/{wav.name}")

    def store(sha256=None):
        request = make_request([f"s3://{INPUT}/season/"], model=str(model))
        with State(tmp_path / "state.sqlite") as state:
            list_recordings(state, request, note=lambda text: None)
            content = compose_batch(request, [dict(row) for row in state.list_rows()], {}).decode()
        content = content.replace(request.classifier.sha256, sha256 or request.classifier.sha256)
        s3.put_object(Bucket=OUTPUT, Key="archives/a/batches/000000.json", Body=content.encode())
        place = {"bucket": OUTPUT, "key": "archives/a/batches/000000.json", "results": "archives/a/results/"}
        return {"task": "analyse_batch", **place}

    return store


def test_the_function_analyses_a_batch_of_an_archive(function, batch, s3):
    event = batch()
    succeeded, answer = function.invoke(event)
    assert succeeded, answer
    assert answer == {"batch": event["key"], "done": 1, "left": 0, "failed": 0}
    assert s3.head_object(Bucket=OUTPUT, Key="archives/a/results/000000.zip")["ContentLength"] > 1000
    assert function.invoke(event) == (True, answer)  # nothing is done twice


def test_the_function_refuses_a_batch_for_another_model_by_name(function, batch):
    succeeded, answer = function.invoke(batch("f" * 64))
    assert (succeeded, answer["errorType"]) == (False, "ModelError")
    assert "deploy that model, or give --model that of the function" in answer["errorMessage"]


def test_a_function_without_a_model_refuses_every_batch(batch, lambda_environ):
    with Runtime(**{**lambda_environ, "S3_MODEL_KEY": "models/none.keras"}) as lost:
        succeeded, answer = lost.invoke(batch())
    assert (succeeded, answer["errorType"]) == (False, "ModelError")
    assert answer["errorMessage"].startswith("the function has no model: no model at s3://")
