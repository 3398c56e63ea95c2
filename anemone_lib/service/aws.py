"""The Lambda entry: ``anemone_lib.service.aws.handler``.

One function answers these events:

- a proxy event of an API Gateway REST API, by the same app that a laptop runs;
- ``{"s3_bucket", "s3_key", "config"?, "files"?, "save"?, "timezone"?, "filename"?}``, a direct invocation: the
  result, or ``{"status", "error", "message"}``;
- ``{"task": "plan", "job_id"}`` → ``{"job_id", "chunks": [{"name", …}, …]}``, a few hundred small objects at most;
- ``{"task": "score_chunk", "job_id", "chunk"}`` → ``{"chunk", "failed"}``, for each of them, in any order;
- ``{"task": "merge", "job_id", "failed"?}`` → ``{"job_id", "total_events", "skipped_s"}``, where ``failed`` lists
  ``{"chunk", "error"}`` of those that gave no answer;
- ``{"task": "fail", "job_id", "error": {"Error", "Cause"}}``, which writes down that a job cannot be finished.

A task that raises is to be tried again twice. The execution's name is the job's id.
"""

import os
import time

# Nothing but the temporary folder can be written.
os.environ.setdefault("MPLCONFIGDIR", "/tmp/matplotlib")
os.environ.setdefault("KERAS_HOME", "/tmp/keras")

import json
import logging
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from mangum import Mangum

from anemone_lib.service.app import RESERVE_S, create_app
from anemone_lib.service.engine import Engine
from anemone_lib.service.incoming import clean_name, parse_options, parse_reference
from anemone_lib.service.jobs import Jobs, make_stores
from anemone_lib.service.predict import predict
from anemone_lib.service.problems import Problem, to_problem
from anemone_lib.service.settings import Settings
from anemone_lib.service.work import Worker

SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "anemone")
logger = Logger(service=SERVICE)
package_logger = logging.getLogger("anemone_lib")  # speaks as this one does
package_logger.addHandler(logger.registered_handler)
package_logger.setLevel(logger.log_level)
package_logger.propagate = False
cold = True


def launch(job_id: str) -> None:
    """Start the state machine on a job, once: its execution has the job's name."""
    import boto3

    machine = boto3.client("stepfunctions")
    try:
        machine.start_execution(
            stateMachineArn=settings.state_machine_arn, name=job_id, input=json.dumps({"job_id": job_id})
        )
    except machine.exceptions.ExecutionAlreadyExists:
        return


def observe(observed: Mapping[str, Any]) -> None:
    """Write one log line and the metrics of a call."""
    global cold
    logger.info("call", extra={"call": dict(observed), "cold_start": cold})
    namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "anemone")
    metrics = EphemeralMetrics(namespace=namespace, service=SERVICE)
    if cold:
        metrics.add_metric("ColdStart", MetricUnit.Count, 1)
    cold = False
    metrics.add_metric("Duration", MetricUnit.Seconds, observed["seconds"])
    if "windows" in observed:
        metrics.add_metric("Windows", MetricUnit.Count, observed["windows"])
        metrics.add_metric("AudioSeconds", MetricUnit.Seconds, observed["audio_s"])
        speed = observed["windows"] / max(observed["detect_s"], 1e-6)
        metrics.add_metric("WindowsPerSecond", MetricUnit.CountPerSecond, speed)
    metrics.flush_metrics()
    if "error" in observed:
        by_kind = EphemeralMetrics(namespace=namespace, service=SERVICE)
        by_kind.add_dimension("error", str(observed["error"]))
        by_kind.add_metric("Errors", MetricUnit.Count, 1)
        by_kind.flush_metrics()


settings = Settings.from_env()
engine = Engine(settings)
_stores = make_stores(input_bucket=settings.input_bucket, output_bucket=settings.output_bucket, folder=None)
jobs = Jobs(engine, *_stores, launch) if _stores and settings.state_machine_arn else None
worker = Worker(engine, *_stores, owner="state-machine", executor=engine.threads) if _stores else None
http = Mangum(create_app(engine, jobs, observe=observe), lifespan="off")
try:
    engine.ready()
except Problem as problem:  # every request is answered with it, until it passes
    logger.error("not ready", extra={"error": problem.error, "problem": problem.message})


def handler(event: dict[str, Any], context: Any) -> Any:
    """Answer one event; see the module."""
    logger.set_correlation_id(context.aws_request_id)
    if "requestContext" in event:
        return http(event, context)
    if "task" not in event and "s3_bucket" not in event and "s3_key" not in event:
        raise ValueError(f"an event with {sorted(event)[:10]} is none of this function's; see its documentation")
    began = time.perf_counter()
    observed: dict[str, Any] = {"request_id": context.aws_request_id, "route": event.get("task", "invoke")}
    try:
        if "task" in event:
            observed["job_id"] = event.get("job_id")
            return task(event, find_deadline(context))
        result = invoke(event, context)
        metadata = result["metadata"]
        observed |= {"windows": metadata["total_windows"], "audio_s": metadata["audio_duration"]}
        observed |= {"detect_s": metadata["processing_time"]}
        return result
    except Exception as error:
        problem = to_problem(error)
        observed["error"] = problem.error
        if "task" in event:
            raise
        if problem.status == 500:
            logger.exception("direct invocation failed")
        return {"status": problem.status, **problem.to_dict()}
    finally:
        observe({**observed, "seconds": round(time.perf_counter() - began, 4)})


def invoke(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer a direct invocation."""
    given = dict(event)
    place: dict[str, Any] = {name: given.pop(name) for name in ("s3_bucket", "s3_key") if name in given}
    name = given.pop("filename", None)
    reference = parse_reference(place)
    options, name = parse_options(given), clean_name(name or reference.s3_key)
    result, _ = predict(engine, jobs, reference, name, options, deadline=find_deadline(context))
    return result


def find_deadline(context: Any) -> float:
    """When this call must be on its way back, in seconds of `time.monotonic`."""
    return time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE_S


def task(event: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    """Do one task of a job."""
    if worker is None:
        raise Problem(503, "jobs_unavailable", "set S3_INPUT_BUCKET and S3_OUTPUT_BUCKET, which jobs need")
    name, job_id = event["task"], str(event["job_id"])
    if name == "plan":
        return worker.plan(job_id)
    if name == "score_chunk":
        return worker.score_chunk(job_id, event["chunk"], deadline=deadline)
    if name == "merge":
        return worker.merge(job_id, event.get("failed") or ())
    if name == "fail":
        told = event.get("error") or {}
        logger.error("job failed", extra={"job_id": job_id, "failure": told})
        return worker.fail(job_id, f"a worker of the job was stopped ({told.get('Error', 'no reason given')})")
    raise ValueError(f"task is {name!r}; it must be plan, score_chunk, merge or fail")
