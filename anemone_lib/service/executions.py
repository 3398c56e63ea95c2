"""The executions of the state machine that work on jobs.

AWS does not allow a name of an execution again for 90 days. So the first execution of a job has the id of the job as
its name, and the n-th has the id and ``-n``; ``restarts/<n>.json`` beside the other objects of the job says that there
is one.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from anemone_lib.service.problems import Problem
from anemone_lib.service.stores import Store, exists

#: States of an execution that ended without a result, by AWS's names, and the message for the client.
DEAD = {
    "FAILED": "the work on the job failed",
    "TIMED_OUT": "the job took longer than it may",
    "ABORTED": "the work on the job was stopped",
}
#: The error of an execution that was stopped because its job was deleted.
DELETED = "JobDeleted"


class Executions:
    """Starts, stops and looks at the work of a state machine on jobs.

    Parameters
    ----------
    state_machine_arn : str
    recordings : Store, in which the objects of jobs are
    """

    def __init__(self, state_machine_arn: str, recordings: Store) -> None:
        self._machine_arn, self._recordings = state_machine_arn, recordings

    @cached_property
    def _states(self) -> Any:
        """The client. It is made at the first use, because the import of boto3 takes long."""
        import boto3

        return boto3.client("stepfunctions")

    def start(self, job_id: str) -> None:
        """Start the work on a job, if none is under way.

        If the last execution has ended without a result, another is started. It does not plan again, and does not score
        chunks that are done. Of several calls at the same time, only one starts it.
        """
        restarts = self._count_restarts(job_id)
        if self.find_trouble(job_id):
            restarts += 1
            self._recordings.create(f"jobs/{job_id}/restarts/{restarts:04d}.json", b"{}")
        try:
            self._states.start_execution(
                stateMachineArn=self._machine_arn,
                name=_name_execution(job_id, restarts),
                input=json.dumps({"job_id": job_id}),
            )
        except self._states.exceptions.ExecutionAlreadyExists:
            return

    def stop(self, job_id: str) -> None:
        """Stop the work on a job, if there is any."""
        try:
            self._states.stop_execution(
                executionArn=self._name_last(job_id), error=DELETED, cause="the job was deleted"
            )
        except self._states.exceptions.ExecutionDoesNotExist:
            return

    def find_trouble(self, job_id: str) -> str:
        """Return why nothing works on a job any more; empty if something works on it, or if the work has not begun.

        Raises
        ------
        Problem
            503: Step Functions does not answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            execution = self._states.describe_execution(executionArn=self._name_last(job_id))
        except self._states.exceptions.ExecutionDoesNotExist:
            return ""
        except (BotoCoreError, ClientError) as error:
            raise Problem(
                503, "jobs_unavailable", f"Step Functions does not give the state of the job: {error}"
            ) from None
        reason = DEAD.get(execution["status"], "")
        if not reason:
            return ""
        details = ": ".join(execution[name] for name in ("error", "cause") if execution.get(name))
        return f"{reason}{f' ({details[:500]})' if details else ''}; start the job again to go on with what is left"

    def find_dead_job(self, event: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return the job that ended without a result, from an event of EventBridge, and why; None if there is none.

        Parameters
        ----------
        event : mapping, the event ``Step Functions Execution Status Change``

        Returns
        -------
        job : (job_id, reason), or None
            None for a job that was deleted, and for a job on which another execution now works.
        """
        detail = event["detail"]
        job_id = str(detail["name"]).partition("-")[0]
        if detail.get("error") == DELETED or not exists(self._recordings, f"jobs/{job_id}/request.json"):
            return None
        trouble = self.find_trouble(job_id)
        return (job_id, trouble) if trouble else None

    def _name_last(self, job_id: str) -> str:
        """Return the ARN of the last execution of a job."""
        arn = self._machine_arn.replace(":stateMachine:", ":execution:")
        return f"{arn}:{_name_execution(job_id, self._count_restarts(job_id))}"

    def _count_restarts(self, job_id: str) -> int:
        return len(self._recordings.list_keys(f"jobs/{job_id}/restarts/"))


def _name_execution(job_id: str, restarts: int) -> str:
    return f"{job_id}-{restarts + 1}" if restarts else job_id
