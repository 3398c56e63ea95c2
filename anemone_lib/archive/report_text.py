"""Sections of the page of a season, in words and tables: cautions, noise, precision, effort, problems, provenance."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from anemone_lib.archive import page
from anemone_lib.archive.hours import count_undated
from anemone_lib.archive.masking import QUIET_SNR_DB, Masking, find_lowest_snr
from anemone_lib.archive.tables import VERDICTS_NAME, Archive
from anemone_lib.detection.events import fold_label
from anemone_lib.errors import ConfigError, spell_count, spell_duration
from anemone_lib.plots.archive import plot_precision_curve, plot_timeline
from anemone_lib.provenance import __version__
from anemone_lib.review.density import estimate_call_density
from anemone_lib.review.precision import calibrate_precision, choose_edges, count_by_bin, measure_precision
from anemone_lib.tables.verdicts import check_label, read_verdicts

if TYPE_CHECKING:
    import pandas as pd

#: Rows of a table on the page; further rows are counted, and are in the tables of the archive.
MAX_ROWS = 100


#: Recordings that are named for each problem.
SHOWN_NAMES = 3


#: Sites with less effort than a day are named.
LITTLE_EFFORT_H = 24


#: The precision for which a threshold is named.
TARGET_PRECISION = 0.9


def list_cautions(archive: Archive, places: Mapping[str, tuple[float, float]]) -> list[str]:
    """List what a reader must know to judge the figures."""
    hours = archive.hours
    found = [
        "An event is a sound that the model took for a call; no person has confirmed it. Rates are events divided by "
        "the hours that were analysed."
    ]
    if summary := archive.provenance.get("model", {}).get("summary"):
        found.append(f"About the model: {summary}")
    recordings, events, seconds = count_undated(archive.events, archive.effort)
    if recordings:
        found.append(
            f"{spell_count(recordings, 'recording')} ({spell_duration(seconds)}, {spell_count(events, 'event')}) "
            "without a start time: they are counted here, but are in no figure over time."
        )
    without = sorted(set(hours["site"].unique()) - set(places))
    if without:
        found.append(
            f"The manifest does not say where {', '.join(without)} lies (latitude, longitude): there, sunrise and "
            "sunset are not drawn."
        )
    effort = hours.drop_duplicates(["site", "hour_utc", "hour_local"]).groupby("site")["effort_s"].sum() / 3600
    if few := [str(site) for site, one in effort.items() if one < LITTLE_EFFORT_H]:
        found.append(
            f"Less than {LITTLE_EFFORT_H} hours of effort at {', '.join(few)}: a rate from a few seconds of an hour "
            "says little."
        )
    utc = hours["hour_utc"].dt.tz_localize(None)
    shift = (hours["hour_local"] - utc).dt.total_seconds() / 3600
    for site, offsets in shift.groupby(hours["site"]):
        if offsets.max() - offsets.min() > 1:
            found.append(
                f"{site} has recorders on clocks {offsets.min():+g} h to {offsets.max():+g} h from UTC: their hours of "
                "the day are not the same hours. Give one time zone in the manifest."
            )
    if len(hours) and hours["noise_db"].isna().all():
        found.append("The noise was not measured, so it is not known in which hours calls could not have been heard.")
    elif (hours["noise_reference"] == "full scale").any():
        found.append("Levels are in dB re full scale where the recorder has no calibration in the manifest.")
    return found


# ---------------------------------------------------------------------- noise


def describe_reference(model: Mapping[str, Any]) -> str:
    """Explain how the page decides whether calls could have been heard."""
    lowest = find_lowest_snr(model)
    start = "If an hour has no events, there were no calls only if calls could have been heard. "
    if lowest is None:
        return start + (
            "The card of the model does not say how many calls it finds at which signal-to-noise ratio, so no hour is "
            "hatched."
        )
    return start + (
        f"The model card says that the model finds half of the calls from {lowest:+.1f} dB on (level of the call over "
        "the noise in the band of the call, as its training measured it). Fainter calls, and calls from further away, "
        "are missed at less noise."
    )


def describe_masking(masking: Masking) -> str:
    """Say which call is the reference call, and above which noise it is not heard."""
    known = (
        f" The reference call is assumed to have {masking.call_level_db:.1f} dB here, {QUIET_SNR_DB:g} dB above the "
        "quietest tenth of the hours; this level was not measured"
        if masking.assumed
        else f" The reference call has {masking.call_level_db:.1f} dB"
    )
    return f"{known}. It cannot be heard if the noise is above {masking.limit_db:.1f} dB."


# ---------------------------------------------------------------------- precision


def take_verdicts(archive: Archive, class_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence of every reviewed event of a class, and whether it is a call.

    Verdicts are those of ``verdicts.csv`` in the archive's folder and of the table of events, which has them from the
    time when the tables were written. An event on which reviewers do not agree is left out.
    """
    events = archive.events
    events = events[events["class"] == class_name]
    said = dict(events.loc[events["verdict"].notna(), ["id", "verdict"]].itertuples(index=False))
    path = archive.folder / VERDICTS_NAME
    if path.exists():
        labels: dict[str, set[str]] = {}
        of_class = {*events["id"]}
        for one in read_verdicts(path):
            if one.event_id in of_class:
                labels.setdefault(one.event_id, set()).add(fold_label(check_label(one, class_name, path.name).label))
        said |= {name: some.pop() for name, some in labels.items() if len(some) == 1}
    # Several labels, of reviewers who do not agree, are written with a stroke between them.
    said = {name: fold_label(label) == fold_label(class_name) for name, label in said.items() if " / " not in label}
    reviewed = events[events["id"].isin(said)]
    return reviewed["max_confidence"].to_numpy(float), np.array([said[key] for key in reviewed["id"]], bool)


