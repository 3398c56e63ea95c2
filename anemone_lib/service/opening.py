"""The recordings of jobs that a worker keeps open from task to task, and their SHA-256, made beside the scoring."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from anemone_lib.audio.channels import Channel
from anemone_lib.audio.nearby import copy_nearby
from anemone_lib.audio.recording import Recording, open_recording
from anemone_lib.audio.spool import DecodeLimits
from anemone_lib.service.fields import format_s3_uri
from anemone_lib.service.models import S3Reference
from anemone_lib.service.stores import Store

#: Jobs whose recordings a worker keeps open.
MAX_OPEN = 4


class OpenRecordings:
    """Opens the recording of a job once, because that can mean to decode it; closes those unused for the longest time.

    Parameters
    ----------
    store : Store, in which uploaded recordings are
    read_request : callable (job_id) -> mapping, the request that created a job, as it is stored
    limits : DecodeLimits, of all channels of one recording together
    hashes : bool
        Hash every recording in a thread, from the moment at which it is opened.
    """

    def __init__(
        self,
        store: Store,
        read_request: Callable[[str], Mapping[str, Any]],
        limits: DecodeLimits,
        *,
        hashes: bool,
    ) -> None:
        self._store, self._read_request, self._limits = store, read_request, limits
        self._opened: OrderedDict[str, dict[Channel, Recording]] = OrderedDict()
        self._hasher = ThreadPoolExecutor(1, "anemone-sha256") if hashes else None
        self._hashes: dict[str, Future[str]] = {}

    def open(self, job_id: str, *, target_sr: int | None, channel: Channel | None = None) -> Recording:
        """Open the recording of a job, for one of its channels or for any.

        Parameters
        ----------
        job_id : str
        target_sr : int, optional, as in `open_recording`
        channel : int from 1 or str, optional
            By default any channel that is open; otherwise the channel of the request, or the first of ``each``.

        Returns
        -------
        recording : Recording
        """
        while len(self._opened) >= MAX_OPEN and job_id not in self._opened:
            self.close(next(iter(self._opened)))
        opened = self._opened.get(job_id, {})
        if opened and (channel is None or channel in opened):
            self._opened.move_to_end(job_id)
            return next(iter(opened.values())) if channel is None else opened[channel]
        request = self._read_request(job_id)
        asked = request.get("channel", "mean")
        n_sharing = next((one.channels for one in opened.values()), 1)
        recording = open_recording(
            self._find_source(job_id, request),
            target_sr=target_sr,
            timezone=request["timezone"],
            name=request["filename"],
            channel=channel or (1 if asked == "each" else asked),
            limits=replace(self._limits, spool_bytes=self._limits.spool_bytes // n_sharing),
        )
        self._opened.setdefault(job_id, {})[recording.channel] = recording
        if self._hasher and job_id not in self._hashes:
            self._hashes[job_id] = self._hasher.submit(lambda: recording.sha256)
        return recording

    def _find_source(self, job_id: str, request: Mapping[str, Any]) -> str:
        if "s3" not in request:
            return copy_nearby(self._store.get_address(f"jobs/{job_id}/recording"))
        place = dict(request["s3"])
        etag = place.pop("etag", None)
        return copy_nearby(format_s3_uri(S3Reference(**place)), etag=etag)

    def find_hash(self, job_id: str, recording: Recording) -> str:
        """Return the SHA-256 of the recording of a job, which is open."""
        return self._hashes[job_id].result() if job_id in self._hashes else recording.sha256

    def close(self, job_id: str) -> None:
        """Close the recording of a job, if it is open."""
        hashing = self._hashes.pop(job_id, None)
        if hashing is not None and not hashing.cancel():
            hashing.exception()  # it reads the recording
        for recording in self._opened.pop(job_id, {}).values():
            recording.close()

    def close_all(self) -> None:
        """Close all recordings, and end the thread that hashes."""
        for job_id in list(self._opened):
            self.close(job_id)
        if self._hasher:
            self._hasher.shutdown()
