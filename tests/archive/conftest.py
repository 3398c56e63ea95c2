"""Tables of a season made on the spot."""

from datetime import datetime, timedelta

import pandas as pd
import pytest

from anemone_lib.archive.hours import count_hours
from anemone_lib.simulation.season import simulate_season


@pytest.fixture(scope="session")
def season():
    """Two sites, 59 days, with a known course over the day."""
    return simulate_season(n_days=59, seed=3, outage=0.06)


@pytest.fixture(scope="session")
def season_hours(season):
    return count_hours(
        season.events, season.effort, classes=["anemonefish"], noise=season.noise, places={"north": (26.5, 127.9)}
    )


def intervals(rows):
    """Rows of (site, local start, seconds, offset in hours[, more columns]) as a table of intervals."""
    frame = []
    for site, start, seconds, offset, *more in rows:
        began = datetime.fromisoformat(start) if start else None
        ended = began + timedelta(seconds=seconds) if began else None
        shift = timedelta(hours=offset)
        frame.append(
            {
                "site": site,
                "recording": f"{site}/{start}.wav",
                "start_local": began,
                "end_local": ended,
                "start_utc": began - shift if began else None,
                "end_utc": ended - shift if ended else None,
                "start_s": 0.0,
                "end_s": float(seconds),
                **(more[0] if more else {}),
            }
        )
    table = pd.DataFrame(frame, columns=[*frame[0]] if frame else ["site", *NO_ROWS])
    for edge in ("start", "end"):
        table[f"{edge}_local"] = pd.to_datetime(table[f"{edge}_local"]).dt.as_unit("ms")
        table[f"{edge}_utc"] = pd.to_datetime(table[f"{edge}_utc"]).dt.as_unit("ms").dt.tz_localize("UTC")
    return table


NO_ROWS = ("recording", "start_local", "end_local", "start_utc", "end_utc", "start_s", "end_s", "class")


@pytest.fixture(scope="session")
def make_intervals():
    return intervals
