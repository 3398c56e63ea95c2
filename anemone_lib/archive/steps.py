"""Plan, run, report: an archive from its sources to its tables.

*Conventions.* Only one run at a time works in a folder: a second run is refused. Shards of one run may work at the same
time, each with its own state; the run without a shard takes over their results, does what is missing, and writes the
tables.
"""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from anemone_lib.archive.assembling import assemble_tables, read_labels
from anemone_lib.archive.cloud import analyse_on_aws, check_reachable, collect_from_aws
from anemone_lib.archive.execution import Place
from anemone_lib.archive.inventory import Note, hash_alike, list_recordings, write_inventory
from anemone_lib.archive.request import Request, make_request, restore_request
from anemone_lib.archive.running import TIMEOUT_S, Progress, Run
from anemone_lib.archive.state import State
from anemone_lib.archive.tables import Archive, open_archive
from anemone_lib.archive.workers import open_workers
from anemone_lib.config import EVENT_FIELDS, InferenceConfig
from anemone_lib.errors import AnemoneError, ConfigError, spell_count
from anemone_lib.files import check_folder


def _quiet(text: str) -> None:
    """Say nothing."""


def plan_archive(
    request: Request, folder: str | os.PathLike[str], *, note: Note = _quiet, progress: Note | None = None
) -> State:
    """List the recordings, read their headers, and write the inventory ``recordings.parquet``; nothing is scored.

    Parameters
    ----------
    request : Request, from `make_request`
    folder : path, the archive's
    note : callable (text), called with everything that was left out, and why
    progress : callable (text), optional

    Returns
    -------
    state : State, open, to be asked for more

    Raises
    ------
    ConfigError
        There are no recordings, another run works in the folder, or it cannot be written to.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> season, folder = Path(mkdtemp()), Path(mkdtemp())
    >>> _ = write_recording(season / "20230210_060000.wav", duration=10, seed=4, sample_rate=16_000)
    >>> with plan_archive(make_request([str(season)]), folder) as state:
    ...     state.count(), state.add_up("duration")
    (1, 10.0)
    """
    folder = Path(folder)
    check_folder(folder, "--out")
    with _lock(folder), ExitStack() as after_error:
        state = after_error.enter_context(State(_state_path(folder, None)))
        for source, why in list_recordings(state, request, note=note, progress=progress):
            note(f"{source}: {why}")
        hash_alike(state)
        state.remember("request", request.to_dict())
        state.flush()
        write_inventory(state, request, folder)
        after_error.pop_all()
    return state


