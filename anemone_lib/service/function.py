"""The Lambda function: one event in, its answer out.

The function answers these events:

- a proxy event of an API Gateway REST API: the same app answers it that runs on a laptop;
- ``{"s3_bucket", "s3_key", "config"?, "files"?, "save"?, "timezone"?, "filename"?}``, a direct invocation: the answer
  is the result, or ``{"status", "error", "message"}``;
- ``{"task": "plan", "job_id"}`` → ``{"job_id", "chunks": [{"name", …}, …]}``, a few hundred small objects at most;
- ``{"task": "score_chunk", "job_id", "chunk"}`` → ``{"chunk", "failed"}``, for each of the chunks, in any order;
- ``{"task": "merge", "job_id", "failed"?}`` → ``{"job_id", "total_events", "skipped_s"}``; ``failed`` lists
  ``{"chunk", "error"}`` for the chunks whose task returned nothing;
- ``{"task": "analyse_batch", "bucket", "key", "results"}`` → ``{"batch", "done", "left", "failed"}``, the recordings of
  a batch of an archive; it is called again while some are left;
- ``{"task": "fail", "job_id", "error": {"Error", "Cause"}}``, which stores that the job cannot be finished;
- an event of EventBridge, ``{"source": "aws.states", "detail": {"name", "status", …}}``: an execution ended without a
  result, and the function stores the reason.

The caller must repeat a task that raises an error twice.
"""

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from mangum import Mangum
from starlette.types import ASGIApp, Receive, Scope, Send

from anemone_lib.errors import ModelError
from anemone_lib.service.app import create_app
from anemone_lib.service.engine import Engine
from anemone_lib.service.executions import Executions
from anemone_lib.service.fields import clean_name, parse_model
from anemone_lib.service.jobs import Jobs, make_stores
from anemone_lib.service.models import PredictObject, S3Reference
from anemone_lib.service.predict import compute_deadline, measure_work, predict
from anemone_lib.service.problems import Problem, to_problem
from anemone_lib.service.tasks import run_task
from anemone_lib.service.work import Worker


