"""The report of a season, with its cautions: one page, ``report.html``, a single file.

`write_report` is where to start. The page is made from the tables; recordings are opened only for the pictures and
sounds of some events. The same tables give the same page.
"""

import math
import os
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anemone_lib.archive import page, report_text
from anemone_lib.archive.masking import Masking, find_lowest_snr, mark_masked
from anemone_lib.archive.report_gallery import pick_events, show_events
from anemone_lib.archive.report_sound import show_noise, show_soundscape
from anemone_lib.archive.season import (
    Rates,
    SiteDays,
    arrange_days,
    compare_sites,
    measure_diel,
    measure_rate,
    measure_season,
)
from anemone_lib.archive.sky import find_sun_times, measure_moon_phase
from anemone_lib.archive.tables import Archive
from anemone_lib.audio.recording import open_recording
from anemone_lib.errors import spell_count, spell_duration
from anemone_lib.evaluation.rates import format_interval, format_rate
from anemone_lib.files import write_text
from anemone_lib.plots.archive import plot_sites
from anemone_lib.plots.axes import use_all_letters
from anemone_lib.plots.season import plot_diel, plot_hours, plot_season

if TYPE_CHECKING:
    import pandas as pd

#: Events in each part of the gallery.
GALLERY_EVENTS = 8


RATE_LABEL = "Events an hour of effort"


@dataclass(frozen=True, eq=False)
class Season:
    """The data of the page.

    Attributes
    ----------
    archive : Archive
    call_level_db : float or None, level of the reference call
    """

    archive: Archive
    call_level_db: float | None = None

    @cached_property
    def events(self) -> "pd.DataFrame":
        return self.archive.events

    @cached_property
    def hours(self) -> "pd.DataFrame":
        return self.archive.hours

    @cached_property
    def sites(self) -> list[str]:
        return sorted(self.hours["site"].unique())

    @cached_property
    def classes(self) -> list[str]:
        return sorted(self.hours["class"].unique())

    @cached_property
    def places(self) -> dict[str, tuple[float, float]]:
        """Latitude and longitude of the sites whose place the manifest names."""
        rows = self.archive.recordings.dropna(subset=["latitude", "longitude"])
        return {
            str(site): (float(some["latitude"].iloc[0]), float(some["longitude"].iloc[0]))
            for site, some in rows.groupby("site")
        }

    def find_sun(self, days: SiteDays) -> tuple[np.ndarray, np.ndarray] | None:
        """Return sunrise and sunset of each day by the recorder's clock; None where the place is not known."""
        if days.site not in self.places:
            return None
        rows = self.hours[self.hours["site"] == days.site]
        local = rows["hour_local"].to_numpy("datetime64[ms]")
        offset = (local - rows["hour_utc"].dt.tz_localize(None).to_numpy("datetime64[ms]")) / np.timedelta64(1, "h")
        day = (local.astype("datetime64[D]") - days.dates[0]).astype(int)
        of_day = np.full(len(days.dates), np.nan)
        of_day[day] = offset
        known = np.flatnonzero(np.isfinite(of_day))
        # A day without a recording has the clock of the last one before it.
        of_day = of_day[known[np.maximum(np.searchsorted(known, np.arange(len(of_day)), side="right") - 1, 0)]]
        rises, sets = np.full(len(of_day), np.nan), np.full(len(of_day), np.nan)
        for hours in np.unique(of_day):
            here = of_day == hours
            found = find_sun_times(days.dates[here].tolist(), *self.places[days.site], offset_hours=float(hours))
            rises[here], sets[here] = found
        return rises, sets

    @property
    def model(self) -> dict[str, Any]:
        """The model, as ``archive.json`` describes it."""
        return dict(self.archive.provenance.get("model", {}))

    def find_masked(self, days: SiteDays) -> Masking | None:
        """Return the hours that were too loud; None where noise was not measured, or the card does not tell."""
        lowest = find_lowest_snr(self.model)
        of_site = self.hours[self.hours["site"] == days.site]
        if lowest is None or of_site["noise_reference"].nunique() > 1:  # levels that cannot be compared
            return None
        known = self.archive.provenance.get("masking", {}).get(days.site, {})
        stated = None if known.get("assumed", True) else known["call_level_db"]
        level = stated if self.call_level_db is None else self.call_level_db
        return mark_masked(days.noise_db, lowest_snr_db=lowest, call_level_db=level)