def run_archive(
    request: Request,
    folder: str | os.PathLike[str],
    *,
    workers: int | None = None,
    memory: int | None = None,
    scheduler: str | None = None,
    executor: Executor | None = None,
    shard: tuple[int, int] | None = None,
    aws: Place | None = None,
    wait_minutes: float = 60.0,
    timeout_minutes: float = TIMEOUT_S / 60,
    note: Note = _quiet,
    progress: Progress | None = None,
) -> Archive | None:
    """Analyse all recordings that are not analysed yet, and write the tables.

    Parameters
    ----------
    request : Request, from `make_request`
    folder : path, the archive's; a run that was stopped goes on there
    workers : int > 0, optional
        Processes; by default one a core.
    memory : int, optional
        Bytes that all processes may take together.
    scheduler : str, optional
        Address of a Dask scheduler, instead of processes.
    executor : concurrent.futures.Executor, optional
        Any other, instead of both.
    shard : (i, n), optional
        Analyse only every n-th recording from the i-th, and write no tables.
    aws : Place, optional
        Analyse recordings in S3 there, instead of here; see `anemone_lib.archive.cloud`.
    wait_minutes : float >= 0
        The run waits for this time while no worker of the Dask cluster can work.
    timeout_minutes : float > 0
        A piece of work has this time, and 20 times what is usual for its length; then the recording has failed, and the
        process that is at it is ended (a Dask worker goes on without it).
    note : callable (text), called with everything that was left out, is done again, or is waited for
    progress : callable (done, total), in seconds of audio, optional

    Returns
    -------
    archive : Archive, or None of a shard

    Raises
    ------
    ConfigError
        There are no recordings, another run works in the folder, or it cannot be written to; AWS refuses.
    DiskFullError, ScoresError
        There is no room, or the workers are gone; the results so far are kept, and the next run goes on.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> season, folder = Path(mkdtemp()), Path(mkdtemp())
    >>> for hour in (6, 7):
    ...     path = season / "north reef" / f"20230210_{hour:02d}0000.wav"
    ...     path.parent.mkdir(exist_ok=True)
    ...     _ = write_recording(path, duration=10, seed=4 + hour, sample_rate=16_000, bouts_per_minute=6)
    >>> with ThreadPoolExecutor(1) as executor:
    ...     archive = run_archive(make_request([str(season)]), folder, executor=executor)
    >>> archive.hours[["site", "effort_s"]].values.tolist()
    [['north reef', 10.0], ['north reef', 10.0]]
    """
    folder = Path(folder)
    check_folder(folder, "--out")
    read_labels(folder)  # a wrong table of verdicts is an error before a night of work
    if aws:
        check_reachable(request.sources)
    with _lock(folder, shard), ExitStack() as stack:
        state = stack.enter_context(State(_state_path(folder, shard)))
        planned = _state_path(folder, None)
        if shard and not state.walk and planned.exists():
            state.copy_from(stack.enter_context(State(planned)))
        failures = list_recordings(state, request, note=note)
        for source, why in failures:
            note(f"{source}: {why}")
        _say_what_is_new(state, request, note)
        state.remember("request", request.to_dict())
        if not shard:
            for path in sorted((folder / "state").glob("shard-*.sqlite")):
                state.take_over(path, request.score_key)
        if aws:
            analyse_on_aws(state, request, folder, aws, note=note, progress=progress)
        else:
            collect_from_aws(state, request, folder, note)
            where: dict[str, Any] = {"memory": memory, "scheduler": scheduler, "executor": executor}
            opened = stack.enter_context(open_workers(workers, **where, wait_minutes=wait_minutes, note=note))
            limits: dict[str, Any] = {"shard": shard or (0, 1), "timeout_s": 60 * timeout_minutes}
            run = Run(state, folder, request, opened, **limits, progress=progress)
            run.analyse()
            run.measure()
        if shard:
            return None
        assemble_tables(state, request, folder)
    return open_archive(folder)


def report_archive(
    folder: str | os.PathLike[str],
    *,
    config: InferenceConfig | None = None,
    settings: dict[str, Any] | None = None,
    call_level_db: float | None = None,
    note: Note = _quiet,
) -> Archive:
    """Write the tables again from the results so far, also with other event settings; nothing is scored.

    Calls of events that are new are measured in recordings that are on this machine. What an execution on AWS has found
    by now is collected.

    Parameters
    ----------
    folder : path, the archive's
    config : InferenceConfig, optional
    settings : dict, optional
        Event settings that differ.
    call_level_db : float, optional
        Level of the reference call, as in `make_request`; by default that of before.
    note : callable (text), called with what is still on AWS

    Returns
    -------
    archive : Archive

    Raises
    ------
    ConfigError
        There was no run in the folder, or a setting decides the scores.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> season, folder = Path(mkdtemp()), Path(mkdtemp())
    >>> _ = write_recording(season / "20230210_060000.wav", duration=10, seed=4, sample_rate=16_000)
    >>> with ThreadPoolExecutor(1) as executor:
    ...     archive = run_archive(make_request([str(season)]), folder, executor=executor)
    >>> report_archive(folder, settings={"confidence_threshold": 0.0}).events[["start_s", "end_s"]].values.tolist()
    [[0.0, 10.0]]
    """
    folder = Path(folder)
    open_state(folder).close()  # before anything is written there
    with _lock(folder), open_state(folder) as state:
        request = restore_request(state.recall("request"))
        configs = [
            (config or one).replace(**{**(settings or {}), "target_class": one.target_class}) for one in request.configs
        ]
        level = request.call_level_db if call_level_db is None else call_level_db
        changed = replace(request, configs=tuple(configs), call_level_db=level)
        if changed.score_key != request.score_key:
            raise ConfigError(
                "these settings decide the scores; `anemone archive run` scores with them: "
                + _compare(request.config, changed.config)
            )
        collect_from_aws(state, request, folder, note)
        with ThreadPoolExecutor() as executor, open_workers(executor=executor) as workers:
            Run(state, folder, changed, workers).measure(remote=False)
        assemble_tables(state, changed, folder)
        state.remember("request", changed.to_dict())
    return open_archive(folder)


