"""Tables from scores: events, effort, hours and minutes of all recordings, site by site.

*Conventions.* The rows of a recording are in the file of the month in which it began; an hour is in its own month. A
recording without a start time has events and effort, but no hours. Events are decided again only in `months` in which
something changed, which takes milliseconds for each recording; nothing is scored, and the calls inside events were
measured before.
"""

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from anemone_lib.archive.hours import count_hours
from anemone_lib.archive.inventory import describe_recording, spell_times, write_inventory
from anemone_lib.archive.masking import Masking, find_lowest_snr, mark_masked
from anemone_lib.archive.measuring import decide_all_events, describe_calls
from anemone_lib.archive.minutes import (
    LEVELS,
    SiteLevels,
    choose_call_bands,
    load_noise,
    tabulate_levels,
    tabulate_minutes,
)
from anemone_lib.archive.months import (
    LEVELS_FOLDER,
    Month,
    Months,
    add_counts,
    read_effort,
    read_month,
    renew_verdicts,
    write_levels,
)
from anemone_lib.archive.provenance import describe_archive, describe_model
from anemone_lib.archive.request import Request
from anemone_lib.archive.schemas import EFFORT, HOURS
from anemone_lib.archive.state import State
from anemone_lib.archive.tables import (
    PARTITIONED,
    UNDATED,
    VERDICTS_NAME,
    name_partition,
    name_site_folders,
    open_table,
    read_table,
    write_provenance,
    write_table,
)
from anemone_lib.audio.gaps import Pause, add_pauses
from anemone_lib.detection.events import Event, fold_label
from anemone_lib.errors import ScoresError
from anemone_lib.files import hash_file
from anemone_lib.scoring.scores import Scores
from anemone_lib.soundscape.minutes import find_reference
from anemone_lib.tables.verdicts import read_verdicts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Analysed:
    """A recording with its row of the table `RECORDINGS`, its scores, its events, and the figures of calls by event."""

    row: Mapping[str, Any]
    began: datetime | None
    scores: Scores | None
    events: tuple[Event, ...]
    calls: Mapping[str, Any]
    condition: tuple[Mapping[str, float], ...]
    gain: str | None

    def measure_elapsed(self, seconds: float | None) -> float | None:
        """Return how long after its start a time of the recording was, in seconds with its pauses."""
        pauses: Iterable[Pause] = self.scores.pauses if self.scores else ()
        return None if seconds is None else add_pauses(seconds, pauses)


#: Latitude and longitude, in degrees.
Place = tuple[float, float]


def assemble_tables(state: State, request: Request, folder: Path) -> dict[str, Any]:
    """Write all tables and ``archive.json``; months that did not change are not written again.

    Parameters
    ----------
    state : State
    request : Request
    folder : pathlib.Path

    Returns
    -------
    provenance : dict, the content of ``archive.json``

    Raises
    ------
    ScoresError
        Scores are damaged; the recording is analysed again by the next run.
    """
    folders = name_site_folders(state.list_sites())
    write_inventory(state, request, folder)
    labels = read_labels(folder)
    months = Months(state, request, folder)
    totals: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    digests: dict[str, str] = {}
    maskings: dict[str, Masking] = {}
    rows = state.list_in_order(request.score_key, request.calls_key)
    for site, of_site in groupby(rows, key=lambda row: row["site"]):
        tables = SiteTables(state, folder, site, folders[site], request, months)
        for month, of_month in groupby(of_site, key=lambda row: row["month"] or UNDATED):
            tables.add_month(month, of_month, labels)
        written = tables.finish()
        months.keep(site, written)
        for counted, more in zip((statuses, totals), add_counts(written), strict=True):
            counted.update(more)
        for one in written.values():
            digests |= one.digests
        if tables.masking is not None:
            maskings[site] = tables.masking
        digests |= tables.hours
    _drop_others(folder, digests)
    digests = {name: digest for name, digest in digests.items() if not name.startswith(LEVELS_FOLDER)}
    provenance = describe_archive(request, folder, statuses, totals, digests, maskings)
    write_provenance(folder, provenance)
    return provenance


