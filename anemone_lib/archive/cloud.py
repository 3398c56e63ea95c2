"""A run on AWS: batches of recordings go to a state machine, and the results come back into the archive's folder.

*Conventions.* This machine plans and keeps the results; AWS analyses. A batch is some rows of the plan, as an object in
a bucket (`anemone_lib.archive.batch`). Its result has the files of a shard, and is taken over like a shard. If a run is
stopped, the next run finds the execution, joins it, and hands over only what is missing after its end. If a batch
fails, each of its recordings is tried once more, alone; a recording that fails again has a row with the reason.
"""

import os
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from anemone_lib.archive.batch import compose_batch
from anemone_lib.archive.execution import (
    AT_WORK,
    TOO_MANY_FAILED,
    Execution,
    Place,
    Status,
    UnreachableError,
)
from anemone_lib.archive.inventory import Note
from anemone_lib.archive.kept import find_obstacle
from anemone_lib.archive.measuring import Measured, decide_all_events
from anemone_lib.archive.noise import name_noise
from anemone_lib.archive.packing import MEMBER, unpack_result
from anemone_lib.archive.request import Request
from anemone_lib.archive.running import Progress, forget_lost_scores, refuse_full_disk
from anemone_lib.archive.state import ANALYSED, FAILED, OUTCOME, UNDONE, State
from anemone_lib.archive.workers import work_ahead
from anemone_lib.errors import AnemoneError, ConfigError, ScoresError, spell_count
from anemone_lib.provenance import code_sha256
from anemone_lib.scoring.scores import Scores

#: Audio and recordings of a batch, at most; a longer recording is alone. Both are some minutes of one call.
BATCH_S, BATCH_FILES = 6 * 3600.0, 400
#: Seconds between two looks at an execution, and how often AWS may fail to answer, one after the other.
POLL_S, MAX_UNANSWERED = 15.0, 240
#: Executions of one run: the second and third are for the recordings that are left of batches that failed.
ROUNDS = 3
#: Errors by which the function says that no batch of the run is for it.
_REFUSALS = ("ModelError", "ConfigError")


def check_reachable(sources: Iterable[str]) -> None:
    """Refuse sources that a function on AWS cannot read.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> check_reachable(["s3://reefs/2023/", "manifest.csv"])
    """
    for source in sources:
        if not source.startswith("s3://") and ("://" in source or not source.lower().endswith(".csv")):
            raise ConfigError(
                f"--on aws analyses recordings in S3, and {source} is not in S3: copy it (`aws s3 sync`) and give "
                "its s3:// address, or leave --on aws out"
            )


def analyse_on_aws(
    state: State, request: Request, folder: Path, place: Place, *, note: Note, progress: Progress | None = None
) -> None:
    """Analyse the recordings that are not done, and measure missing calls and levels, on AWS.

    Parameters
    ----------
    state : State, with all recordings listed
    request : Request
    folder : pathlib.Path, the archive's
    place : Place
    note : callable (text), called with the progress, and with failures
    progress : callable (done, total), in seconds of audio, optional

    Raises
    ------
    ConfigError
        A recording is not in S3; there is no such state machine or bucket, or it has another model; AWS refuses.
    ScoresError, DiskFullError
        The execution was stopped, or there is no room; what was done is kept, and the next run goes on.
    """
    elsewhere = state.list_rows(f"source NOT LIKE 's3://%' AND {UNDONE}", (request.score_key,))
    check_reachable(row["source"] for row in elsewhere)
    forget_lost_scores(state, folder, request.score_key)
    exchange = _Exchange(state, request, folder, note, progress)
    try:
        if not exchange.join():
            exchange.retry_failed()
        for number in range(ROUNDS):
            if not exchange.hand_over(place, measure=number == 0):
                return
            exchange.finish()
    except (OSError, sqlite3.OperationalError) as error:
        refuse_full_disk(error, state, folder, request.score_key)
        raise
    if n_left := state.count(UNDONE, (request.score_key,)):
        note(f"{spell_count(n_left, 'recording')} came back without a result: run again")


