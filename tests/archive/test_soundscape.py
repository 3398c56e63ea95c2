"""The soundscape of a site, from its minutes."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from anemone_lib.archive import open_archive
from anemone_lib.archive.soundscape import measure_soundscape
from anemone_lib.archive.tables import SCHEMAS, open_table, write_provenance
from anemone_lib.errors import ConfigError
from anemone_lib.simulation.season import simulate_minutes
from anemone_lib.soundscape.minutes import lay_millidecades


@pytest.fixture
def write(tmp_path):
    """Write minutes as the table of an archive; return the archive."""

    def write_minutes(minutes):
        with open_table(tmp_path / "minutes.parquet" / "x.parquet", "minutes") as add:
            add(pa.Table.from_pandas(minutes, SCHEMAS["minutes"], preserve_index=False))
        write_provenance(tmp_path, {})
        return open_archive(tmp_path)

    return write_minutes


def test_powers_are_averaged_and_not_decibels(season, write):
    minutes = simulate_minutes(season, sample_rate=2000).query("site == 'north'").head(3).reset_index(drop=True)
    edges = lay_millidecades(1000)
    first = minutes["start_local"].iloc[0]
    stamps = [first, first, first + np.timedelta64(1, "h")]
    flat = [np.full(len(edges) - 1, level, np.float32) for level in (-60, -70, -50)]
    found = measure_soundscape(write(minutes.assign(start_local=stamps, millidecades_db=flat)), "north")
    assert found.step_min == 1
    assert found.spectra.shape == (61, len(edges) - 1)
    np.testing.assert_allclose(found.spectra[0], 10 * np.log10((1e-6 + 1e-7) / 2), atol=1e-4)
    np.testing.assert_allclose(found.spectra[60], -50, atol=1e-4)
    assert np.isnan(found.spectra[1:60]).all()
    assert found.times[60] - found.times[0] == np.timedelta64(1, "h")


def test_what_a_season_sounds_like(archive):
    found = measure_soundscape(archive, "north")
    assert found.step_min == 120
    assert len(found.dates) == 59
    assert found.spectra.shape == (len(found.times), len(found.edges_hz) - 1)
    assert found.edges_hz[-1] == 4000
    assert (found.thirds[0] <= found.thirds[1]).all()
    assert (found.thirds[1] <= found.thirds[2]).all()
    minutes = archive.read("minutes", columns=["start_local", "below_db"], site="north")
    of_day = minutes[minutes["start_local"].dt.day_of_year == 32 + 2]["below_db"].median()
    assert found.bands["20 to 300 Hz"][2] == pytest.approx(of_day)


def test_recorders_of_different_rates_share_a_picture(season, write):
    rows = simulate_minutes(season, sample_rate=2000).query("site == 'north'").head(2)
    fast = simulate_minutes(season, sample_rate=8000).query("site == 'north'").iloc[2:4]
    found = measure_soundscape(write(pd.concat([rows, fast], ignore_index=True)), "north")
    assert found.edges_hz[-1] == 4000
    assert np.isnan(found.spectra[0, -1])
    assert np.isfinite(found.spectra[-1, -1])


def test_levels_of_two_references_are_not_put_together(season, write):
    minutes = simulate_minutes(season, sample_rate=2000).query("site == 'north'").head(2)
    minutes["reference"] = ["full scale", "1 µPa"]
    with pytest.raises(ConfigError, match="cannot be put together; give calibration_db of all"):
        measure_soundscape(write(minutes), "north")
    with pytest.raises(ConfigError, match="the sound of south was not measured"):
        measure_soundscape(write(minutes), "south")
