import datetime as dt

import pyarrow.parquet
import pytest

import anemone_lib.archive
from anemone_lib.archive import open_archive
from anemone_lib.archive.exporting import write_csv_tables
from anemone_lib.archive.tables import (
    GROUP_ROWS,
    PARTITIONED,
    SCHEMAS,
    name_partition,
    name_site_folders,
    read_table,
    write_provenance,
    write_table,
)
from anemone_lib.errors import ConfigError

ROWS = [
    {"id": "a", "site": "north", "recording": "a.wav", "start_s": 1.0, "end_s": 2.0, "windows": 3},
    {"id": "b", "site": "south", "recording": "b.wav", "start_s": 1.0, "end_s": 2.0, "calls": None},
]


@pytest.fixture
def folder(tmp_path):
    folders = name_site_folders(row["site"] for row in ROWS)
    for row in ROWS:
        write_table(tmp_path / name_partition("events", folders[row["site"]], "2023-02"), "events", [row])
    write_provenance(tmp_path, {"sources": ["season"]})
    return tmp_path


def test_the_files_of_a_table_are_read_as_one(folder):
    archive = anemone_lib.archive.open(folder)
    assert archive.provenance == {"sources": ["season"]}
    assert archive.events["id"].tolist() == ["a", "b"]
    assert list(archive.events) == SCHEMAS["events"].names
    assert archive.read("events", site="south", columns=["id"])["id"].tolist() == ["b"]


def test_counts_that_are_not_known_are_missing_and_no_numbers(folder):
    events = open_archive(folder).events
    assert events["windows"].dtype == "Int32"
    assert events["windows"].isna().tolist() == [False, True]


@pytest.mark.parametrize("name", PARTITIONED)
def test_a_table_that_is_not_there_yet_has_its_columns(folder, name):
    (folder / "archive.json").exists()
    assert read_table(folder, name).schema.names == SCHEMAS[name].names


def test_any_reader_of_parquet_reads_a_folder_as_one_table(folder):
    import pandas as pd

    assert pd.read_parquet(folder / "events.parquet").sort_values("id")["site"].tolist() == ["north", "south"]


def test_the_meaning_of_a_column_is_in_the_file(folder):
    schema = pyarrow.parquet.read_schema(folder / "events.parquet" / "north" / "2023-02.parquet")
    assert schema.field("start_s").metadata[b"meaning"].startswith(b"Start, in seconds")


def test_the_same_rows_are_the_same_bytes_and_in_groups(tmp_path):
    moment = dt.datetime(2023, 2, 10, tzinfo=dt.UTC)
    rows = [{"site": "reef", "hour_utc": moment, "events": k} for k in range(GROUP_ROWS + 1)]
    first, second = (write_table(tmp_path / name, "hours", iter(rows)) for name in ("a.parquet", "b.parquet"))
    assert first.read_bytes() == second.read_bytes()
    assert pyarrow.parquet.ParquetFile(first).num_row_groups == 2


@pytest.mark.parametrize("site", ["..", ".", "a/b", "a\\b", "c:", "é" * 200, "", "1"])
def test_no_name_of_a_site_leads_out_of_the_table(tmp_path, site):
    (name,) = name_site_folders([site]).values()
    folder = (tmp_path / name).resolve()
    assert folder.parent == tmp_path
    folder.mkdir()


def test_a_number_as_the_name_of_a_site_stays_a_name(tmp_path):
    path = tmp_path / name_partition("hours", name_site_folders(["001"])["001"], "2023-02")
    write_table(path, "hours", [{"site": "001"}])
    assert read_table(tmp_path, "hours", site="001").column("site").to_pylist() == ["001"]


@pytest.mark.parametrize(("text", "words"), [(None, "there is no archive"), ("{", "cannot be read"), ("{}", "version")])
def test_a_folder_that_is_no_archive_is_said(tmp_path, text, words):
    if text is not None:
        (tmp_path / "archive.json").write_text(text)
    with pytest.raises(ConfigError, match=words):
        open_archive(tmp_path)


def test_a_table_that_is_damaged_says_how_to_write_it_anew(folder):
    (folder / "events.parquet" / "north" / "2023-02.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match="anemone archive report"):
        read_table(folder, "events")
    with pytest.raises(ConfigError, match="events.parquet cannot be read .*anemone archive report"):
        write_csv_tables(folder)