def collect_from_aws(state: State, request: Request, folder: Path, note: Note) -> None:
    """Take over the results so far of an execution of an earlier run; do nothing if there is no such execution."""
    about = state.recall("aws")
    if about is None:
        return
    exchange = _Exchange(state, request, folder, note, None)
    try:
        status = exchange.recall_execution().describe()
        exchange.collect()
    except AnemoneError as error:
        note(f"the results on AWS were not collected: {error}")
        return
    if status is not None:
        at_work = "is running on AWS" if status.word in AT_WORK else "on AWS has ended"
        note(f"the execution {about['run']} {at_work}: `anemone archive run --on aws` collects the rest")


class _Exchange:
    """Hands batches over, and takes results back.

    The state remembers ``aws``, the execution; ``aws <run> <number>``, the result that was taken over; ``aws alone``,
    the recordings of batches that failed, with the reason.
    """

    def __init__(self, state: State, request: Request, folder: Path, note: Note, progress: Progress | None) -> None:
        self._state, self._request, self._folder, self._note = state, request, folder, note
        self._key = request.score_key
        self._other_code: str | None = None
        self._tell = progress or (lambda done, total: None)
        self._total = state.add_up("duration", UNDONE, (self._key,))

    # ------------------------------------------------------------------ to AWS

    def retry_failed(self) -> None:
        """Mark recordings that failed in an earlier run to be tried again."""
        for row in self._state.list_rows(f"{FAILED} AND problem IS NULL", (self._key,)):
            self._state.keep_outcome(row["recording"], {"status": None})
        self._total = self._state.add_up("duration", UNDONE, (self._key,))

    def hand_over(self, place: Place, *, measure: bool) -> int:
        """Store the missing recordings as batches and start an execution; return the number of batches."""
        execution = Execution(place, secrets.token_hex(8))
        about = {"run": execution.run, "state_machine": place.state_machine, "bucket": place.bucket}
        self._state.remember("aws", {**about, "score_key": self._key})
        self._state.flush()

        def store(batch: tuple[int, bytes]) -> int:
            execution.write_batch(*batch)
            return 1

        contents = (self._compose(rows) for rows in self._cut_batches(measure))
        number = sum(work_ahead(store, enumerate(contents)))
        if not number:
            self._state.forget("aws")
            return 0
        execution.start()
        self._note(
            f"{spell_count(number, 'batch', 'batches')} on AWS ({execution.arn}): you may stop this program: the work "
            "goes on, and the same command collects the results"
        )
        return number

    def _cut_batches(self, measure: bool) -> Iterator[list[Mapping[str, Any]]]:
        alone = self._state.recall("aws alone", {})
        rows: list[Mapping[str, Any]] = []
        seconds = 0.0
        for row in self._list_missing(measure):
            if row["recording"] in alone:
                yield [row]
                continue
            duration = row["duration"] or 0.0
            if rows and (seconds + duration > BATCH_S or len(rows) == BATCH_FILES):
                yield rows
                rows, seconds = [], 0.0
            rows.append(row)
            seconds += duration
        if rows:
            yield rows

    def _list_missing(self, measure: bool) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of recordings that are not analysed, or are analysed but have no calls or levels."""
        for row in self._state.list_rows(UNDONE, (self._key,)):
            yield {**dict(row), **dict.fromkeys(OUTCOME)}
        if measure:
            where, values = self._state.find_unmeasured(self._key, self._request.calls_key)
            unmeasured = {row["recording"] for row in self._state.list_rows(where, values) if self._has_events(row)}
            for row in self._state.list_rows(ANALYSED, (self._key,)):
                if not row["source"].startswith("s3://") or find_obstacle(row["source"], remote=True):
                    continue
                quiet = self._request.noise and not name_noise(self._folder, row["sha256"], self._request).exists()
                if row["recording"] in unmeasured or quiet:
                    yield dict(row)

    def _has_events(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a recording has events whose calls must be measured; if it has no event, note that now."""
        try:
            scores = Scores.load(self._locate_scores(row))
        except AnemoneError:
            return False  # the tables, which are next, say so
        if decide_all_events(scores, self._request.configs):
            return True
        self._state.keep_calls(row["sha256"], self._request.calls_key, Measured())
        return False

    def _compose(self, rows: list[Mapping[str, Any]]) -> bytes:
        scores = {row["scores"]: self._locate_scores(row).read_bytes() for row in rows if row["scores"]}
        return compose_batch(self._request, rows, scores)

    def _locate_scores(self, row: Mapping[str, Any]) -> Path:
        return self._folder / "scores" / f"{row['scores']}.npz"

    # ------------------------------------------------------------------ from AWS

    def recall_execution(self) -> Execution:
        """Return the execution that is remembered."""
        about = self._state.recall("aws")
        return Execution(Place(about["state_machine"], about["bucket"]), about["run"])

    def join(self) -> bool:
        """Finish an execution of an earlier run; return whether there was one.

        Raises
        ------
        ConfigError
            It runs with another model or other settings.
        """
        about = self._state.recall("aws")
        if about is None:
            return False
        execution = self.recall_execution()
        status = execution.describe()
        if status is None:  # this program was stopped before it was started, or it ended long ago
            self.collect()
            self._forget(execution)
            return False
        if status.word in AT_WORK:
            if about["score_key"] != self._key:
                raise ConfigError(
                    f"an execution with another model or other settings is running for this archive ({execution.arn}): "
                    "run with those to collect it, or stop it (`aws stepfunctions stop-execution --execution-arn …`) "
                    "and run again"
                )
            self._note(
                f"{execution.arn} is running: its results are collected; you may stop this program, the work goes on"
            )
            self.finish()
        else:
            self.collect()
            try:
                self._settle(execution, status)
            except (ScoresError, ConfigError) as error:
                self._note(str(error))
        return True

    def finish(self) -> None:
        """Wait for the end of the execution, and take over its results."""
        execution, unanswered = self.recall_execution(), 0
        while True:
            try:
                status = execution.describe()
                self.collect()
            except UnreachableError as error:
                unanswered += 1
                if unanswered == 1:
                    self._note(f"{error}; it is tried again")
                if unanswered == MAX_UNANSWERED:
                    raise
            else:
                unanswered = 0
                if status is None or status.word not in AT_WORK:
                    break
            time.sleep(POLL_S)
        self._settle(execution, status or Status("FAILED", "unknown", "the execution is not known any more"))

    def collect(self) -> None:
        """Take over every result that is new."""
        execution = self.recall_execution()
        key = self._state.recall("aws")["score_key"]
        with tempfile.TemporaryDirectory(dir=self._folder / "state", prefix=".results-") as place:

            def download(found: tuple[int, str]) -> tuple[int, str, Path]:
                path = Path(place, f"{found[0]}.zip")
                execution.download_result(found[0], path)
                return *found, path

            known = (f"aws {execution.run} {{}}").format
            new = [one for one in execution.list_results() if self._state.recall(known(one[0])) != one[1]]
            for n_taken, (number, etag, path) in enumerate(work_ahead(download, new)):
                try:
                    self._take(path, key)
                except ScoresError as error:
                    self._note(f"the result of batch {number} is not used: {error}")
                path.unlink()
                self._state.remember(known(number), etag)
                self._state.flush()
                if n_taken % 100 == 99:
                    self._say_how_far()
        self._say_how_far()

    def _say_how_far(self) -> None:
        self._tell(self._total - self._state.add_up("duration", UNDONE, (self._key,)), self._total)

    def _take(self, path: Path, key: str) -> None:
        """Take over a result: first scores and levels, then the rows, which say that scores and levels are complete."""
        with tempfile.TemporaryDirectory(dir=path.parent) as name:
            place = Path(name)
            unpack_result(path, place)
            database = place / "state" / "state.sqlite"
            try:
                with State(database) as shard:
                    names = [row["scores"] for row in shard.list_rows("scores IS NOT NULL")]
                    self._compare_code(shard.recall("code_sha256"))
            except (sqlite3.Error, ConfigError) as error:
                raise ScoresError(f"its state cannot be read: {error}") from None
            for one in names:
                if not MEMBER.fullmatch(f"scores/{one}.npz") or not (place / "scores" / f"{one}.npz").exists():
                    raise ScoresError(f"it names scores that are not in it: {one!r}")
            for kind in ("scores", "noise"):
                (self._folder / kind).mkdir(exist_ok=True)
                for file in (place / kind).glob("*.npz"):
                    os.replace(file, self._folder / kind / file.name)
            self._state.take_over(database, key)

    def _compare_code(self, there: str | None) -> None:
        """Say once if the function runs different code: the tables name the code of this program."""
        if there not in (None, code_sha256(), self._other_code):
            self._other_code = there
            self._note(
                f"the function runs different code ({str(there)[:12]}) than this program ({code_sha256()[:12]}), of "
                "the same version: deploy the image of this code if the tables must name the code that made them"
            )

    # ------------------------------------------------------------------ what failed

    def _settle(self, execution: Execution, status: Status) -> None:
        """Keep the reasons of failed batches, forget the execution, and say why it ended early."""
        failures = execution.list_failures()
        refusals = [one.reason for one in failures.values() if one.error in _REFUSALS]
        throttled = [one for one in failures.values() if "TooManyRequests" in one.error]
        if not refusals and not throttled:
            self._keep_failures(execution, {number: one.reason for number, one in failures.items()})
        self._forget(execution)
        if refusals:
            raise ConfigError(f"the function refuses the batches: {refusals[0]}")
        if not throttled and (status.word == "SUCCEEDED" or (failures and status.error == TOO_MANY_FAILED)):
            return
        done = self._state.count(ANALYSED, (self._key,))
        raise ScoresError(
            f"the execution on AWS {_spell_end(status, bool(throttled))}; {done:,} of "
            f"{spell_count(self._state.count(), 'recording')} are done and kept: run again to go on"
        )

    def _keep_failures(self, execution: Execution, reasons: Mapping[int, str]) -> None:
        """Try each recording of a failed batch once more, alone; if it fails again, it counts as failed."""
        alone = self._state.recall("aws alone", {})
        missing = {row["recording"] for row in self._state.list_rows(UNDONE, (self._key,))} if reasons else set()
        for number, reason in reasons.items():
            rows = execution.read_batch(number)["rows"]
            names = [row["recording"] for row in rows if row["recording"] in missing]
            self._note(f"batch {number} failed ({spell_count(len(names), 'recording')} left): {reason}")
            for name in names:
                if name in alone or len(rows) == 1:
                    failed = {"score_key": self._key, "status": "failed", "reason": f"on AWS: {reason}"}
                    self._state.keep_outcome(name, {**dict.fromkeys(OUTCOME), **failed})
                    alone.pop(name, None)
                else:
                    alone[name] = reason
        self._state.remember("aws alone", {name: alone[name] for name in alone if name in missing})
        self._state.flush()

    def _forget(self, execution: Execution) -> None:
        """Delete the objects of the run on AWS; all results are here."""
        alone = self._state.recall("aws alone", {})
        self._state.forget("aws")
        self._state.remember("aws alone", alone)
        self._state.flush()
        try:
            execution.remove()
        except AnemoneError as error:
            self._note(f"the collected results are still on AWS, and cost a little: {error}")


def _spell_end(status: Status, throttled: bool) -> str:
    """Say why an execution ended early, and what to do."""
    if throttled:
        return (
            "could not start its calls for hours, because too many were running: raise the concurrency of the "
            "function, or lower max_concurrency of the Terraform module"
        )
    said = {"ABORTED": "was stopped", "TIMED_OUT": "took longer than its state machine allows"}
    details = ": ".join(text for text in (status.error, status.cause[:500]) if text)
    return said.get(status.word, "failed") + (f" ({details})" if details else "")
