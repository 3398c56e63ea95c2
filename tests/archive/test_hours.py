"""Hours against cases computed by hand."""

import pandas as pd
import pytest

from anemone_lib.archive.hours import choose_shown, count_hours, count_undated, recount_events
from anemone_lib.archive.schemas import HOURS
from anemone_lib.errors import ConfigError

FISH = {"class": "fish"}
HEARD, SKIPPED = {"analysed": True}, {"analysed": False}


@pytest.fixture
def count(make_intervals):
    def counted(effort, events=(), **options):
        effort = make_intervals([(*row[:4], row[4] if len(row) > 4 else HEARD) for row in effort])
        events = make_intervals([(*row, FISH) for row in events])
        return count_hours(events, effort, **{"classes": ["fish"], **options})

    return counted


def times(hours, column="hour_local"):
    return hours[column].dt.strftime("%d %H:%M").tolist()


def test_effort_is_cut_at_the_full_hours(count):
    hours = count([("reef", "2023-02-10T05:50:00", 4200, 9)])
    assert times(hours) == ["10 05:00", "10 06:00"]
    assert times(hours, "hour_utc") == ["09 20:00", "09 21:00"]
    assert hours["effort_s"].tolist() == [600, 3600]


def test_an_event_counts_where_it_begins_and_occupies_where_it_is(count):
    effort = [("reef", "2023-02-10T05:00:00", 7200, 9)]
    hours = count(effort, [("reef", "2023-02-10T05:59:00", 96, 9), ("reef", "2023-02-10T05:10:00", 12, 9)])
    assert hours["events"].tolist() == [2, 0]
    assert hours["occupancy"].tolist() == pytest.approx([72 / 3600, 36 / 3600])
    assert hours["calls"].isna().all()


def test_in_zones_of_half_an_hour_the_hour_is_that_of_the_clock(count):
    hours = count([("reef", "2023-02-10T05:30:00", 3600, 5.5)], [("reef", "2023-02-10T06:15:00", 1, 5.5)])
    assert times(hours) == ["10 05:00", "10 06:00"]
    assert times(hours, "hour_utc") == ["09 23:30", "10 00:30"]
    assert hours["effort_s"].tolist() == [1800, 1800]
    assert hours["events"].tolist() == [0, 1]


def test_an_hour_that_comes_twice_has_two_rows(count):
    # Clocks go back from 3:00 to 2:00: 2:00 to 3:00 at UTC+2, then again at UTC+1.
    hours = count([("reef", "2023-10-29T02:00:00", 3600, 2), ("reef", "2023-10-29T02:00:00", 1800, 1)])
    assert times(hours) == ["29 02:00", "29 02:00"]
    assert times(hours, "hour_utc") == ["29 00:00", "29 01:00"]
    assert hours["effort_s"].tolist() == [3600, 1800]


def test_an_hour_that_clocks_leave_out_has_no_row(count):
    # Clocks go forward from 2:00 to 3:00.
    hours = count([("reef", "2023-03-26T01:00:00", 3600, 1), ("reef", "2023-03-26T03:00:00", 3600, 2)])
    assert times(hours) == ["26 01:00", "26 03:00"]
    assert times(hours, "hour_utc") == ["26 00:00", "26 01:00"]


def test_two_recorders_at_a_site_add_up(count):
    effort = [("reef", "2023-02-10T05:00:00", 3600, 9)] * 2
    hours = count(effort, [("reef", "2023-02-10T05:10:00", 36, 9)] * 2)
    assert (hours["effort_s"].item(), hours["events"].item()) == (7200, 2)
    assert hours["occupancy"].item() == pytest.approx(0.01)


def test_skipped_seconds_are_no_effort(count):
    hours = count([("reef", "2023-02-10T05:00:00", 600, 0), ("reef", "2023-02-10T06:00:00", 60, 0, SKIPPED)])
    assert hours["effort_s"].tolist() == [600, 0]
    assert hours["skipped_s"].tolist() == [0, 60]
    assert hours["occupancy"].tolist() == [0, pytest.approx(float("nan"), nan_ok=True)]


def test_a_pause_of_the_recorder_is_no_effort(count, make_intervals):
    # Half an hour of sound within an hour of the clock.
    effort = make_intervals([("reef", "2023-02-10T05:00:00", 3600, 0, HEARD)]).assign(end_s=1800.0)
    hours = count_hours(make_intervals([]), effort, classes=["fish"])
    assert hours["effort_s"].tolist() == [1800]


