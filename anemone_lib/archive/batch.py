"""A batch of recordings that is analysed away from the archive: the work of a function on AWS.

*Conventions.* A batch is one JSON object: rows of the plan, and the request. Its result is one zip file with the files
of a shard: ``state/state.sqlite``, ``scores/``, ``noise/``. A call has a deadline: the results until then are stored,
and the next call of the same batch goes on. A recording that fails does not stop the others. If a call does nothing, it
is an error, so that the calls come to an end.

`analyse_batch` is where to start. Imports only libraries that are in the image of the function: none of tables.
"""

import base64
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import Any

from anemone_lib.archive.measuring import Measured
from anemone_lib.archive.packing import MEMBER, pack_result, unpack_result
from anemone_lib.archive.pieces import Job
from anemone_lib.archive.request import Request
from anemone_lib.archive.running import Run
from anemone_lib.archive.state import ANALYSED, FAILED, UNDONE, State
from anemone_lib.archive.units import DiskFullError, LateError, Task
from anemone_lib.archive.workers import Workers
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError, ModelError, ScoresError
from anemone_lib.provenance import __version__, code_sha256
from anemone_lib.scoring.classifier import Classifier, rename_classifier
from anemone_lib.scoring.fit import check_fit

#: Changes with the content of a batch: a function refuses another.
FORMAT = 1
#: Seconds at the end of a call that are kept for storing the result; of a short call, a quarter.
RESERVE_S = 60.0
#: Speed, in times real time, that is expected before anything was measured: slower than the true speed.
FIRST_SPEED = 50.0


def compose_batch(request: Request, rows: Iterable[Mapping[str, Any]], scores: Mapping[str, bytes]) -> bytes:
    """Write a batch.

    Parameters
    ----------
    request : Request
    rows : rows of a State, without the columns of an analysis where it is to be done
    scores : mapping of name to content, of the scores of rows that are analysed and lack calls or levels

    Returns
    -------
    content : bytes, JSON
    """
    classifier = request.classifier
    batch = {
        "format": FORMAT,
        "anemone": __version__,
        "model": {"sha256": classifier.sha256, "version": classifier.version},
        "score_key": request.score_key,
        "request": {name: request.to_dict()[name] for name in ("configs", "channel", "noise")},
        "rows": [dict(row) for row in rows],
        "scores": {name: base64.b64encode(content).decode() for name, content in scores.items()},
    }
    return json.dumps(batch).encode()


def restore_batch(batch: Mapping[str, Any], classifier: Classifier) -> Request:
    """Return the request of a batch.

    Parameters
    ----------
    batch : mapping, as `compose_batch` wrote it
    classifier : Classifier, that of the function

    Raises
    ------
    ModelError
        The batch is for another model.
    ConfigError
        The batch is of another version.
    """
    if batch.get("format") != FORMAT or batch.get("anemone") != __version__:
        raise ConfigError(
            f"the function runs Anemone {__version__}, the batch is of Anemone {batch.get('anemone')}: deploy the "
            "image of that version, or install the version of the function where `anemone archive run` is called"
        )
    asked = batch["model"]
    if asked["sha256"] != classifier.sha256:
        raise ModelError(
            f"the function has the model {classifier.version} ({classifier.sha256[:12]}), the run asks for "
            f"{asked['version']} ({asked['sha256'][:12]}): deploy that model, or give --model that of the function"
        )
    if classifier.version != asked["version"]:  # a deployment may give the same model another name
        classifier = rename_classifier(classifier, asked["version"])
    about = batch["request"]
    configs = tuple(InferenceConfig(**one) for one in about["configs"])
    check_fit(classifier, configs[0])
    request = Request((), None, configs, channel=about["channel"], noise=about["noise"], classifier=classifier)
    if request.score_key != batch["score_key"]:
        raise ConfigError(
            "the function reads the settings differently: deploy the image of the same version as this program"
        )
    return request