def describe_precision(archive: Archive, class_name: str) -> str:
    """Say how many of the events are calls, where a sample of them was reviewed."""
    events = archive.events
    all_confidences = events.loc[events["class"] == class_name, "max_confidence"].to_numpy(float)
    confidences, calls = take_verdicts(archive, class_name)
    if not len(confidences):
        return page.make_paragraph(
            "No event was reviewed, so it is not known how many of them are calls. `anemone archive sample` draws "
            "some; with verdicts on them, this page estimates it."
        )
    said = page.make_paragraph(
        f"{spell_count(len(confidences), 'event')} of {len(all_confidences):,} reviewed; a person heard a call in "
        f"{int(calls.sum()):,}. The following is valid if events were drawn by their confidence or at random, not "
        "picked by a person."
    )
    try:
        curve = calibrate_precision(confidences, calls)
    except ConfigError as error:
        return said + page.make_paragraph(f"Nothing more is known: {error}.")
    edges = choose_edges(all_confidences)
    bins = measure_precision(confidences, calls, edges)
    try:
        density = estimate_call_density(
            [one.n_calls for one in bins], [one.n for one in bins], count_by_bin(all_confidences, edges)
        )
        low, high = density.n_calls_interval
        said += page.make_paragraph(
            f"Of all events, {density.density:.0%} are calls (95 % credible interval {density.low:.0%} to "
            f"{density.high:.0%}): {density.n_calls:,.0f} calls ({low:,.0f} to {high:,.0f}). Calls that the detector "
            "missed are not among them."
        )
    except ConfigError as error:
        said += page.make_paragraph(f"How many calls there are in all cannot be estimated: {error}.")
    try:
        threshold: float | None = curve.find_threshold(TARGET_PRECISION)
        said += page.make_paragraph(
            f"At a confidence of {threshold:.2f} or more, at least {TARGET_PRECISION:.0%} of the events are calls."
        )
    except ConfigError as error:
        threshold = None
        said += page.make_paragraph(f"No threshold for a precision of {TARGET_PRECISION:.0%}: {error}.")
    grid = np.linspace(curve.lowest, curve.highest, 100)
    precision, below, above = curve.predict(grid)
    drawn = plot_precision_curve(grid, precision, below, above, threshold=threshold, target_precision=TARGET_PRECISION)
    alt = (
        f"Part of the events that are calls by confidence: {precision[0]:.0%} at {grid[0]:.2f}, {precision[-1]:.0%} at "
    )
    rows = [
        [f"{one.lowest:.2f} to {one.highest:.2f}", f"{one.n:,}", f"{one.n_calls:,}", _spell_bin(one)] for one in bins
    ]
    return (
        said
        + page.make_figure(
            drawn.figure, alt=f"{alt}{grid[-1]:.2f}", caption="The curve is fitted to the verdicts.", wide=False
        )
        + page.make_table("Verdicts by confidence", ["confidence", "reviewed", "calls", "part"], rows, right=[1, 2, 3])
    )


