"""The sound on the page of a season: whether calls could have been heard, and what else the recordings contain."""

from typing import TYPE_CHECKING

import numpy as np

from anemone_lib.archive import page, report_text
from anemone_lib.archive.season import arrange_days
from anemone_lib.archive.soundscape import BANDS, Soundscape, measure_soundscape
from anemone_lib.errors import ConfigError, spell_duration
from anemone_lib.plots.archive import plot_bands, plot_long_term_spectrum, plot_third_octaves
from anemone_lib.plots.season import plot_hours

if TYPE_CHECKING:
    from anemone_lib.archive.report import Season


def show_noise(season: "Season") -> str:
    """Show the noise of every hour in the band of the calls, and the hours in which no call could have been heard."""
    parts = [page.make_paragraph(report_text.describe_reference(season.model))]
    for site in season.sites:
        days = arrange_days(season.hours, site, season.classes[0])
        masking = season.find_masked(days)
        if not np.isfinite(days.noise_db).any():
            parts.append(page.make_paragraph(f"{site}: the noise was not measured."))
            continue
        units = sorted(season.hours.loc[season.hours["site"] == site, "noise_reference"].dropna().unique())
        label = f"Noise in the band of calls\n(dB re {' or '.join(units)})"
        levels = days.noise_db[np.isfinite(days.noise_db)]
        drawn = plot_hours(
            days.noise_db,
            days.dates,
            label=label,
            masked=masking.masked if masking else None,
            colours="magma",
            hatch_colour="black",
            from_zero=False,
        )
        summary = (
            f"Noise in the band of calls at {site}: median {np.median(levels):.1f} dB, loudest {levels.max():.1f} dB"
        )
        caption = "The median level of the minutes of each hour. Hatched and grey as above."
        if masking:
            caption += report_text.describe_masking(masking) + _spell_masked(season, site)
        parts += [page.make_heading(site), page.make_figure(drawn.figure, alt=summary, caption=caption)]
    return "".join(parts)


def _spell_masked(season: "Season", site: str) -> str:
    """Say how much of the effort is in minutes that are too loud, where the tables have the same reference call."""
    effort = season.archive.effort
    rows = effort[(effort["site"] == site) & effort["masked_s"].notna()]
    seconds = (rows["end_s"] - rows["start_s"]).sum()
    if not seconds or season.call_level_db is not None:
        return ""
    masked = rows["masked_s"].sum()
    spelled = f"{spell_duration(masked)} of {spell_duration(seconds)}"
    return f" Minute by minute, {spelled} ({masked / seconds:.0%}) are too loud."


def show_soundscape(season: "Season") -> str:
    """Show bands by day, third octaves and the long-term spectral average of every site."""
    parts = [
        page.make_paragraph(
            "What else there was to hear: waves, boats and the cables of the recorder at low frequencies, snapping "
            "shrimp above 2 kHz. The calls are in these levels, too."
        )
    ]
    band = season.archive.provenance.get("noise", {}).get("calls_hz", {}).get(season.classes[0])
    for site in season.sites:
        try:
            found = measure_soundscape(season.archive, site)
        except ConfigError as error:
            parts.append(page.make_paragraph(f"{site}: {error}."))
        else:
            parts += [page.make_heading(site), _show_site(site, found, tuple(band) if band else None)]
    return "".join(parts)


def _show_site(site: str, found: Soundscape, band_hz: tuple[float, float] | None) -> str:
    unit = f"dB re {found.reference}"
    bands = dict(found.bands)
    if band_hz:
        calls = bands.pop(BANDS["calls_db"])
        bands = {f"{BANDS['calls_db']}, {band_hz[0]:g} to {band_hz[1]:g} Hz": calls, **bands}
    medians = {name: float(np.nanmedian(level)) for name, level in bands.items() if np.isfinite(level).any()}
    summary = "; ".join(f"{name} {level:.1f} dB" for name, level in medians.items())
    known = np.isfinite(found.thirds[1])
    loudest = int(np.nanargmax(found.thirds[1])) if known.any() else None
    spoken = "" if loudest is None else f"; loudest around {found.thirds_hz[loudest]:.0f} Hz"
    length = f"{found.step_min} min" if found.step_min < 60 else f"{found.step_min // 60} h"
    figures = [
        page.make_figure(
            plot_bands(found.dates, bands, label=f"Level ({unit})").figure,
            alt=f"Median level of each day at {site}, by band: {summary}",
            caption="The median of the minutes of each day. A band has the power of all its frequencies together.",
        ),
        page.make_figure(
            plot_third_octaves(found.thirds_hz, *found.thirds, label=f"Level ({unit})", band_hz=band_hz).figure,
            alt=f"Levels of third octaves at {site}{spoken}",
            caption="Third octaves (decidecades) over all minutes: the median, and the levels between which four of "
            "five minutes lie.",
            wide=False,
        ),
        page.make_figure(
            plot_long_term_spectrum(
                found.spectra, found.times, found.edges_hz, label=f"Level of a hertz ({unit})"
            ).figure,
            alt=f"Long-term spectral average at {site}, {found.dates[0]} to {found.dates[-1]}, from 10 Hz to "
            f"{found.edges_hz[-1]:,.0f} Hz",
            caption=f"Long-term spectral average in hybrid millidecades. A column is {length}, of which the powers are "
            "averaged. Grey: nothing was recorded.",
        ),
    ]
    return "".join(figures)
