"""Errors as clients see them: an HTTP status, a short name, and a message that says what to do."""

import errno
import tempfile

from anemone_lib.errors import AnemoneError, AudioError, ConfigError, LimitError, ModelError, NoRoomError

#: Error numbers of the system for a full disk or a full quota.
FULL = (errno.ENOSPC, errno.EDQUOT)
TOO_LARGE_HINT = "send large recordings by POST /jobs"


class Problem(AnemoneError):
    """An error that is the answer to a request.

    Parameters
    ----------
    status : int, 400 to 599, of HTTP
    error : str, a short name for programs
    message : str, for people: what is wrong, and what to do

    Examples
    --------
    >>> Problem(404, "no_such_job", "there is no job 'a'").to_dict()
    {'error': 'no_such_job', 'message': "there is no job 'a'"}
    """

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status, self.error, self.message = status, error, message

    def __reduce__(self) -> tuple[type["Problem"], tuple[int, str, str]]:
        """Let the error be pickled, so that it can pass between processes."""
        return Problem, (self.status, self.error, self.message)

    def to_dict(self) -> dict[str, str]:
        """Return the body of the answer, ``{"error", "message"}``."""
        # A client's text may have characters that cannot be encoded.
        return {"error": self.error, "message": self.message.encode("utf-8", "backslashreplace").decode()}


def to_problem(error: BaseException) -> Problem:
    """Return the problem that answers an error.

    The answer to an unexpected error does not reveal details of the service.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    problem : Problem

    Examples
    --------
    >>> to_problem(AudioError("reef.wav is empty")).status
    422
    >>> to_problem(KeyError("a secret")).error
    'internal_error'
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, LimitError):
        return Problem(413, "too_long", str(error))
    if isinstance(error, NoRoomError):
        return Problem(507, "disk_full", str(error))
    if isinstance(error, ConfigError):  # a ChannelError, too
        return Problem(422, "bad_setting", str(error))
    if isinstance(error, AudioError):
        return Problem(422, "undecodable_audio", str(error))
    if isinstance(error, ModelError):
        return Problem(503, "model_unavailable", str(error))
    if isinstance(error, OSError) and error.errno in FULL:
        return report_full_disk(str(error.filename or tempfile.gettempdir()))
    if type(error).__module__.startswith("botocore."):  # botocore is not imported if no data is in S3
        return Problem(503, "storage_unavailable", "the store of recordings and results does not answer; try again")
    return Problem(500, "internal_error", "an unexpected error; try again, and tell the operator if it happens again")


def report_full_disk(folder: str) -> Problem:
    """Return the problem of a full disk; it names a folder on that disk.

    Examples
    --------
    >>> report_full_disk("/data/jobs").status
    507
    """
    return Problem(507, "disk_full", f"the disk of {folder} is full; make room there, then send the request again")


def report_busy(why: str) -> Problem:
    """Return the problem of a busy service; its answer says when to try again.

    Examples
    --------
    >>> report_busy("256 recordings wait").status
    503
    """
    return Problem(503, "busy", f"the service is busy ({why}); try again after the seconds in Retry-After")


def to_failure(error: BaseException) -> Problem:
    """Return the problem that made a task of a job fail.

    It is the problem that `/predict` would answer; for an unexpected error it is ``job_failed`` with the type only.

    Examples
    --------
    >>> to_failure(AudioError("reef.wav is empty")).to_dict()
    {'error': 'undecodable_audio', 'message': 'reef.wav is empty'}
    >>> to_failure(KeyError("a secret")).to_dict()
    {'error': 'job_failed', 'message': 'an unexpected error (KeyError)'}
    """
    problem = to_problem(error)
    return problem if problem.status != 500 else report_failed_job(f"an unexpected error ({type(error).__name__})")


def report_failed_job(reason: str) -> Problem:
    """Return the problem of a job that failed for a reason without a short name."""
    return Problem(422, "job_failed", reason)