def _spell_bin(one: Any) -> str:
    low, high = one.interval
    return f"{one.precision:.0%} ({low:.0%} to {high:.0%})" if one.n else "–"


# ---------------------------------------------------------------------- effort and problems


def describe_effort(archive: Archive) -> str:
    """Show when each site was recorded, and how much of it was analysed."""
    import pandas as pd

    effort, events = archive.effort, archive.events
    if not len(effort):
        return page.make_paragraph("Nothing was recorded.")
    heard = effort["analysed"].astype(bool)
    dated = effort["start_utc"].notna()
    spans: list[dict[str, tuple[np.ndarray, np.ndarray]]] = [{}, {}]
    rows = []
    for site, some in effort.groupby("site", sort=True):
        seconds = some["end_s"] - some["start_s"]
        is_heard = heard[some.index]
        for span, chosen in zip(spans, (is_heard, ~is_heard), strict=True):
            kept = some[chosen & dated[some.index]]
            edges = (kept[edge].to_numpy("datetime64[ms]") for edge in ("start_local", "end_local"))
            span[str(site)] = tuple(edges)
        rows.append(
            [
                str(site),
                f"{some['recording'].nunique():,}",
                f"{seconds[is_heard].sum() / 3600:,.2f}",
                f"{seconds[~is_heard].sum() / 3600:,.2f}",
                f"{int((events['site'] == site).sum()):,}",
                f"{some['start_local'].min():%Y-%m-%d}" if dated[some.index].any() else "no clock",
                f"{some['end_local'].max() - pd.Timedelta(1, 'ms'):%Y-%m-%d}"
                if dated[some.index].any()
                else "no clock",
            ]
        )
    summary = "; ".join(f"{row[0]}: {row[2]} hours from {row[5]} to {row[6]}" for row in rows)
    columns = ["site", "recordings", "hours analysed", "hours skipped", "events", "from", "to"]
    timeline = ""
    if dated.any():
        timeline = page.make_figure(
            plot_timeline(spans[0], skipped=spans[1]).figure,
            alt=f"When each site was recorded. {summary}",
            caption="Times are by the recorders' own clocks. Recordings without a start time are not drawn.",
        )
    return timeline + page.make_table("Effort by site", columns, rows, right=[1, 2, 3, 4])


