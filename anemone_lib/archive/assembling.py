"""Tables from scores: events, effort, hours and minutes of all recordings, site by site.

*Conventions.* The rows of a recording lie in the file of the month in which it began; an hour in its own month. Where
nothing tells when a recording began, it has events and effort, and no hours. Events are decided anew each time, in
milliseconds a recording; nothing is scored, and the calls inside them were measured before.
"""

import hashlib
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
from anemone_lib.archive.minutes import SiteLevels, choose_call_bands, find_reference, load_noise, tabulate_minutes
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
from anemone_lib.detection.events import Event
from anemone_lib.errors import ScoresError
from anemone_lib.provenance import __version__, code_sha256
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.scores import Scores
from anemone_lib.tables.verdicts import read_verdicts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Analysed:
    """A recording with what was found in it, its row of the table `RECORDINGS`, and the figures of calls by event."""

    row: Mapping[str, Any]
    began: datetime | None
    scores: Scores | None
    events: tuple[Event, ...]
    calls: Mapping[str, Any]
    condition: tuple[Mapping[str, float], ...]
    gain: str | None

    def at(self, seconds: float | None) -> float | None:
        """Seconds after its start at which a time of the recording was, its pauses counted."""
        pauses: Iterable[Pause] = self.scores.pauses if self.scores else ()
        return None if seconds is None else add_pauses(seconds, pauses)


#: Latitude and longitude, in degrees.
Place = tuple[float, float]


def assemble_tables(state: State, request: Request, folder: Path) -> dict[str, Any]:
    """Write all tables and ``archive.json``.

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
    totals: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    written: list[Path] = []
    maskings: dict[str, Masking] = {}
    for site, of_site in groupby(load_analysed(state, request, folder), key=lambda one: one.row["site"]):
        tables = SiteTables(folder, site, folders[site], request)
        for month, of_month in groupby(of_site, key=_name_month):
            tables.write_month(month, of_month, labels)
        written += tables.finish()
        statuses.update(tables.statuses)
        totals.update(tables.totals)
        if tables.masking is not None:
            maskings[site] = tables.masking
    _drop_others(folder, written)
    provenance = describe_archive(request, folder, statuses, totals, sorted(written), maskings)
    write_provenance(folder, provenance)
    return provenance


class SiteTables:
    """The tables of one site, written month by month; its hours last, for which all of it is known.

    Parameters
    ----------
    folder : pathlib.Path, the archive's
    site, site_folder : str
    request : Request

    Attributes
    ----------
    statuses, totals : Counter, of recordings, events and seconds
    masking : Masking or None, from which noise on the reference call is not heard
    """

    def __init__(self, folder: Path, site: str, site_folder: str, request: Request) -> None:
        self._folder, self._site, self._site_folder, self._request = folder, site, site_folder, request
        self._bands = choose_call_bands(request)
        self._effort: dict[str, pa.Table] = {}
        self._levels = SiteLevels(request.classes)
        self._place: Place | None = None
        self._written: list[Path] = []
        self.statuses: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.masking: Masking | None = None

    def write_month(self, month: str, recordings: Iterable[Analysed], labels: Mapping[str, str]) -> None:
        """Write the events and the minutes of a month, and keep its effort."""
        events, effort = [], []
        with ExitStack() as stack:
            add_minutes = None
            if self._request.noise:
                add_minutes = stack.enter_context(open_table(self._place_file("minutes", month), "minutes"))
            for one in recordings:
                self.statuses[one.row["status"]] += 1
                events += list(list_events(one, self._request, labels))
                effort += list(list_effort(one))
                if one.row["latitude"] is not None:
                    self._place = self._place or (one.row["latitude"], one.row["longitude"])
                if add_minutes is not None and one.scores is not None:
                    self._add_minutes(one, add_minutes)
        self.totals["events"] += len(events)
        for row in effort:
            if row["start_s"] is not None:
                self.totals["effort_s" if row["analysed"] else "skipped_s"] += row["end_s"] - row["start_s"]
        write_table(self._place_file("events", month), "events", events)
        self._effort[month] = pa.Table.from_pylist(effort, EFFORT)

    def _add_minutes(self, one: Analysed, add: Callable[[pa.Table], None]) -> None:
        noise = load_noise(self._folder, one.row["sha256"], self._request)
        if noise is None:
            return
        levels = noise.add_up(list(self._bands.values())) + find_reference(one.row["calibration_db"])[0]
        table = tabulate_minutes(one, noise, levels[:, 0])
        add(table)
        self._levels.add(table, levels)

    def finish(self) -> list[Path]:
        """Write the hours and the effort; return the paths of all files of the site, in the archive's folder."""
        _drop_others(self._folder, self._written, self._site_folder)  # months that are no more
        events = read_table(self._folder, "events", site=self._site).to_pandas()
        effort = pa.concat_tables(self._effort.values()).to_pandas()
        effort = effort[~effort["recording"].isin(_list_copies(self._folder, self._site))]
        places = {} if self._place is None else {self._site: self._place}
        noise = self._levels.to_frame(self._site)
        hours = count_hours(events, effort, classes=self._request.classes, noise=noise, places=places)
        for month, rows in hours.groupby(hours["hour_local"].dt.strftime("%Y-%m"), sort=True):
            rows = pa.Table.from_pandas(rows, HOURS, preserve_index=False).to_pylist()
            write_table(self._place_file("hours", str(month)), "hours", rows)
        self.masking = mask_hours(hours, self._request)
        for month, table in self._effort.items():
            rows = table.to_pylist()
            if self.masking is not None:
                self._levels.mark(rows, self.masking.limit_db)
            write_table(self._place_file("effort", month), "effort", rows)
        return self._written

    def _place_file(self, name: str, month: str) -> Path:
        self._written.append(name_partition(name, self._site_folder, month))
        return self._folder / self._written[-1]