def analyse_batch(
    bucket: str, key: str, results: str, classifier: Classifier, *, deadline: float, client: Any = None
) -> dict[str, Any]:
    """Analyse the recordings of a batch until a deadline, and store the results.

    Parameters
    ----------
    bucket, key : str, of the batch in S3
    results : str, the beginning of the keys of results
    classifier : Classifier
    deadline : float, of `time.monotonic`, at which the process will be stopped
    client : client of S3, optional

    Returns
    -------
    answer : dict
        ``batch``, the key; ``done``, recordings that are analysed; ``left``, those that another call has to do;
        ``failed``, those that cannot be analysed.

    Raises
    ------
    ModelError, ConfigError
        The batch is for another model or version.
    ScoresError
        There was no time for anything.
    """
    if client is None:
        import boto3

        client = boto3.client("s3")
    batch = json.loads(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    request = restore_batch(batch, classifier)
    result_key = f"{results}{PurePosixPath(key).stem}.zip"
    with _open_folder() as folder:
        place, packed = folder / "archive", folder / "result.zip"
        if _download(client, bucket, result_key, packed):
            try:
                unpack_result(packed, place)
            except ScoresError:
                shutil.rmtree(place, ignore_errors=True)  # it is done again
        with State(place / "state" / "state.sqlite") as state:
            if not state.walk:
                _begin(state, place, batch)
            left = _work(state, place, request, deadline - min(RESERVE_S, (deadline - monotonic()) / 4))
            done = state.count(ANALYSED, (request.score_key,))
            failed = state.count(FAILED, (request.score_key,))
        pack_result(place, packed)
        client.upload_file(str(packed), bucket, result_key)
    return {"batch": key, "done": done, "left": left, "failed": failed}


@contextmanager
def _open_folder() -> Iterator[Path]:
    """Open a temporary folder, and remove those that earlier calls left when they were stopped."""
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # one call at a time: no other call uses these folders
        for old in Path(tempfile.gettempdir()).glob("anemone-batch-*"):
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="anemone-batch-") as folder:
        yield Path(folder)


def _download(client: Any, bucket: str, key: str, path: Path) -> bool:
    from botocore.exceptions import ClientError

    try:
        client.download_file(bucket, key, str(path))
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True


def _begin(state: State, folder: Path, batch: Mapping[str, Any]) -> None:
    """Write the recordings of the batch as a small archive that is planned."""
    (folder / "scores").mkdir(exist_ok=True)
    for name, content in batch["scores"].items():
        if not MEMBER.fullmatch(f"scores/{name}.npz"):
            raise ConfigError(f"the batch has scores called {name!r}, which is not a name of scores")
        (folder / "scores" / f"{name}.npz").write_bytes(base64.b64decode(content))
    state.remember("code_sha256", code_sha256())
    state.begin_walk()
    state.add_rows(batch["rows"])
    state.end_walk()


# ---------------------------------------------------------------------- until the deadline


class BatchRun(Run):
    """A run that ends at a deadline, and begins only work that it can finish by then.

    Parameters
    ----------
    state, folder, request, workers : as of `Run`
    deadline : float, of `time.monotonic`
    leave : set of str, recordings that are left out
    only : str, the only recording to analyse; empty: all of them
    """

    def __init__(
        self,
        state: State,
        folder: Path,
        request: Request,
        workers: Workers,
        *,
        deadline: float,
        leave: frozenset[str] = frozenset(),
        only: str = "",
    ) -> None:
        super().__init__(state, folder, request, workers)
        self._deadline, self._leave, self._only = deadline, leave, only
        self._began = monotonic()
        self._audio_out = self._audio_done = 0.0
        self._under_way: Counter[str] = Counter()
        self._refused: set[str] = set()
        #: The recording that was begun first, so that it had the most time; pieces of work that were done.
        self.first, self.n_done = "", 0

    @property
    def left(self) -> set[str]:
        """The recordings that were not begun, or not done."""
        return self._refused | set(+self._under_way)

    @property
    def finished(self) -> set[str]:
        """The recordings for which all work that was begun is done."""
        return set(self._under_way) - self.left

    def _is_ours(self, row: Mapping[str, Any]) -> bool:
        name = row["recording"]
        failed = row["status"] == "failed" and row["score_key"] == self._request.score_key
        if failed or name in self._leave or (self._only and name != self._only):
            return False
        if self.first and not self._fits(row["duration"] or 0.0):
            self._refused.add(name)
            return False
        return True

    def _fits(self, audio_s: float) -> bool:
        """Tell whether this much audio can be done in time, at the speed of this call until now."""
        now = monotonic()
        speed = self._audio_done / (now - self._began) if self._audio_done else FIRST_SPEED
        return (self._audio_out + audio_s) / speed < self._deadline - now

    def _make_task(self, row: Mapping[str, Any], known: tuple[str, ...] = ()) -> Task:
        return replace(super()._make_task(row, known), deadline=self._deadline)

    def _cut_stretches(self, row: Mapping[str, Any], task: Task) -> Iterator[Job]:
        """Yield the stretches first: the next call finds their scores, but not what `hear_recording` returned."""
        return iter(sorted(super()._cut_stretches(row, task), key=lambda job: job.hear))

    def _do_all(self, jobs: Iterator[Job]) -> None:
        try:
            super()._do_all(jobs)
        except LateError:  # results of other pieces are kept, and the next call does the rest
            for job, found in self._pieces.collect_rest():
                with suppress(LateError):  # of a piece that would begin now
                    self._take(job, found)

    def _begin(self, job: Job) -> None:
        name = job.row["recording"]
        if monotonic() > self._deadline:
            self._refused.add(name)
            raise LateError(f"{name} was not begun in time")
        self.first = self.first or name
        self._under_way[name] += 1
        self._audio_out += self._measure_job(job)
        super()._begin(job)

    def _take(self, job: Job, found: Any) -> None:
        self._under_way[job.row["recording"]] -= 1
        self._audio_out -= self._measure_job(job)
        self._audio_done += self._measure_job(job)
        self.n_done += 1
        super()._take(job, found)


