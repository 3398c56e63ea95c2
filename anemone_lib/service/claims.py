"""Claims: only one of several workers works on a chunk of a job.

A worker claims a chunk when it creates the next object ``jobs/<id>/claims/<chunk>/<attempt>.json``; only one worker can
create it. Other owners respect a claim until it expires. The same owner (one execution of the state machine, one local
server) takes its own claim over at once, because it knows that the earlier worker is dead. The number of claims is the
number of attempts, and nothing else counts them.
"""

import json
import time

from anemone_lib.service.stores import Store

#: Largest number of attempts at a task, with the first. A caller must repeat a failed task until then.
MAX_ATTEMPTS = 3
#: Seconds after which a claim expires, counted from its last renewal.
LEASE_S = 120.0


class BusyError(Exception):
    """Another worker has claimed this chunk. Try again later."""


class Claim:
    """The claim of one worker on one chunk, stored where every worker can read it.

    Parameters
    ----------
    store : Store
    key : str
    owner : str
    attempt : int >= 1
    """

    def __init__(self, store: Store, key: str, *, owner: str, attempt: int) -> None:
        self._store, self._key, self._owner, self.attempt = store, key, owner, attempt
        self._written_at = 0.0

    def take(self) -> None:
        """Store the claim.

        Raises
        ------
        BusyError
            Another worker stored this claim first.
        """
        if not self._store.create(self._key, self._encode()):
            raise BusyError(f"another worker claimed {self._key} at this moment")

    def renew(self) -> None:
        """Extend the claim. It is written again only when a quarter of its time has passed."""
        if time.time() - self._written_at > LEASE_S / 4:
            self._store.write(self._key, self._encode())

    def _encode(self) -> bytes:
        self._written_at = time.time()
        return json.dumps({"owner": self._owner, "until": self._written_at + LEASE_S}).encode()


def claim_chunk(store: Store, job_id: str, name: str, *, owner: str) -> Claim:
    """Claim a chunk, or another task of a job, for one worker.

    Parameters
    ----------
    store : Store
    job_id : str
    name : str, of the chunk
    owner : str, to whom the claim belongs

    Returns
    -------
    claim : Claim

    Raises
    ------
    BusyError
        Another owner has a claim that has not expired.
    """
    prefix = f"jobs/{job_id}/claims/{name}/"
    earlier = store.list_keys(prefix)
    if earlier:
        last = json.loads(store.read(earlier[-1]))
        if last["owner"] != owner and last["until"] > time.time():
            raise BusyError(f"another worker has claimed {name} of job {job_id}")
    attempt = len(earlier) + 1
    claim = Claim(store, f"{prefix}{attempt:04d}.json", owner=owner, attempt=attempt)
    claim.take()
    return claim


def count_attempts(store: Store, job_id: str, name: str) -> int:
    """Return how many times a chunk was claimed."""
    return len(store.list_keys(f"jobs/{job_id}/claims/{name}/"))
