"""The inventory of an archive: the recordings by their headers, with duplicates, overlaps and clocks that do not fit.

*Conventions.* Gaps and overlaps are between recordings of one recorder at one site, by their own clocks (if no manifest
names recorders, between all recordings of the site). Recordings with the same bytes count once: the first counts, the
others name it. A header is read again only if the file changed.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from anemone_lib.archive.kept import describe_kept, is_kept, probe_kept
from anemone_lib.archive.request import Request
from anemone_lib.archive.state import State
from anemone_lib.archive.tables import write_table
from anemone_lib.archive.workers import work_ahead
from anemone_lib.audio.clock import Clock, read_clock
from anemone_lib.audio.probing import Probe, probe_recording
from anemone_lib.audio.sources import hash_source, open_source
from anemone_lib.errors import AnemoneError, ConfigError
from anemone_lib.files import write_atomically

#: Recordings that follow each other within this time, in milliseconds, are one bar of the timeline.
JOIN_MS = 60_000

#: Takes one line of text for the person who runs the command.
Note = Callable[[str], None]


def list_recordings(
    state: State, request: Request, *, note: Note, progress: Note | None = None
) -> list[tuple[str, str]]:
    """List the recordings of the sources, and read their headers.

    Parameters
    ----------
    state : State
    request : Request
    note : callable (text), called with everything that was left out, and why
    progress : callable (text), optional

    Returns
    -------
    failures : list of (source, reason), of sources that are not there

    Raises
    ------
    ConfigError
        There are no recordings at all.
    """
    listing, tell = request.listing, progress or (lambda text: None)
    state.begin_walk()
    number = 0
    for number, item in enumerate(listing, start=1):
        size, modified = (item.size, item.modified) if "://" in item.source else _look(item.source)
        name = state.list_item(item, size, modified)
        if item.scores is not None:
            with suppress(AnemoneError):  # it is read again below, and has its reason then
                probe = describe_kept(item.scores, item.source, request.describe_clock(item.about))
                state.keep_probe(name, request.probe_key, probe, probe.clock, None)
        if number % 1000 == 0:
            tell(f"{number:,} recordings found")
    for text in listing.notes:
        note(text)
    if not number:
        reasons = "; ".join([f"{source}: {why}" for source, why in listing.failures] + listing.notes)
        raise ConfigError(f"there is nothing to analyse: {reasons}")
    state.end_walk()
    _probe_all(state, request, tell)
    return listing.failures


def _look(path: str) -> tuple[int | None, str]:
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return None, ""
    return about.st_size, str(about.st_mtime_ns)


def _probe_all(state: State, request: Request, tell: Note) -> None:
    def look(row: Mapping[str, Any]) -> tuple[str, Probe | None, Clock, str | None]:
        name, clock = row["recording"], request.describe_clock(json.loads(row["about"]))
        try:
            kept = is_kept(row["source"])
            probe = probe_kept(row["source"], clock) if kept else probe_recording(row["source"], name=name, **clock)
            return name, probe, probe.clock, None
        except (AnemoneError, OSError) as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 one file must not end the inventory
            problem = f"unexpected {type(error).__name__}: {error}"
        return name, None, read_clock(name.rpartition("/")[2], **clock), problem

    local = map(look, state.list_unprobed(request.probe_key, remote=False))
    remote = work_ahead(look, state.list_unprobed(request.probe_key, remote=True))
    for number, (recording, probe, clock, problem) in enumerate(chain(local, remote), start=1):
        state.keep_probe(recording, request.probe_key, probe, clock, problem)
        if number % 1000 == 0:
            tell(f"{number:,} headers read")
    state.flush()


def hash_alike(state: State) -> None:
    """Find the SHA-256 of local recordings that may be the same as another: of the same size, with some equal bytes."""
    alike = (
        "sha256 IS NULL AND problem IS NULL AND source NOT LIKE '%://%' AND EXISTS (SELECT 1 FROM recordings AS other "
        "WHERE other.size = recordings.size AND other.sample = recordings.sample AND other.walk = recordings.walk "
        "AND other.recording <> recordings.recording)"
    )
    for row in state.list_rows(alike):
        try:
            with closing(open_source(row["source"])) as source:
                state.keep_outcome(row["recording"], {"sha256": hash_source(source)})
        except AnemoneError:
            continue  # it is opened again later, and has its reason then


def write_inventory(state: State, request: Request, folder: Path) -> Path:
    """Write ``recordings.parquet``."""
    rows = (describe_recording(row, request) for row in state.list_in_order(request.score_key, request.calls_key))
    return write_table(folder / "recordings.parquet", "recordings", rows)


def describe_recording(row: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """Return a recording's row of the table `RECORDINGS`."""
    about = json.loads(row["about"])
    done = row["score_key"] == request.score_key and row["status"] is not None
    outcome = json.loads(row["outcome"]) if done and row["outcome"] else {}
    status = row["status"] if done else "failed" if row["problem"] else "found"
    if row["duplicate_of"]:
        status = "duplicate"
    before = row["before_ms"] if not row["duplicate_of"] else None
    start = datetime.fromisoformat(row["start"]) if row["start"] else None
    notes = dict.fromkeys([*json.loads(row["notes"] or "[]"), *outcome.get("notes", ())])
    if status == "analysed" and row["calls_reason"]:
        notes[row["calls_reason"]] = None
    duration = outcome.get("duration_s", row["duration"])
    return {
        "recording": row["recording"],
        "source": row["source"],
        "site": row["site"],
        "recorder": about.get("recorder"),
        "size_bytes": row["size"],
        "format": row["format"],
        "sample_rate_hz": row["sample_rate"],
        "channels": row["channels"],
        "duration_s": duration,
        **spell_times("start", start, 0.0),
        "clock": row["clock"],
        "gap_before_s": before / 1000 if before is not None and before >= 0 else None,
        "overlap_s": min(-before / 1000, duration or 0.0) if before is not None and before < 0 else None,
        "duplicate_of": row["duplicate_of"],
        "calibration_db": about.get("calibration_db"),
        "latitude": about.get("latitude"),
        "longitude": about.get("longitude"),
        "sha256": row["sha256"],
        "status": status,
        "problem": row["problem"] or (row["reason"] if done else None),
        "notes": "; ".join(notes) or None,
    }


