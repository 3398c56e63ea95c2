"""Find the months of a site whose tables need not be written again.

*Conventions.* The files of a month depend on its rows in the state, on the files of scores and levels, on the request
and on the code. A key of all these is kept, with the SHA-256 of every file that was written. If the key and the files
did not change, writing the files again would give the same bytes.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from anemone_lib.archive.minutes import choose_call_bands
from anemone_lib.archive.noise import name_noise
from anemone_lib.archive.request import Request
from anemone_lib.archive.schemas import EFFORT
from anemone_lib.archive.state import State
from anemone_lib.archive.tables import UNDATED, write_table
from anemone_lib.files import hash_file, write_atomically
from anemone_lib.provenance import code_sha256

#: Where, in the archive's folder, the levels lie from which hours and masked seconds are.
LEVELS_FOLDER = "state/levels"


@dataclass(frozen=True)
class Month:
    """The files that were written for a month of a site.

    Attributes
    ----------
    key : str, of everything on which its files depend
    digests : dict, SHA-256 of each file by its path in the archive's folder
    statuses, totals : dict, numbers of recordings and events, and seconds
    place : latitude and longitude of its first recording that has them, in degrees, or None
    """

    key: str
    digests: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    place: tuple[float, float] | None = None


class Months:
    """The months of an archive: their keys now, and the files that were written for them before.

    Parameters
    ----------
    state : State
    request : Request
    folder : pathlib.Path, the archive's
    """

    def __init__(self, state: State, request: Request, folder: Path) -> None:
        self._state, self._folder = state, folder
        self._keys = _find_keys(state, request, folder)

    def recall(self, site: str) -> dict[str, Month]:
        """Return the months of a site whose key and files did not change, by name."""
        kept = {month: Month(**about) for month, about in self._state.recall(_name_fact(site), {}).items()}
        return {
            month: one
            for month, one in kept.items()
            if one.key == self.get_key(site, month) and all(self._holds(*file) for file in one.digests.items())
        }

    def get_key(self, site: str, month: str) -> str | None:
        """Return the key of a month; None if the site has no such month."""
        return self._keys.get((site, month))

    def keep(self, site: str, months: Mapping[str, Month]) -> None:
        """Remember the months of a site that were written."""
        self._state.remember(_name_fact(site), {month: asdict(one) for month, one in months.items()})
        self._state.flush()

    def _holds(self, path: str, sha256: str) -> bool:
        try:
            return hash_file(self._folder / path) == sha256
        except OSError:
            return False


def _name_fact(site: str) -> str:
    return f"months of {site}"


def _find_keys(state: State, request: Request, folder: Path) -> dict[tuple[str, str], str]:
    bands = choose_call_bands(request)
    made_by = [code_sha256(), request.score_key, request.calls_key, request.classes, request.noise, bands]
    begun = hashlib.sha256(json.dumps(made_by).encode())
    digests: dict[tuple[str, str], Any] = {}
    names: list[str] = []
    for row in state.list_in_order(request.score_key, request.calls_key):
        names = names or [name for name in row.keys() if name != "walk"]  # noqa: SIM118 a row has no names itself
        digest = digests.setdefault((row["site"], row["month"] or UNDATED), begun.copy())
        digest.update(repr([row[name] for name in names]).encode("utf-8", "surrogatepass"))
        if row["status"] == "analysed":
            for path in (folder / "scores" / f"{row['scores']}.npz", name_noise(folder, row["sha256"], request)):
                digest.update(_look(path))
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _look(path: Path) -> bytes:
    """Return the size and the time of a file: they change if the file changes, and it need not be read."""
    try:
        about = os.stat(path)
    except OSError:
        return b"none"
    return f"{about.st_size} {about.st_mtime_ns}".encode()


def add_counts(months: Mapping[str, Month]) -> tuple[Counter[str], Counter[str]]:
    """Add up the statuses and the totals of months, in their order: a sum of seconds depends on it."""
    statuses: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for month in months.values():
        statuses.update(month.statuses)
        totals.update(month.totals)
    return statuses, totals


# ---------------------------------------------------------------------- the files of a month


def read_month(path: Path) -> pa.Table:
    """Read one file of a table."""
    return pa.parquet.ParquetFile(path).read()


def read_effort(path: Path) -> pa.Table:
    """Read the effort of a month as it was before its masked seconds were known."""
    at = EFFORT.get_field_index("masked_s")
    table = read_month(path)
    return table.set_column(at, EFFORT.field(at), pa.nulls(len(table), EFFORT.field(at).type))


def renew_verdicts(path: Path, labels: Mapping[str, str]) -> bool:
    """Write the present verdicts into the events of a month; return whether one of them changed."""
    table = read_month(path)
    verdicts = [labels.get(name) for name in table["id"].to_pylist()]
    if verdicts == table["verdict"].to_pylist():
        return False
    rows = [{**row, "verdict": verdict} for row, verdict in zip(table.to_pylist(), verdicts, strict=True)]
    write_table(path, "events", rows)
    return True


def write_levels(path: Path, table: pa.Table) -> None:
    """Keep the levels of a month's minutes, from which hours and masked seconds are computed."""
    with write_atomically(path) as file:
        pa.parquet.write_table(table, file, compression="zstd")
