"""One execution of the state machine of an archive, and its objects in a bucket: every request to AWS.

*Conventions.* The name of the execution is that of the run; its objects lie below ``archives/<run>/``: ``batches/``,
``results/`` and ``map/``, where Step Functions writes what became of each batch. An error names what to do.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from anemone_lib.errors import AnemoneError, ConfigError

#: Environment variables that `anemone archive run --on aws` reads if the options are missing.
MACHINE_VARIABLE, BUCKET_VARIABLE = "ANEMONE_ARCHIVE_STATE_MACHINE", "ANEMONE_ARCHIVE_BUCKET"
#: Statuses of an execution that has not ended.
AT_WORK = ("RUNNING", "PENDING_REDRIVE")
#: The error of an execution in which more batches failed than it tolerates.
TOO_MANY_FAILED = "States.ExceedToleratedFailureThreshold"
_ARN = re.compile(r"arn:aws[\w-]*:states:([\w-]+):\d{12}:stateMachine:[\w-]+")
_PASSING = re.compile(r"Throttl|TooManyRequests|SlowDown|RequestLimit|ServiceUnavailable|InternalError|RequestTimeout")
_REMEDIES = {
    "StateMachineDoesNotExist": "give the output state_machine_arn of the Terraform module",
    "NoSuchBucket": "give the output bucket of the Terraform module",
    "ExpiredToken": "log in to AWS again, and run again to go on",
    "ExpiredTokenException": "log in to AWS again, and run again to go on",
    "AccessDenied": "let an administrator give you the rights that the how-to of a season lists",
    "AccessDeniedException": "let an administrator give you the rights that the how-to of a season lists",
}


class UnreachableError(AnemoneError):
    """AWS does not answer, or is busy; the same call may succeed later."""


@dataclass(frozen=True)
class Place:
    """Where batches are analysed.

    Attributes
    ----------
    state_machine : str, ARN of the state machine
    bucket : str, of batches and results
    """

    state_machine: str
    bucket: str

    @property
    def region(self) -> str:
        """The region of both."""
        return self.state_machine.split(":")[3]


def find_place(state_machine: str | None = None, bucket: str | None = None) -> Place:
    """Return where batches are analysed, from the options or from the environment.

    Raises
    ------
    ConfigError
        One of them is missing, or is not the ARN of a state machine.

    Examples
    --------
    >>> find_place("arn:aws:states:eu-west-1:123456789012:stateMachine:reef-archive", "reef-output").region
    'eu-west-1'
    """
    machine = state_machine or os.environ.get(MACHINE_VARIABLE, "")
    bucket = bucket or os.environ.get(BUCKET_VARIABLE, "")
    if not (machine and bucket):
        raise ConfigError(
            "--on aws needs a state machine and a bucket: give --state-machine and --bucket, or set "
            f"{MACHINE_VARIABLE} and {BUCKET_VARIABLE}; the Terraform module archive has both as outputs"
        )
    if not _ARN.fullmatch(machine):
        raise ConfigError(
            f"--state-machine is {machine!r}; give an ARN like "
            "arn:aws:states:eu-west-1:123456789012:stateMachine:reef-archive"
        )
    return Place(machine, bucket)


@dataclass(frozen=True)
class Status:
    """The status of an execution, in the words of Step Functions, and its error if it failed."""

    word: str
    error: str = ""
    cause: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a batch failed: the name of the error, and its message."""

    error: str
    reason: str


def open_client(name: str, region: str) -> Any:
    """Open a client of a service of AWS."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise ConfigError("--on aws needs boto3: pip install 'anemone-lib[serve]'") from None
    return boto3.client(name, region_name=region, config=Config(retries={"mode": "standard", "max_attempts": 8}))


@contextmanager
def _explain_refusal(what: str) -> Iterator[None]:
    """Say which request AWS refused, and what to do."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ConfigError(f"cannot {what}: {error}; log in to AWS (`aws configure`, `aws sso login`)") from None
    except BotoCoreError as error:
        raise UnreachableError(f"cannot {what}: {error}") from None
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if _PASSING.search(code) or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            raise UnreachableError(f"cannot {what}: AWS is busy ({code}); run again in some minutes") from None
        remedy = _REMEDIES.get(code)
        raise ConfigError(f"cannot {what}: {error}" + (f": {remedy}" if remedy else "")) from None