class SiteTables:
    """The tables of one site, written month by month; the hours are written last, when all months are known.

    Parameters
    ----------
    state : State
    folder : pathlib.Path, the archive's
    site, site_folder : str
    request : Request
    months : Months

    Attributes
    ----------
    masking : Masking or None, the noise above which the reference call is not heard
    hours : dict, SHA-256 of the files of hours by their path in the archive's folder
    """

    def __init__(
        self, state: State, folder: Path, site: str, site_folder: str, request: Request, months: Months
    ) -> None:
        self._state, self._folder, self._request = state, folder, request
        self._site, self._site_folder = site, site_folder
        self._known, self._get_key = months.recall(site), months.get_key
        self._bands = choose_call_bands(request)
        self._effort: dict[str, pa.Table] = {}
        self._levels = SiteLevels(request.classes)
        self._months: dict[str, Month] = {}
        self.masking: Masking | None = None
        self.hours: dict[str, str] = {}

    def add_month(self, month: str, rows: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> None:
        """Write the events and the minutes of a month, unless it did not change, and keep its effort."""
        if month not in self._known:
            recordings = (_load(row, self._request, self._state, self._folder) for row in rows)
            self._months[month] = self._write_month(month, recordings, labels)
            return
        self._months[month] = known = self._known[month]
        events = self._place_file("events", month)
        if renew_verdicts(self._folder / events, labels):
            known.digests[events.as_posix()] = hash_file(self._folder / events)
        self._effort[month] = read_effort(self._folder / self._place_file("effort", month))
        if self._request.noise:
            self._levels.add(month, read_month(self._folder / self._place_levels(month)))

    def _write_month(self, month: str, recordings: Iterable[Analysed], labels: Mapping[str, str]) -> Month:
        statuses: Counter[str] = Counter()
        totals: Counter[str] = Counter()
        levels = [LEVELS.empty_table()]
        place = None
        events, effort = [], []
        with ExitStack() as stack:
            add_minutes = None
            if self._request.noise:
                minutes = self._folder / self._place_file("minutes", month)
                add_minutes = stack.enter_context(open_table(minutes, "minutes"))
            for one in recordings:
                statuses[one.row["status"]] += 1
                events += list(list_events(one, self._request, labels))
                effort += list(list_effort(one))
                if one.row["latitude"] is not None:
                    place = place or (one.row["latitude"], one.row["longitude"])
                if add_minutes is not None and one.scores is not None:
                    levels += self._add_minutes(one, add_minutes)
        totals["events"] += len(events)
        for row in effort:
            if row["start_s"] is not None:
                totals["effort_s" if row["analysed"] else "skipped_s"] += row["end_s"] - row["start_s"]
        write_table(self._folder / self._place_file("events", month), "events", events)
        self._effort[month] = pa.Table.from_pylist(effort, EFFORT)
        if self._request.noise:
            table = pa.concat_tables(levels)
            write_levels(self._folder / self._place_levels(month), table)
            self._levels.add(month, table)
        return Month(self._get_key(self._site, month) or "", {}, dict(statuses), dict(totals), place)

    def _add_minutes(self, one: Analysed, add: Callable[[pa.Table], None]) -> list[pa.Table]:
        noise = load_noise(self._folder, one.row["sha256"], self._request)
        if noise is None:
            return []
        levels = noise.add_up(list(self._bands.values())) + find_reference(one.row["calibration_db"])[0]
        table = tabulate_minutes(one, noise, levels[:, 0])
        add(table)
        return [tabulate_levels(table, levels)]

    def finish(self) -> dict[str, Month]:
        """Write the hours and the effort; return the months, written now or before."""
        parts = [read_month(self._folder / self._place_file("events", month)) for month in self._months]
        events = pa.concat_tables(parts).to_pandas()
        effort = pa.concat_tables(self._effort.values()).to_pandas()
        effort = effort[~effort["recording"].isin(_list_copies(self._folder, self._site))]
        place = next((one.place for one in self._months.values() if one.place is not None), None)
        places = {} if place is None else {self._site: place}
        noise = self._levels.to_frame(self._site)
        hours = count_hours(events, effort, classes=self._request.classes, noise=noise, places=places)
        for month, rows in hours.groupby(hours["hour_local"].dt.strftime("%Y-%m"), sort=True):
            path = self._place_file("hours", str(month))
            rows = pa.Table.from_pandas(rows, HOURS, preserve_index=False).to_pylist()
            self.hours[path.as_posix()] = hash_file(write_table(self._folder / path, "hours", rows))
        self.masking = mask_hours(hours, self._request)
        for month, table in self._effort.items():
            self._write_effort(month, table)
        return self._months

    def _write_effort(self, month: str, table: pa.Table) -> None:
        """Write the effort of a month, the last of its files, and keep the digests of the files that were written."""
        rows = table.to_pylist()
        if self.masking is not None:
            self._levels.mark(month, rows, self.masking.limit_db)
        effort = self._place_file("effort", month)
        write_table(self._folder / effort, "effort", rows)
        paths = [effort]
        if month not in self._known:
            paths += [self._place_file("events", month)]
            if self._request.noise:
                paths += [self._place_file("minutes", month), self._place_levels(month)]
        for path in paths:
            self._months[month].digests[path.as_posix()] = hash_file(self._folder / path)

    def _place_file(self, name: str, month: str) -> Path:
        return name_partition(name, self._site_folder, month)

    def _place_levels(self, month: str) -> Path:
        return Path(LEVELS_FOLDER) / self._site_folder / f"{month}.parquet"


def mask_hours(hours: "pd.DataFrame", request: Request) -> Masking | None:
    """Find the noise above which a site's reference call, of the first class, is not heard; None if it is not known."""
    rows = hours[hours["class"] == request.classes[0]]
    lowest = find_lowest_snr(describe_model(request.classifier))
    if lowest is None or rows["noise_reference"].nunique() != 1:  # levels of two references cannot be compared
        return None
    noise_db = rows["noise_db"].to_numpy(float, na_value=np.nan)
    return mark_masked(noise_db, lowest_snr_db=lowest, call_level_db=request.call_level_db)


def load_analysed(state: State, request: Request, folder: Path) -> Iterator[Analysed]:
    """Yield every recording with its results, in order."""
    for row in state.list_in_order(request.score_key, request.calls_key):
        yield _load(row, request, state, folder)


def _load(row: Mapping[str, Any], request: Request, state: State, folder: Path) -> Analysed:
    about = describe_recording(row, request)
    began = datetime.fromisoformat(row["start"]) if row["start"] else None
    if about["status"] != "analysed":
        return Analysed(about, began, None, (), {}, (), row["gain"])
    try:
        scores = Scores.load(folder / "scores" / f"{row['scores']}.npz")
    except ScoresError as error:
        state.keep_outcome(row["recording"], {"status": None})
        raise ScoresError(f"{error}; run `anemone archive run` again: it scores {row['recording']} again") from None
    events, calls = decide_all_events(scores, request.configs), json.loads(row["calls"] or "{}")
    return Analysed(about, began, scores, events, calls, tuple(json.loads(row["outcome"])["condition"]), row["gain"])


# ---------------------------------------------------------------------- rows


def list_events(one: Analysed, request: Request, labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a recording's events; `labels` has what reviewers said of them, by id."""
    if one.scores is None:
        return
    model = f"{one.scores.model_version} {one.scores.model_sha256[:12]}"
    for event in one.events:
        yield {
            "id": event.id,
            "site": one.row["site"],
            "recording": one.row["recording"],
            **spell_times("start", one.began, one.measure_elapsed(event.start_time)),
            **spell_times("end", one.began, one.measure_elapsed(event.end_time)),
            "start_s": round(event.start_time, 6),
            "end_s": round(event.end_time, 6),
            "class": event.class_name,
            "confidence": event.mean_confidence,
            "max_confidence": event.max_confidence,
            "windows": event.num_windows,
            **describe_calls(one.calls.get(event.id), one.row["calibration_db"]),
            "model": model,
            "config": request.config_sha256[:12],
            "verdict": labels.get(event.id),
        }


def read_labels(folder: Path) -> dict[str, str]:
    """Return the labels that reviewers gave to each event: one, or several with `` / `` between them."""
    path = folder / VERDICTS_NAME
    labels: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for verdict in read_verdicts(path) if path.exists() else ():
        if verdict.kind == "event":
            labels[verdict.event_id].setdefault(fold_label(verdict.label), verdict.label)
    return {name: " / ".join(sorted(some.values())) for name, some in labels.items()}


def list_effort(one: Analysed) -> Iterator[dict[str, Any]]:
    """Yield the intervals of a recording that were analysed or skipped, by start."""
    duration = one.row["duration_s"]
    if one.scores is None:
        reasons = {
            "duplicate": f"it has the same bytes as {one.row['duplicate_of']}, which is counted",
            "failed": one.row["problem"],
            "found": "it is not analysed yet",
        }
        end = duration
        yield _describe_interval(
            one, 0.0 if end is not None else None, end, analysed=False, reason=reasons[one.row["status"]]
        )
        return
    analysed = [
        _describe_interval(one, part["start_s"], part["end_s"], analysed=True, part=part) for part in one.condition
    ]
    skipped = [
        _describe_interval(one, gap.start_time, gap.end_time, analysed=False, reason=gap.reason)
        for gap in one.scores.skipped
    ]
    yield from sorted([*analysed, *skipped], key=lambda row: row["start_s"])


def _describe_interval(
    one: Analysed,
    start: float | None,
    end: float | None,
    *,
    analysed: bool,
    reason: str | None = None,
    part: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    began_at = one.measure_elapsed(start)
    # The end is before a pause that begins there.
    ended_at = None if began_at is None or start is None or end is None else began_at + end - start
    return {
        "site": one.row["site"],
        "recording": one.row["recording"],
        **spell_times("start", one.began, began_at),
        **spell_times("end", one.began, ended_at),
        "start_s": None if start is None else round(start, 6),
        "end_s": None if end is None else round(end, 6),
        "analysed": analysed,
        "reason": reason,
        "gain": one.gain,
        "dead_s": part.get("dead_s") if part else None,
        "clipped": part.get("clipped") if part else None,
    }


def _list_copies(folder: Path, site: str) -> set[str]:
    """Return the recordings that have the same bytes as another: their time counts once."""
    table = read_table(folder, "recordings", columns=["recording", "status"], site=site).to_pandas()
    return set(table.loc[table["status"] == "duplicate", "recording"])


def _drop_others(folder: Path, written: Iterable[str]) -> None:
    """Remove files of tables whose site or month does not exist any more."""
    kept = {folder / path for path in written}
    for root in (*(folder / f"{name}.parquet" for name in PARTITIONED), folder / LEVELS_FOLDER):
        for path in sorted(root.rglob("*.parquet")):
            if path not in kept:
                path.unlink()
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            if path.is_dir() and not any(path.iterdir()):
                shutil.rmtree(path)
