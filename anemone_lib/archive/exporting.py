"""An archive in other formats, on request: the tables as CSV, the result of every recording as JSON."""

import os
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.csv

from anemone_lib.archive.assembling import Analysed, load_analysed
from anemone_lib.archive.request import restore_request
from anemone_lib.archive.schemas import SCHEMAS
from anemone_lib.archive.steps import open_state
from anemone_lib.archive.tables import read_batches
from anemone_lib.detection.results import build_result, describe_result, write_json
from anemone_lib.files import shorten_name, spell_name, write_atomically
from anemone_lib.scoring.scores import recall_use


def write_csv_tables(folder: str | os.PathLike[str]) -> list[Path]:
    """Write every table of an archive as one CSV file, a part in memory at a time; spectra are in Parquet only.

    Parameters
    ----------
    folder : path, the archive's

    Returns
    -------
    paths : list of pathlib.Path, in the archive's folder

    Raises
    ------
    ConfigError
        A table is damaged.
    """
    paths = []
    for name, schema in SCHEMAS.items():
        path = Path(folder) / f"{name}.csv"
        flat = pa.schema([field for field in schema if not pa.types.is_list(field.type)])
        with write_atomically(path) as file, pa.csv.CSVWriter(file, flat) as writer:
            for batch in read_batches(folder, name, columns=flat.names):
                writer.write_batch(batch)
        paths.append(path)
    return paths


def write_json_results(folder: str | os.PathLike[str]) -> Path:
    """Write the result of every analysed recording as JSON, as ``anemone detect`` does: about 2 MB an hour.

    The time that the analysis took is not in it: it is not kept.

    Parameters
    ----------
    folder : path, the archive's

    Returns
    -------
    folder : pathlib.Path, ``json/`` in the archive's, with the folders of the recordings
    """
    root = Path(folder) / "json"
    with open_state(Path(folder)) as state:
        request = restore_request(state.recall("request"))
        for one in load_analysed(state, request, Path(folder)):
            if one.scores is None:
                continue
            scores = recall_use(one.scores, one.row["recording"], one.began, ())
            metadata = describe_result(scores, list(one.events), request.config, processing_time=0.0)
            del metadata["processing_time"]
            write_json(root / _place(one), build_result(scores, one.events, metadata, lazy=True))
    return root


def _place(one: Analysed) -> Path:
    """Where the JSON of a recording lies: in its folders, under its whole name, so that no two are one."""
    parts = [part for part in PurePosixPath(spell_name(one.row["recording"])).parts if part not in ("/", "..", ".")]
    return Path(*(part.replace(":", "_") for part in parts[:-1]), shorten_name(parts[-1], ".json"))
