"""The function's entry without its runtime: what importing it does, and the addresses that it gives."""

import subprocess
import sys

import pytest

from anemone_lib.service import function


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
