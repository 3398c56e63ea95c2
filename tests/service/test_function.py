"""The function's entry without its runtime: what importing it does, and the addresses that it gives."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from aws_lambda_powertools import Logger

from anemone_lib.service import function
from tests.service.conftest import ACCOUNT, tell_of_end


def test_importing_the_entry_does_nothing():
    code = "import sys, anemone_lib.service.aws; print(sorted({'boto3', 'numpy', 'fastapi'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() in ("[]", "['numpy']")


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