def spell_times(name: str, began: datetime | None, seconds: float | None) -> dict[str, datetime | None]:
    """Return the columns of a time of day, in UTC and by the recorder's clock, `seconds` after a start.

    >>> spell_times("start", datetime(2023, 2, 10, 6, tzinfo=UTC), 1.5)["start_local"]
    datetime.datetime(2023, 2, 10, 6, 0, 1, 500000)
    """
    if began is None or seconds is None:
        return {f"{name}_utc": None, f"{name}_local": None}
    moment = began + timedelta(milliseconds=round(1000 * seconds))
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return {f"{name}_utc": moment.astimezone(UTC), f"{name}_local": moment.replace(tzinfo=None)}


def save_timeline(state: State, folder: Path) -> Path:
    """Draw ``timeline.png``: when each site was recorded."""
    from anemone_lib.plots.archive import plot_timeline
    from anemone_lib.plots.axes import use_all_letters

    spans: dict[str, list[list[int]]] = {}
    for row in state.list_rows("start_ms IS NOT NULL AND problem IS NULL"):
        begin, end = row["start_ms"], row["start_ms"] + round(1000 * row["elapsed"])
        of_site = spans.setdefault(row["site"], [])
        if of_site and abs(begin - of_site[-1][1]) <= JOIN_MS:
            of_site[-1][1] = max(end, of_site[-1][1])
        else:
            of_site.append([begin, end])
    edges = {site: np.array(some, "M8[ms]").T for site, some in sorted(spans.items())}
    path = folder / "timeline.png"
    with use_all_letters(), write_atomically(path) as file:
        axes = plot_timeline({site: (starts, ends) for site, (starts, ends) in edges.items()}, label="recorded")
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.savefig(file, format="png", dpi=120, bbox_inches="tight", metadata={"Software": None})
    return path