def mask_hours(hours: "pd.DataFrame", request: Request) -> Masking | None:
    """Find the noise from which on a site's reference call, that of the first class, is not heard; None: not known."""
    rows = hours[hours["class"] == request.classes[0]]
    lowest = find_lowest_snr(describe_model(request.classifier))
    if lowest is None or rows["noise_reference"].nunique() != 1:  # levels of two references cannot be compared
        return None
    noise_db = rows["noise_db"].to_numpy(float, na_value=np.nan)
    return mark_masked(noise_db, lowest_snr_db=lowest, call_level_db=request.call_level_db)


def _name_month(one: Analysed) -> str:
    return f"{one.began:%Y-%m}" if one.began else UNDATED


def load_analysed(state: State, request: Request, folder: Path) -> Iterator[Analysed]:
    """Yield every recording with what was found in it, in order."""
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
        raise ScoresError(f"{error}; run `anemone archive run` again: it scores {row['recording']} anew") from None
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
            **spell_times("start", one.began, one.at(event.start_time)),
            **spell_times("end", one.began, one.at(event.end_time)),
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
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for verdict in read_verdicts(path) if path.exists() else ():
        if verdict.kind == "event":
            labels[verdict.event_id].add(verdict.label)
    return {name: " / ".join(sorted(some)) for name, some in labels.items()}


def list_effort(one: Analysed) -> Iterator[dict[str, Any]]:
    """Yield the analysed and the left-out intervals of a recording, by start."""
    duration = one.row["duration_s"]
    if one.scores is None:
        reasons = {
            "duplicate": f"it has the same bytes as {one.row['duplicate_of']}, which counts",
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
    began_at = one.at(start)
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
    """Recordings that have the bytes of another: their time counts once."""
    table = read_table(folder, "recordings", columns=["recording", "status"], site=site).to_pandas()
    return set(table.loc[table["status"] == "duplicate", "recording"])


# ---------------------------------------------------------------------- provenance


def describe_archive(
    request: Request,
    folder: Path,
    statuses: Mapping[str, int],
    totals: Mapping[str, float],
    written: Iterable[Path],
    maskings: Mapping[str, Masking],
) -> dict[str, Any]:
    """Return the content of ``archive.json``; see `anemone_lib.archive.tables.Archive`."""
    paths, bands = [Path("recordings.parquet"), *written], choose_call_bands(request)
    digests = {}
    for path in paths:
        with (folder / path).open("rb") as file:
            digests[path.as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "anemone": __version__,
        "code_sha256": code_sha256(),
        "sources": list(request.sources),
        "model": describe_model(request.classifier),
        "classes": list(request.classes),
        "config": request.config.model_dump(),
        "event_settings": {config.target_class: _pick_event_settings(config) for config in request.configs},
        "config_fingerprint": request.config_sha256,
        "scores_fingerprint": request.config.scores_fingerprint,
        "channel": request.channel,
        "timezone": request.timezone,
        "start_time_format": request.start_time_format,
        "site": request.site,
        "noise": {"measured": request.noise, "calls_hz": {name: list(band) for name, band in bands.items()}},
        "masking": {site: describe_limits(masking) for site, masking in sorted(maskings.items())},
        "recordings": {"listed": sum(statuses.values()), **dict(sorted(statuses.items()))},
        "effort_s": round(totals["effort_s"], 3),
        "skipped_s": round(totals["skipped_s"], 3),
        "events": totals["events"],
        "tables": digests,
    }


def describe_model(classifier: Classifier) -> dict[str, Any]:
    """Return what made the scores, and what its card says of calls in noise, which the report needs."""
    about: dict[str, Any] = {"version": classifier.version, "sha256": classifier.sha256}
    if classifier.card:
        about |= {"summary": classifier.card.summary, "by_snr_db": classifier.card.metrics.get("by_snr_db")}
    return about


def describe_limits(masking: Masking) -> dict[str, Any]:
    """Return the levels, in dB, that decide whether the reference call could have been heard."""
    levels = {name: round(getattr(masking, name), 2) for name in ("call_level_db", "lowest_snr_db", "limit_db")}
    return {**levels, "assumed": masking.assumed}


def _pick_event_settings(config: Any) -> dict[str, Any]:
    from anemone_lib.config import EVENT_FIELDS

    return {name: getattr(config, name) for name in EVENT_FIELDS if name != "target_class"}


def _drop_others(folder: Path, written: Iterable[Path], site_folder: str = "") -> None:
    """Remove files of tables, or of one site's events, that belong to sites or months that are no more."""
    kept = {folder / path for path in written}
    for name in ("events",) if site_folder else PARTITIONED:
        root = folder / f"{name}.parquet" / site_folder
        for path in sorted(root.rglob("*.parquet")):
            if path not in kept:
                path.unlink()
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            if path.is_dir() and not any(path.iterdir()):
                shutil.rmtree(path)