def open_state(folder: Path) -> State:
    """Open the state of a run.

    Raises
    ------
    ConfigError
        There was no run in the folder.
    """
    path = _state_path(folder, None)
    if not path.is_file():
        raise ConfigError(f"there is no archive in {folder}; `anemone archive run SOURCE --out {folder}` makes one")
    state = State(path)
    if state.recall("request") is None:
        state.close()
        raise ConfigError(f"nothing was planned or run in {folder} yet; `anemone archive run SOURCE --out {folder}`")
    return state


def _state_path(folder: Path, shard: tuple[int, int] | None) -> Path:
    return folder / "state" / (f"shard-{shard[0] + 1}-of-{shard[1]}.sqlite" if shard else "state.sqlite")


def _say_what_is_new(state: State, request: Request, note: Note) -> None:
    """Say if all recordings are scored again, and why, and how many are no longer among the sources."""
    before = state.recall("request")
    if before is not None:
        try:
            old = restore_request(before)
            changes = [] if old.channel == request.channel else [f"channel {old.channel} → {request.channel}"]
            if old.classifier.sha256 != request.classifier.sha256:
                changes.append(f"model {old.classifier.version} → {request.classifier.version}")
            if difference := _compare(old.config, request.config):
                changes.append(difference)
        except AnemoneError as error:
            changes = [f"the earlier model or settings cannot be read: {error}"]
        if changes:
            note(f"all recordings are scored again ({'; '.join(changes)}); the earlier scores are kept in scores/")
    gone = state.count_earlier()
    if gone:
        note(
            f"{spell_count(gone, 'recording')} of an earlier run {'is' if gone == 1 else 'are'} not among the sources: "
            "not in the tables; the scores are kept in scores/"
        )


def _compare(before: InferenceConfig, after: InferenceConfig) -> str:
    """List the settings that decide the scores and differ."""
    if before.scores_fingerprint == after.scores_fingerprint:
        return ""
    old, new = before.model_dump(), after.model_dump()
    names = [name for name in old if old[name] != new[name] and name not in (*EVENT_FIELDS, "batch_size")]
    return ", ".join(f"{name} {old[name]} → {new[name]}" for name in names)


@contextmanager
def _lock(folder: Path, shard: tuple[int, int] | None = None) -> Iterator[None]:
    """Work alone in a folder; shards work beside each other, but not beside a run without one."""
    locks = folder / "state"
    locks.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if shard:
            with _take(locks / "run.lock", folder, timeout=1.0):  # a run keeps it to its end
                stack.enter_context(_take(locks / f"shard-{shard[0] + 1}-of-{shard[1]}.lock", folder))
        else:
            stack.enter_context(_take(locks / "run.lock", folder))
            for path in sorted(locks.glob("shard-*.lock")):
                stack.enter_context(_take(path, folder))
        yield


@contextmanager
def _take(path: Path, folder: Path, timeout: float = 0.0) -> Iterator[None]:
    lock = FileLock(path, timeout=timeout)
    about = path.with_suffix(".owner")
    try:
        lock.acquire()
    except Timeout:
        try:
            who = about.read_text(encoding="utf-8")
        except OSError:  # it has just begun, or just ended
            who = "another process"
        raise ConfigError(
            f"another run works in {folder} ({who}): wait for its end, or stop it; a run that is started again goes on"
        ) from None
    try:
        about.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        about.unlink(missing_ok=True)
        lock.release()


__all__ = ["make_request", "open_state", "plan_archive", "report_archive", "run_archive"]