def test_every_hour_has_a_row_for_each_class(count):
    hours = count(
        [("reef", "2023-02-10T05:00:00", 3600, 0)], [("reef", "2023-02-10T05:10:00", 1, 0)], classes=["fish", "boat"]
    )
    assert dict(zip(hours["class"], hours["events"], strict=True)) == {"boat": 0, "fish": 1}


def test_calls_are_known_where_those_of_all_events_are(make_intervals):
    effort = make_intervals([("reef", "2023-02-10T05:00:00", 3 * 3600, 0, HEARD)])
    rows = [(5, 3), (5, 2), (6, 4), (6, None)]
    events = make_intervals([("reef", f"2023-02-10T0{hour}:10:00", 1, 0, {**FISH, "calls": n}) for hour, n in rows])
    calls = count_hours(events, effort, classes=["fish"])["calls"]
    assert calls.tolist() == [5, pd.NA, 0]


def test_what_has_no_time_is_counted_and_in_no_hour(count, make_intervals):
    effort = make_intervals([("reef", None, 60, 0, HEARD), ("reef", "2023-02-10T05:00:00", 60, 0, HEARD)])
    events = make_intervals([("reef", None, 1, 0, FISH)])
    hours = count_hours(events, effort, classes=["fish"])
    assert (len(hours), hours["events"].sum()) == (1, 0)
    assert count_undated(events, effort) == (1, 1, 60.0)


def test_noise_is_that_of_the_minutes_of_the_hour(make_intervals):
    effort = make_intervals([("reef", "2023-02-10T05:00:00", 7200, 9, HEARD)])
    levels = [(0, -70.0), (10, -60.0), (20, -50.0)]
    noise = make_intervals(
        [
            ("reef", f"2023-02-10T05:{minute:02d}:00", 60, 9, {"calls_db": level, "reference": "1 µPa"})
            for minute, level in levels
        ]
    )
    hours = count_hours(make_intervals([]), effort, classes=["fish"], noise=noise)
    assert hours.loc[0, ["noise_low_db", "noise_db", "noise_high_db", "noise_reference"]].tolist() == [
        -68,
        -60,
        -52,
        "1 µPa",
    ]
    assert hours.loc[1, ["noise_low_db", "noise_db", "noise_reference"]].isna().all()


def test_levels_of_two_references_are_not_mixed(make_intervals):
    effort = make_intervals([("reef", "2023-02-10T05:00:00", 3600, 9, HEARD)])
    about = [{"calls_db": -70.0, "reference": "full scale"}, {"calls_db": 100.0, "reference": "1 µPa"}]
    noise = make_intervals([("reef", "2023-02-10T05:00:00", 60, 9, one) for one in about])
    hours = count_hours(make_intervals([]), effort, classes=["fish"], noise=noise)
    assert hours[["noise_db", "noise_reference"]].isna().all(axis=None)


def test_a_site_without_a_place_has_a_moon_and_no_sun(season_hours):
    north, south = (season_hours[season_hours["site"] == site] for site in ("north", "south"))
    assert north["sun_altitude_deg"].notna().all()
    assert south["sun_altitude_deg"].isna().all()
    assert south["moon_illumination"].between(0, 1).all()


def test_hours_have_the_columns_that_are_documented(season_hours):
    assert set(season_hours) == set(HOURS.names)


def test_a_whole_season_adds_up(season, season_hours):
    seconds = (season.effort["end_s"] - season.effort["start_s"]).sum()
    assert season_hours["effort_s"].sum() == pytest.approx(seconds)
    assert season_hours["events"].sum() == len(season.events)


def test_nothing_gives_no_hours(make_intervals):
    assert count_hours(make_intervals([]), make_intervals([]).assign(analysed=True), classes=["fish"]).empty


def test_without_a_clock_there_is_nothing_to_show_over_time(make_intervals):
    effort = make_intervals([("reef", None, 60, 9, HEARD)])
    events = make_intervals([("reef", None, 5, 9, FISH)])
    hours = recount_events(count_hours(events, effort, classes=["fish"]), events, effort)
    assert hours.empty
    with pytest.raises(ConfigError, match=r"no recording that was analysed has a start time.*--start-time-format"):
        choose_shown(hours)


def test_the_first_site_and_class_are_shown_and_what_is_not_there_is_named():
    hours = pd.DataFrame({"site": ["south", "north"], "class": ["knock", "fish"]})
    assert choose_shown(hours) == ("north", "fish")
    assert choose_shown(hours, "south", "knock") == ("south", "knock")
    with pytest.raises(ConfigError, match="site is 'west', which the tables do not have; they have north, south"):
        choose_shown(hours, site="west")
    with pytest.raises(ConfigError, match="class is 'whale', which the tables do not have; they have fish, knock"):
        choose_shown(hours, class_name="whale")