class Execution:
    """The execution of one run and its objects.

    Parameters
    ----------
    place : Place
    run : str, 16 hexadecimal digits
    """

    def __init__(self, place: Place, run: str) -> None:
        self.place, self.run = place, run
        self.prefix = f"archives/{run}/"

    @cached_property
    def _s3(self) -> Any:
        return open_client("s3", self.place.region)

    @cached_property
    def _states(self) -> Any:
        return open_client("stepfunctions", self.place.region)

    @property
    def arn(self) -> str:
        """The ARN of the execution."""
        return f"{self.place.state_machine.replace(':stateMachine:', ':execution:')}:{self.run}"

    def start(self) -> None:
        """Start the execution; do nothing if it was started before."""
        about = {"bucket": self.place.bucket, "run": self.run}
        about |= {"prefix": f"{self.prefix}batches/", "results": f"{self.prefix}results/"}
        with _explain_refusal(f"start {self.place.state_machine}"):
            try:
                self._states.start_execution(
                    stateMachineArn=self.place.state_machine, name=self.run, input=json.dumps(about)
                )
            except self._states.exceptions.ExecutionAlreadyExists:
                return

    def describe(self) -> Status | None:
        """Return the status of the execution; None where it was never started."""
        with _explain_refusal(f"ask how {self.arn} stands"):
            try:
                about = self._states.describe_execution(executionArn=self.arn)
            except self._states.exceptions.ExecutionDoesNotExist:
                return None
        return Status(about["status"], about.get("error") or "", about.get("cause") or "")

    def list_failures(self) -> dict[int, Failure]:
        """Return why batches failed, by number, as Step Functions wrote it into the bucket."""
        failures: dict[int, Failure] = {}
        for key, _ in self._list("map/"):
            if re.search(r"/FAILED_\d+\.json$", key):
                for entry in json.loads(self._read(key)):
                    if found := re.search(r"batches/(\d+)\.json", str(entry.get("Input", ""))):
                        failures[int(found[1])] = _read_failure(entry)
        return failures

    # ------------------------------------------------------------------ objects

    def write_batch(self, number: int, content: bytes) -> None:
        """Store a batch."""
        key = f"{self.prefix}batches/{number:06d}.json"
        with _explain_refusal(f"write s3://{self.place.bucket}/{key}"):
            self._s3.put_object(Bucket=self.place.bucket, Key=key, Body=content, ContentType="application/json")

    def read_batch(self, number: int) -> Any:
        """Return a batch that was stored."""
        return json.loads(self._read(f"{self.prefix}batches/{number:06d}.json"))

    def list_results(self) -> Iterator[tuple[int, str]]:
        """Yield the number of every batch that has a result, and a text that changes when the result changes."""
        for key, etag in self._list("results/"):
            if found := re.search(r"/(\d+)\.zip$", key):
                yield int(found[1]), etag

    def download_result(self, number: int, path: Path) -> None:
        """Store the result of a batch in a file."""
        key = f"{self.prefix}results/{number:06d}.zip"
        with _explain_refusal(f"read s3://{self.place.bucket}/{key}"):
            self._s3.download_file(self.place.bucket, key, str(path))

    def remove(self) -> None:
        """Remove all objects of the run."""
        keys = [key for key, _ in self._list("")]
        with _explain_refusal(f"remove s3://{self.place.bucket}/{self.prefix}"):
            for first in range(0, len(keys), 1000):
                objects = [{"Key": key} for key in keys[first : first + 1000]]
                answer = self._s3.delete_objects(Bucket=self.place.bucket, Delete={"Objects": objects, "Quiet": True})
                if errors := answer.get("Errors"):
                    key, why = errors[0]["Key"], errors[0]["Message"]
                    raise ConfigError(f"cannot remove s3://{self.place.bucket}/{key}: {why}")

    def _list(self, below: str) -> Iterator[tuple[str, str]]:
        prefix = f"{self.prefix}{below}"
        with _explain_refusal(f"list s3://{self.place.bucket}/{prefix}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.place.bucket, Prefix=prefix)
            found = [(one["Key"], one["ETag"]) for page in pages for one in page.get("Contents", ())]
        yield from found

    def _read(self, key: str) -> bytes:
        with _explain_refusal(f"read s3://{self.place.bucket}/{key}"):
            return bytes(self._s3.get_object(Bucket=self.place.bucket, Key=key)["Body"].read())


def _read_failure(entry: Mapping[str, Any]) -> Failure:
    """Read why one execution failed; the cause of a function's error is JSON of its own.

    >>> _read_failure({"Error": "ModelError", "Cause": '{"errorMessage": "another model"}'})
    Failure(error='ModelError', reason='another model')
    """
    error, cause = str(entry.get("Error") or entry.get("Status") or "unknown"), str(entry.get("Cause") or "")
    try:
        said = json.loads(cause)["errorMessage"]
    except (ValueError, KeyError, TypeError):
        said = cause
    return Failure(error, str(said or error)[:500])