def describe_problems(archive: Archive) -> str:
    """List what could not be analysed and why, duplicates, overlaps and odd files."""
    recordings, effort = archive.recordings, archive.effort
    parts = []
    skipped = effort[~effort["analysed"].astype(bool)] if len(effort) else effort
    if len(skipped):
        seconds = (skipped["end_s"] - skipped["start_s"]).fillna(0.0)
        by_reason = skipped.assign(seconds=seconds).groupby(skipped["reason"].fillna("no reason is known"))
        rows = [
            [str(reason), f"{some['recording'].nunique():,}", f"{some['seconds'].sum():,.1f}"]
            for reason, some in by_reason
        ]
        parts += [page.make_heading("Not analysed, by reason")]
        parts += [_cut_table("Skipped, by reason", ["reason", "recordings", "seconds"], rows, "effort", right=[1, 2])]
    overlaps = recordings[recordings["overlap_s"].fillna(0) > 0]
    odd = recordings[recordings["problem"].notna() | recordings["notes"].notna() | recordings["duplicate_of"].notna()]
    if len(odd):
        columns = ["what", "status", "number", "recordings"]
        rows = _group_by_what(odd)
        parts += [page.make_heading("Recordings"), _cut_table("Odd recordings", columns, rows, "recordings", right=[2])]
    if len(overlaps):
        parts.append(
            page.make_paragraph(
                f"{spell_count(len(overlaps), 'recording')} overlap with the recording before at the same site, by "
                f"{overlaps['overlap_s'].sum():,.1f} s in all: that time counts twice, in effort and in events."
            )
        )
    return "".join(parts) or page.make_paragraph("None: all recordings were analysed to their end.")


def _group_by_what(odd: "pd.DataFrame") -> list[list[str]]:
    """Return what is odd, in how many recordings, and the names of some; failures are first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in odd[["recording", "status", "problem", "notes", "duplicate_of"]].itertuples(index=False):
        name = str(row.recording)
        texts = [text.replace(f"{name} ", "", 1) for text in (row.problem, row.notes) if isinstance(text, str) and text]
        if isinstance(row.duplicate_of, str):
            texts.append(f"the same bytes as {row.duplicate_of}")
        groups.setdefault((str(row.status), "; ".join(texts)), []).append(name)
    ordered = sorted(groups.items(), key=lambda group: (group[0][0] != "failed", -len(group[1]), group[0][1]))
    return [
        [what, status, f"{len(names):,}", ", ".join(names[:SHOWN_NAMES]) + ", …" * (len(names) > SHOWN_NAMES)]
        for (status, what), names in ordered
    ]


def _cut_table(caption: str, columns: list[str], rows: list[list[str]], name: str, right: Sequence[int] = ()) -> str:
    more = len(rows) - MAX_ROWS
    note = page.make_paragraph(f"… and {more:,} more, in {name}.parquet.", soft=True) if more > 0 else ""
    return page.make_table(caption, columns, rows[:MAX_ROWS], right=right) + note


# ---------------------------------------------------------------------- where it comes from


def describe_citation(provenance: Mapping[str, Any]) -> str:
    """Say how to cite the program, the model, and the methods."""
    model = provenance.get("model", {})
    return page.make_paragraph(
        f"The Anemone developers. Anemone: a research-to-deploy workbench for anemonefish calls. Version "
        f"{provenance.get('anemone', __version__)}. Model {model.get('version', 'unknown')}, SHA-256 "
        f"{model.get('sha256', 'unknown')}."
    ) + page.make_list(
        [
            "Intervals: Politis & Romano 1992 (block bootstrap), Hesterberg 2015 (few blocks), Garwood 1936 (counts).",
            "Call density: Navine et al. 2024, arXiv 2402.15360. Logistic precision: Wood & Kahl 2024.",
            "Levels: Miksis-Olds et al. 2021 (MANTA), Martin et al. 2021 (hybrid millidecades).",
            "Cite the recordings, their owners and their permits, too: this page does not name them.",
        ]
    )


def describe_provenance(provenance: Mapping[str, Any]) -> str:
    """List what the tables were made with: versions, settings, every SHA-256."""
    rows = list(_flatten("", provenance))
    return page.make_paragraph(
        "With the same recordings, these hashes and these settings, the tables are the same, byte for byte. All of "
        "this is in archive.json; the SHA-256 of each recording is in recordings.parquet."
    ) + page.make_table("Provenance", ["what", "value"], rows)


def _flatten(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in ("by_snr_db", "summary"):  # long, and said above
                continue
            yield from _flatten(f"{name} › {key}" if name else str(key), inner)
    elif isinstance(value, list | tuple):
        yield [name, ", ".join(map(str, value))]
    else:
        yield [name, "none" if value is None else str(value)]