class LambdaFunction:
    """The handler of the Lambda function.

    The model is loaded and used once when the function is made. If it cannot be loaded, every request is answered with
    the reason, and the next request tries again.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._service = os.environ.get("POWERTOOLS_SERVICE_NAME", "anemone")
        self._namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "anemone")
        self._logger = Logger(service=self._service)
        _send_package_log_to(self._logger)
        self._is_cold = True
        settings = engine.settings
        stores = make_stores(input_bucket=settings.input_bucket, output_bucket=settings.output_bucket, folder=None)
        self._jobs: Jobs | None = None
        self._executions: Executions | None = None
        if stores and settings.state_machine_arn:
            executions = self._executions = Executions(settings.state_machine_arn, stores[0])
            self._jobs = Jobs(
                engine, *stores, executions.start, cancel=executions.stop, find_trouble=executions.find_trouble
            )
        self._worker = Worker(engine, *stores, owner="state-machine", executor=engine.threads) if stores else None
        self._http = Mangum(_keep_stage(create_app(engine, self._jobs, observe=self._record_call)), lifespan="off")
        try:
            engine.load()
            engine.warm_up()
        except Problem as problem:
            self._logger.error("not ready", extra={"error": problem.error, "problem": problem.message})

    def __call__(self, event: dict[str, Any], context: Any) -> Any:
        """Answer one event; the module lists the events.

        Parameters
        ----------
        event : dict
        context : the context that Lambda passes

        Returns
        -------
        answer : dict

        Raises
        ------
        ValueError
            The event is none of those in the list.
        Exception
            A task failed, so that the state machine tries it again.
        """
        self._logger.set_correlation_id(context.aws_request_id)
        if "requestContext" in event:
            return self._http(event, context)
        if event.get("source") == "aws.states":
            event = self._translate_end(event)
        if "task" not in event and "s3_bucket" not in event and "s3_key" not in event:
            raise ValueError(f"an event with {sorted(event)[:10]} is not known to this function; see its documentation")
        began = time.perf_counter()
        record: dict[str, Any] = {"request_id": context.aws_request_id, "route": event.get("task", "invoke")}
        try:
            if "task" in event:
                record["job_id"] = event.get("job_id")
                return self._run_task(event, context)
            result = self._invoke(event, context)
            record |= measure_work(result)
            return result
        except Exception as error:
            problem = to_problem(error)
            record["error"] = problem.error
            if "task" in event:
                raise
            if problem.status == 500:
                self._logger.exception("direct invocation failed")
            return {"status": problem.status, **problem.to_dict()}
        finally:
            self._record_call({**record, "seconds": round(time.perf_counter() - began, 4)})

    def _invoke(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Answer a direct invocation."""
        place = parse_model(PredictObject, event)
        reference = S3Reference(s3_bucket=place.s3_bucket, s3_key=place.s3_key)
        name = clean_name(place.filename or place.s3_key)
        result, _ = predict(self._engine, self._jobs, reference, name, place, deadline=_find_deadline(context))
        return result

    def _run_task(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Do one task of a job, or a batch of an archive, for the state machine."""
        if event["task"] == "analyse_batch":
            return self._analyse_batch(event, context)
        if self._worker is None:
            raise Problem(503, "jobs_unavailable", "set S3_INPUT_BUCKET and S3_OUTPUT_BUCKET, which jobs need")
        task = dict(event)
        if task["task"] == "none":
            return {}
        if task["task"] == "fail" and "reason" not in task:
            failure = task.get("error") or {}
            self._logger.error("job failed", extra={"job_id": str(task["job_id"]), "failure": failure})
            task["reason"] = f"a worker of the job was stopped ({failure.get('Error', 'no reason given')})"
        return run_task(self._worker, task, deadline=_find_deadline(context))

    def _analyse_batch(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Analyse a batch of an archive; if there is no model, raise an error that is not worth another try."""
        from anemone_lib.archive.batch import analyse_batch  # imports that an answer to a request does not need

        deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
        try:
            classifier, _ = self._engine.load()
        except Problem as problem:
            raise ModelError(f"the function has no model: {problem.message}") from None
        bucket, key, results = (str(event[name]) for name in ("bucket", "key", "results"))
        return analyse_batch(bucket, key, results, classifier, deadline=deadline)

    def _translate_end(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the task that remains after an execution has ended without a result."""
        dead = self._executions.find_dead_job(event) if self._executions else None
        if dead is None:
            return {"task": "none"}
        return {"task": "fail", "job_id": dead[0], "reason": dead[1]}

    def _record_call(self, record: Mapping[str, Any]) -> None:
        """Write one log line and the metrics of a call."""
        self._logger.info("call", extra={"call": dict(record), "cold_start": self._is_cold})
        metrics = EphemeralMetrics(namespace=self._namespace, service=self._service)
        if self._is_cold:
            metrics.add_metric("ColdStart", MetricUnit.Count, 1)
        self._is_cold = False
        metrics.add_metric("Duration", MetricUnit.Seconds, record["seconds"])
        if "windows" in record:
            metrics.add_metric("Windows", MetricUnit.Count, record["windows"])
            metrics.add_metric("AudioSeconds", MetricUnit.Seconds, record["audio_s"])
            speed = record["windows"] / max(record["detect_s"], 1e-6)
            metrics.add_metric("WindowsPerSecond", MetricUnit.CountPerSecond, speed)
        metrics.flush_metrics()
        if "error" in record:
            by_error = EphemeralMetrics(namespace=self._namespace, service=self._service)
            by_error.add_dimension("error", str(record["error"]))
            by_error.add_metric("Errors", MetricUnit.Count, 1)
            by_error.flush_metrics()


def _send_package_log_to(logger: Logger) -> None:
    """Give the log of the package the form of the function's log."""
    package_logger = logging.getLogger("anemone_lib")
    package_logger.addHandler(logger.registered_handler)
    package_logger.setLevel(logger.log_level)
    package_logger.propagate = False


def _keep_stage(app: ASGIApp) -> Any:
    """Tell an app its stage, which API Gateway removes from the address, so that the app's own addresses have it."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        event = scope.get("aws.event") or {}
        whole, path = (event.get("requestContext") or {}).get("path") or "", event.get("path") or ""
        if path and whole.endswith(path):
            stage = whole.removesuffix(path)
            scope = {**scope, "root_path": stage, "path": stage + scope["path"]}
        await app(scope, receive, send)

    return call


def _find_deadline(context: Any) -> float:
    return compute_deadline(context.get_remaining_time_in_millis() / 1000)