@use_all_letters()
def write_report(
    archive: Archive,
    path: str | os.PathLike[str] | None = None,
    *,
    call_level_db: float | None = None,
    gallery: int = GALLERY_EVENTS,
) -> Path:
    """Write the page of a season.

    Parameters
    ----------
    archive : Archive, as `open_archive` opens it
    path : path, optional
        By default ``report.html`` in the archive's folder.
    call_level_db : float, optional
        Level of a call where the recorder is, in the reference of the noise; by default that of the tables.
    gallery : int >= 0
        Events in each part of the gallery; 0 leaves it out.

    Returns
    -------
    path : pathlib.Path

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.archive.tables import open_archive, write_provenance
    >>> folder = Path(mkdtemp())
    >>> _ = write_provenance(folder, {"events": 0})
    >>> write_report(open_archive(folder)).name
    'report.html'
    """
    season = Season(archive, call_level_db)
    sections = [("In short", _summarise(season))]
    for class_name in season.classes:
        of_class = "" if len(season.classes) == 1 else f": {class_name}"
        days = [arrange_days(season.hours, site, class_name) for site in season.sites]
        sections.append((f"When they call{of_class}", "".join(_show_site(season, one) for one in days)))
        if len(days) > 1:
            sections.append((f"Sites compared{of_class}", _compare(days)))
        sections.append((f"How many are calls{of_class}", report_text.describe_precision(archive, class_name)))
    if season.classes:
        sections.append(("Could calls have been heard?", show_noise(season)))
        sections.append(("The sound around the calls", show_soundscape(season)))
    if gallery and len(season.events):
        sections.append(("Listen", _show_gallery(season, gallery)))
    sections += [
        ("Effort", report_text.describe_effort(archive)),
        ("Problems", report_text.describe_problems(archive)),
        ("How to cite", report_text.describe_citation(archive.provenance)),
        ("For the record", report_text.describe_provenance(archive.provenance)),
    ]
    footer = "Made by Anemone from the tables in the same folder. The page loads nothing from elsewhere."
    html = page.make_page("Report of a season", _describe_span(season), sections, footer)
    target = Path(path) if path is not None else archive.folder / "report.html"
    return write_text(target, html)


# ---------------------------------------------------------------------- the start


def _describe_span(season: Season) -> str:
    if not len(season.hours):
        return "No hour of effort with a time of day."
    first, last = season.hours["hour_local"].min(), season.hours["hour_local"].max()
    names = ", ".join(season.sites[:6]) + (" …" if len(season.sites) > 6 else "")
    return f"{names}: {first:%d %B %Y} to {last:%d %B %Y}, events of {' and '.join(season.classes)}"


def _summarise(season: Season) -> str:
    once = season.hours.drop_duplicates(["site", "hour_utc", "hour_local"])
    counts = season.archive.recordings["status"].value_counts()
    shown = [
        (f"{len(season.events):,}", "events"),
        (spell_duration(once["effort_s"].sum()), "of effort with a time of day"),
        (f"{int(counts.get('analysed', 0)):,}", "recordings analysed"),
        (f"{len(season.sites):,}", "sites"),
    ]
    return page.make_numbers(shown) + page.make_list(report_text.list_cautions(season.archive, season.places))


# ---------------------------------------------------------------------- sites


def _show_site(season: Season, days: SiteDays) -> str:
    sun, masking = season.find_sun(days), season.find_masked(days)
    rise, sets = sun if sun else (None, None)
    diel = measure_diel(days)
    moon = measure_moon_phase(days.dates.astype("datetime64[ms]") + np.timedelta64(12, "h"))[1]
    total = measure_rate(days)
    hatched = masking.masked if masking else None
    heat = plot_hours(days.rates, days.dates, label=RATE_LABEL, masked=hatched, sunrise=rise, sunset=sets, moon=moon)
    dawn, dusk = _average_sun(*sun) if sun else (None, None)
    curve = plot_diel(diel.rate, diel.low, diel.high, sunrise=dawn, sunset=dusk)
    week = measure_season(days)
    effort = days.effort_h.sum(axis=1)
    daily = np.divide(days.events.sum(axis=1), effort, out=np.full(len(effort), np.nan), where=effort > 0)
    course = plot_season(days.dates, week.rate, week.low, week.high, daily=daily, effort_h=effort, moon=moon)
    span = f"{days.dates[0]} to {days.dates[-1]}"
    return (
        page.make_heading(days.site)
        + page.make_paragraph(
            f"{int(total.events[0]):,} events in {spell_duration(3600 * total.effort_h[0])} of effort on "
            f"{spell_count(int(total.n_days[0]), 'day')}: {_spell_rate(total)} an hour; "
            f"{_spell_peak(diel)}."
        )
        + page.make_figure(
            heat.figure,
            alt=f"Heat map of events an hour at {days.site}, day by hour of the day, {span}; {_spell_peak(diel)}",
            caption=_caption_hours(sun is not None, masking),
        )
        + page.make_figure(
            curve.figure,
            alt=f"Events an hour of effort over the hours of the day at {days.site}; {_spell_peak(diel)}",
            caption="Over the day: events of all days divided by the effort of all days. The bars are 95 % intervals "
            "from drawing the days again, in blocks of days that follow each other.",
            wide=False,
        )
        + page.make_figure(
            course.figure,
            alt=f"Events an hour of effort over the season at {days.site}, {span}; {_spell_rate(total)} on the whole",
            caption="Over the season: each dot is a day, the line the mean of the seven days around it, with its 95 % "
            "interval. Days on which only some hours were recorded show the rate of these hours.",
        )
    )


