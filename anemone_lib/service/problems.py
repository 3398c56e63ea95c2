"""Errors as clients see them: a true status, a short name, and what to do about it."""

import errno

from anemone_lib.errors import AnemoneError, AudioError, ConfigError, ModelError

TOO_LARGE_HINT = "send large recordings by POST /jobs"


class Problem(AnemoneError):
    """What a request is answered with in place of a result.

    Parameters
    ----------
    status : int, of HTTP, 400 to 599
    error : str, a short name that programs can rely on
    message : str, what is wrong and what to do
    """

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status, self.error, self.message = status, error, message

    def __reduce__(self) -> tuple[type["Problem"], tuple[int, str, str]]:
        """Travel between processes."""
        return Problem, (self.status, self.error, self.message)

    def to_dict(self) -> dict[str, str]:
        """Return the body of the answer."""
        return {"error": self.error, "message": self.message}


def to_problem(error: BaseException) -> Problem:
    """Say what a client is told of an error; of one that nobody raised on purpose, nothing inside."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, AudioError):
        return Problem(422, "undecodable_audio", str(error))
    if isinstance(error, ConfigError):
        return Problem(422, "bad_setting", str(error))
    if isinstance(error, ModelError):
        return Problem(503, "model_unavailable", str(error))
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Problem(
            413,
            "too_large",
            "the recording does not fit in the temporary folder; send it as WAV or FLAC, which need no copy",
        )
    if type(error).__module__.startswith("botocore."):  # not imported where nothing lies in S3
        return Problem(503, "storage_unavailable", "the store of recordings and results does not answer; try again")
    return Problem(500, "internal_error", "an unexpected error; try again, and tell the operator if it happens again")