def _work(state: State, folder: Path, request: Request, deadline: float) -> int:
    """Analyse and measure until the deadline; return how many recordings are left."""
    began, number = monotonic(), os.cpu_count() or 1
    undone = (UNDONE, (request.score_key,))
    with ThreadPoolExecutor(number, "anemone-batch") as threads:
        workers = Workers(lambda: threads, number, renewable=False)
        run = BatchRun(state, folder, request, workers, deadline=deadline)
        n_done = _analyse(run, state, folder, request, deadline)
        first, left = run.first, state.count(*undone)
        if not left:
            tried = frozenset(state.recall("measured", ()))
            run = BatchRun(state, folder, request, workers, deadline=deadline, leave=tried)
            run.measure()
            n_done, first, left = n_done + run.n_done, run.first, len(run.left)
            state.remember("measured", sorted(tried | run.finished))
    if left and not n_done:
        return left - _give_up(state, request, first, monotonic() - began)
    return left


def _analyse(run: BatchRun, state: State, folder: Path, request: Request, deadline: float) -> int:
    """Analyse the undone recordings; if there is no room for several at once, one after the other."""
    try:
        run.analyse()
        return run.n_done
    except DiskFullError:
        n_done = run.n_done
    with ThreadPoolExecutor(1, "anemone-batch") as thread:
        workers = Workers(lambda: thread, 1, renewable=False)
        for row in list(state.list_rows(UNDONE, (request.score_key,))):
            if monotonic() > deadline:
                break
            alone = BatchRun(state, folder, request, workers, deadline=deadline, only=row["recording"])
            try:
                alone.analyse()
                n_done += alone.n_done
            except DiskFullError:
                room = shutil.disk_usage(tempfile.gettempdir()).total / 1e9
                reason = (
                    f"the temporary folder of the function ({room:.1f} GB) has no room for it: give the function more "
                    "ephemeral storage, or analyse it without --on aws"
                )
                _fail(state, request, row["recording"], reason)
                n_done += 1
    return n_done


def _give_up(state: State, request: Request, name: str, seconds: float) -> int:
    """Leave out a recording that needs more time than a whole call; return 1, the number of recordings."""
    if not name or seconds < RESERVE_S:
        raise ScoresError(
            f"one call of the function ({seconds:.0f} s) was not enough for any recording: give the function a "
            "timeout of 900 s"
        )
    reason = (
        f"one call of the function ({seconds:.0f} s) was not enough for it: analyse it without --on aws, on a machine"
    )
    (row,) = state.list_rows("recording = ?", (name,))
    if row["status"] == "analysed" and row["score_key"] == request.score_key:
        state.keep_calls(row["sha256"], request.calls_key, Measured(None, f"calls were not measured: {reason}"))
        state.remember("measured", sorted({*state.recall("measured", ()), name}))
    else:
        _fail(state, request, name, reason)
    return 1


def _fail(state: State, request: Request, name: str, reason: str) -> None:
    state.keep_outcome(name, {"score_key": request.score_key, "status": "failed", "reason": reason})