def _average_sun(rise: np.ndarray, sets: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """The middle of the sunrises and of the sunsets, also where they lie around midnight of the clock."""
    angles = [np.exp(2j * np.pi * times[np.isfinite(times)] / 24) for times in (rise, sets)]
    if not all(len(one) for one in angles):
        return None, None
    middle = [float(np.angle(one.mean()) / (2 * np.pi) * 24 % 24) for one in angles]
    return middle[0], middle[1]


def _caption_hours(has_sun: bool, masking: Masking | None) -> str:
    text = (
        "Each cell is an hour of the recorder's clock. Grey: nothing was recorded, which is not the same as no event. "
        "Above: the part of the moon that is lit."
    )
    if not has_sun:
        text += " The manifest does not say where the site is, so sunrise and sunset are left out."
    if masking is None:
        return text + " Nothing is hatched, since it is not known which hours were too loud."
    hatched = int(masking.masked.sum())
    return text + (
        f" Hatched: {spell_count(hatched, 'hour')} of {int(masking.known.sum()):,} in which the reference call could "
        "not have been heard (see “Could calls have been heard?”)."
    )


def _spell_rate(rates: Rates, at: int = 0) -> str:
    if not math.isfinite(rates.rate[at]):
        return "unknown"
    if not math.isfinite(rates.low[at]):
        return f"{format_rate(rates.rate[at])} (too few days for an interval)"
    return f"{format_rate(rates.rate[at])} (95 % interval {format_interval(rates.low[at], rates.high[at])})"


def _spell_peak(diel: Rates) -> str:
    if not np.isfinite(diel.rate).any() or np.nanmax(diel.rate) == 0:
        return "no event in any hour"
    hour = int(np.nanargmax(diel.rate))
    return f"most from {hour:02d}:00 to {(hour + 1) % 24:02d}:00, {_spell_rate(diel, hour)}"


def _compare(days: list[SiteDays]) -> str:
    totals = [measure_rate(one) for one in days]
    rate, low, high = (np.array([getattr(one, name)[0] for one in totals]) for name in ("rate", "low", "high"))
    names = [one.site for one in days]
    rows = []
    for first in range(len(days)):
        for second in range(first + 1, len(days)):
            one = compare_sites(days[first], days[second])
            interval = "unknown" if math.isnan(one.low) else format_interval(one.low, one.high, ".2f")
            pair = f"{one.first} / {one.second}"
            rows.append([pair, format_rate(one.ratio, ".2f"), interval, f"{one.shared_h:,.1f}", f"{one.n_days:,}"])
    summary = "; ".join(f"{name} {_spell_rate(one)}" for name, one in zip(names, totals, strict=True))
    return (
        page.make_figure(
            plot_sites(names, rate, low, high).figure,
            alt=f"Events an hour of effort by site: {summary}",
            caption="All hours of each site. Where recorders had different timetables, this compares the timetables, "
            "too; the table does not.",
            wide=False,
        )
        + page.make_paragraph(
            "How many times more events one site has than the other, in the hours in which both were recorded. An "
            "interval that contains 1 is no difference that these days can show. A more sensitive recorder, or a "
            "quieter place, finds more of the same calls."
        )
        + page.make_table(
            "Ratios of the sites' rates",
            ["sites", "ratio", "95 % interval", "shared hours", "days"],
            rows,
            right=[1, 2, 3, 4],
        )
    )


def _show_gallery(season: Season, n: int) -> str:
    sources = dict(season.archive.recordings[["recording", "source"]].itertuples(index=False))
    open_with = partial(open_recording, channel=season.archive.channel)
    config = season.archive.provenance.get("config", {})
    settings = {name: config[name] for name in ("n_fft", "hop_length", "fmax_hz") if name in config}
    parts = [
        page.make_paragraph(
            "Dashed: where an event begins and ends. Every sound is played as loud as it can be, so loudness cannot be "
            "compared. Calls lie below 1 kHz, where small loudspeakers are faint: use headphones."
        )
    ]
    for name, rows in pick_events(season.events, n).items():
        if len(rows):
            parts += [page.make_heading(name), show_events(rows, sources, settings=settings, open_with=open_with)]
    return "".join(parts)
