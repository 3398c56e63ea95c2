"""The state of a run: a database of all recordings, which stays intact when the run is killed.

*Conventions.* The database is one SQLite file with one row for each recording. A row has three parts, each written by
its own step: what the source says about it (`list_item`), what its header says (`keep_probe`), and the outcome of its
analysis (`keep_outcome`). The scores are in ``scores/``, named after the SHA-256 of the recording, of the model and of
the settings. An outcome names the model and settings (`score_key`); another key is another analysis, and the earlier
scores stay. The calls inside events (`keep_calls`) belong to the bytes of a recording and the settings of the events.

Recordings have one order everywhere: by site, month (of the recorder's own clock), start, path; those
without a start are last.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from weakref import WeakSet

from anemone_lib.archive.measuring import Measured
from anemone_lib.archive.sources import Item
from anemone_lib.audio.clock import Clock
from anemone_lib.audio.probing import Probe
from anemone_lib.errors import ConfigError

#: Changes with the columns: an older file is refused.
VERSION = 2
_COLUMNS = (
    # what the source says
    *("recording TEXT PRIMARY KEY", "source TEXT", "site TEXT", "about TEXT", "walk INTEGER"),
    *("size INTEGER", "modified TEXT"),
    # what the header says
    *("probe_key TEXT", "format TEXT", "sample_rate INTEGER", "channels INTEGER", "duration REAL", "elapsed REAL"),
    *(
        "start TEXT",
        "start_ms INTEGER",
        "month TEXT",
        "clock TEXT",
        "notes TEXT",
        "by_range INTEGER",
        "gain TEXT",
        "sample TEXT",
    ),
    *("problem TEXT",),
    # what the analysis gave
    *("score_key TEXT", "sha256 TEXT", "status TEXT", "reason TEXT", "scores TEXT", "outcome TEXT"),
)
_NAMES = tuple(column.split()[0] for column in _COLUMNS)
#: The columns that an analysis writes.
OUTCOME = _NAMES[_NAMES.index("score_key") :]
ORDER = "site, month IS NULL, month, start_ms, recording"
#: Conditions on rows; each takes a `score_key`. Recordings that cannot be opened are neither undone nor not analysed.
ANALYSED = "status = 'analysed' AND score_key = ?"
FAILED = "status = 'failed' AND score_key = ?"
#: No analysis has ended, with success or not.
UNDONE = "problem IS NULL AND (score_key IS NOT ? OR status IS NULL)"
#: Undone, or it failed and is tried again.
NOT_ANALYSED = "problem IS NULL AND NOT (status IS 'analysed' AND score_key IS ?)"
#: A failure does not replace figures that were measured.
_KEEP_CALLS = (
    "ON CONFLICT DO UPDATE SET calls = excluded.calls, reason = excluded.reason "
    "WHERE excluded.calls IS NOT NULL OR calls.calls IS NULL"
)
#: Rows that are changed together.
BATCH_ROWS = 500


class State:
    """The database of one run, or of one shard of it.

    Parameters
    ----------
    path : pathlib.Path
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA synchronous = NORMAL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            self._db.close()
            raise ConfigError(f"{path} was written by another version; run `anemone archive run` into a new folder")
        if not version:
            with self.begin_transaction():
                self._db.execute(f"CREATE TABLE recordings ({', '.join(_COLUMNS)})")
                self._db.execute(f"CREATE INDEX in_order ON recordings ({ORDER})")
                self._db.execute("CREATE INDEX alike ON recordings (size, sample)")
                self._db.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT)")
                self._db.execute(
                    "CREATE TABLE calls (sha256 TEXT, key TEXT, calls TEXT, reason TEXT, PRIMARY KEY (sha256, key))"
                )
                self._db.execute(f"PRAGMA user_version = {VERSION}")
        self._asked: WeakSet[sqlite3.Cursor] = WeakSet()
        self.walk = int(self.recall("walk", 0))
        self._pending = 0

    def close(self) -> None:
        """Write pending changes, and close, even if there is no room to write them."""
        try:
            self.flush()
        finally:
            for rows in self._asked:  # an error may have left some, which would lock the file
                rows.close()
            self._db.close()

    def __enter__(self) -> "State":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin_transaction(self) -> sqlite3.Connection:
        """Begin a transaction that ends with the block."""
        self._db.execute("BEGIN")
        return self._db

    # ------------------------------------------------------------------ facts about the run

    def remember(self, name: str, value: Any) -> None:
        """Keep a fact about the run."""
        self._change("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def recall(self, name: str, default: Any = None) -> Any:
        """Return a fact about the run."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])

    def forget(self, beginning: str) -> None:
        """Forget the facts whose names have this beginning."""
        self._change("DELETE FROM facts WHERE substr(name, 1, ?) = ?", (len(beginning), beginning))
        self.flush()

    # ------------------------------------------------------------------ the three parts of a row

    def begin_walk(self) -> None:
        """Begin to list the sources: rows that are not listed again are of earlier sources, and do not count."""
        self.walk += 1

    def end_walk(self) -> None:
        """End the list: from now on, only the recordings in it count."""
        self.remember("walk", self.walk)
        self.flush()

    def list_item(self, item: Item, size: int | None, modified: str) -> str:
        """Keep what a source says of a recording; return its name, which is changed if another has the same name."""
        name = item.recording
        row = self._db.execute("SELECT source, walk FROM recordings WHERE recording = ?", (name,)).fetchone()
        if row is not None and row["walk"] == self.walk and row["source"] != item.source:
            name = item.source
        self._change(
            "INSERT INTO recordings (recording, source, site, about, walk, size, modified) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (recording) DO UPDATE "
            "SET site = excluded.site, about = excluded.about, walk = excluded.walk",
            (name, item.source, item.site, json.dumps(dict(item.about), sort_keys=True), self.walk, size, modified),
        )
        same = "source = ? AND size IS ? AND modified IS ?"
        changed = self._db.execute(
            f"SELECT 1 FROM recordings WHERE recording = ? AND NOT ({same})", (name, item.source, size, modified)
        ).fetchone()
        if changed:  # another file under this name: nothing that is known of the earlier one holds
            kept = ("recording", "source", "site", "about", "walk", "size", "modified")
            forget = ", ".join(f"{column} = NULL" for column in _NAMES if column not in kept)
            self._change(
                f"UPDATE recordings SET source = ?, size = ?, modified = ?, {forget} WHERE recording = ?",
                (item.source, size, modified, name),
            )
        return name

    def list_unprobed(self, key: str, *, remote: bool) -> Iterator[Any]:
        """Yield the rows, local or remote, whose header was not read with these options, or could not be read."""
        where = "(source LIKE '%://%') = ? AND (probe_key IS NOT ? OR problem IS NOT NULL)"
        return self.list_rows(where, (remote, key))

    def keep_probe(self, recording: str, key: str, probe: Probe | None, clock: Clock, problem: str | None) -> None:
        """Keep what a header says, or why it cannot be read, and when the recording began."""
        start = clock.start_time
        values: dict[str, Any] = {
            "start": start.isoformat() if start else None,
            "start_ms": to_milliseconds(start) if start else None,
            "month": f"{start:%Y-%m}" if start else None,
            "clock": clock.source or None,
            "problem": problem,
        }
        if probe is not None:
            values |= {
                "format": probe.format,
                "sample_rate": probe.sample_rate,
                "channels": probe.channels,
                "duration": probe.duration,
                "elapsed": probe.elapsed,
                "notes": json.dumps(probe.notes),
                "by_range": int(probe.by_range),
                "gain": probe.gain or None,
                "sample": probe.sample,
            }
        self._set(recording, {"probe_key": key, **values})

    def keep_outcome(self, recording: str, values: Mapping[str, Any]) -> None:
        """Keep the outcome of an analysis at once, so that it is not lost."""
        self._set(recording, values)
        self.flush()

    def keep_calls(self, sha256: str, key: str, measured: Measured) -> None:
        """Keep the calls of a recording; a failure does not replace figures that were measured."""
        events = None if measured.events is None else json.dumps(measured.events, sort_keys=True)
        self._change(
            f"INSERT INTO calls VALUES (?, ?, ?, ?) {_KEEP_CALLS}",
            (sha256, key, events, measured.reason or None),
        )

    # ------------------------------------------------------------------ questions

    def count(self, where: str = "1", values: Sequence[Any] = ()) -> int:
        """Count the recordings that were listed last."""
        (number,) = self._db.execute(
            f"SELECT COUNT(*) FROM recordings WHERE walk = ? AND ({where})", (self.walk, *values)
        ).fetchone()
        return int(number)

    def count_earlier(self) -> int:
        """Count the recordings of earlier walks that the last one did not find."""
        (number,) = self._db.execute("SELECT COUNT(*) FROM recordings WHERE walk <> ?", (self.walk,)).fetchone()
        return int(number)

    def add_up(self, column: str, where: str = "1", values: Sequence[Any] = ()) -> float:
        """Add up a column of the recordings that were listed last."""
        (total,) = self._db.execute(
            f"SELECT TOTAL({column}) FROM recordings WHERE walk = ? AND ({where})", (self.walk, *values)
        ).fetchone()
        return float(total)

    def list_rows(self, where: str = "1", values: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield the recordings that were listed last, in order."""
        return self._read_rows(f"walk = ? AND ({where})", (self.walk, *values))

    def list_sites(self) -> list[str]:
        """Return the sites, by name."""
        return [
            row[0]
            for row in self._db.execute(
                "SELECT DISTINCT site FROM recordings WHERE walk = ? ORDER BY site", (self.walk,)
            )
        ]

    def list_kinds(self) -> list[tuple[dict[str, Any], int, float]]:
        """Return an example, the number and the seconds of every kind of recording, that with the most audio first."""
        rows = self._db.execute(
            "SELECT source, sample_rate, channels, COUNT(*) AS number, TOTAL(duration) AS seconds, MIN(rowid) "
            "FROM recordings WHERE walk = ? AND problem IS NULL GROUP BY format, sample_rate, channels "
            "ORDER BY seconds DESC",
            (self.walk,),
        )
        return [(dict(row), row["number"], row["seconds"]) for row in rows]

    def find_scored(self, size: int, sample: str, key: str) -> list[str]:
        """Return the SHA-256 of analysed recordings that may be the same as one."""
        rows = self._db.execute(
            "SELECT DISTINCT sha256 FROM recordings WHERE size = ? AND sample = ? AND score_key = ? "
            "AND status = 'analysed' ORDER BY sha256",
            (size, sample, key),
        )
        return [row[0] for row in rows]

    def get_by_sha256(self, sha256: str, key: str) -> Any:
        """Return a row that was analysed, by its content."""
        return self._db.execute(
            "SELECT * FROM recordings WHERE sha256 = ? AND score_key = ? AND status = 'analysed' "
            "ORDER BY recording LIMIT 1",
            (sha256, key),
        ).fetchone()

    def find_unmeasured(self, key: str, calls_key: str) -> tuple[str, tuple[str, str]]:
        """Return the condition, and its values, for recordings that are analysed and whose calls are not known."""
        known = "SELECT 1 FROM calls WHERE calls.sha256 = recordings.sha256 AND key = ? AND calls IS NOT NULL"
        return f"{ANALYSED} AND NOT EXISTS ({known})", (key, calls_key)

    def list_in_order(self, key: str, calls_key: str) -> Iterator[Any]:
        """Yield all recordings, with `duplicate_of`, `before_ms`, and `calls` and `calls_reason` (see `keep_calls`).

        `before_ms` is the time from the end of the recording before to the start, in milliseconds; it is negative where
        both overlap. Of recordings with the same bytes, the first counts, and `before_ms` passes over the others.
        """
        self.flush()
        done = "score_key = :key AND status = 'analysed'"
        query = f"""
            WITH listed AS (
                SELECT *, CASE WHEN sha256 IS NOT NULL AND (score_key IS NULL OR ({done})) THEN
                    FIRST_VALUE(recording) OVER (
                        PARTITION BY sha256, (score_key IS NULL OR ({done}))
                        ORDER BY start_ms IS NULL, start_ms, site, recording
                    ) END AS first
                FROM recordings WHERE walk = :walk
            ), marked AS (
                SELECT *, CASE WHEN first <> recording THEN first END AS duplicate_of FROM listed
            )
            SELECT marked.*, calls.calls, calls.reason AS calls_reason,
                start_ms - MAX(start_ms + CAST(ROUND(elapsed * 1000) AS INTEGER)) OVER (
                PARTITION BY site, json_extract(about, '$.recorder'), duplicate_of IS NULL, start_ms IS NULL
                ORDER BY start_ms, recording ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS before_ms
            FROM marked LEFT JOIN calls ON calls.sha256 = marked.sha256 AND calls.key = :calls_key ORDER BY {ORDER}
        """
        rows = self._db.execute(query, {"walk": self.walk, "key": key, "calls_key": calls_key})
        self._asked.add(rows)
        return rows

    def take_over(self, path: Path, key: str) -> None:
        """Take over the results of a shard, for the same files and the same model and settings."""
        self.flush()
        self._db.execute("ATTACH ? AS shard", (str(path),))
        try:
            with self.begin_transaction() as db:
                db.execute(
                    f"UPDATE recordings SET ({', '.join(OUTCOME)}) = "
                    f"(SELECT {', '.join(OUTCOME)} FROM shard.recordings AS s "
                    "WHERE s.recording = recordings.recording) "
                    "WHERE recording IN (SELECT recording FROM shard.recordings) "
                    "AND (score_key IS NOT :key OR status IS NOT 'analysed') AND EXISTS ("
                    "SELECT 1 FROM shard.recordings AS s WHERE s.recording = recordings.recording "
                    "AND s.score_key = :key AND s.source = recordings.source AND s.size IS recordings.size "
                    "AND s.modified IS recordings.modified)",
                    {"key": key},
                )
                db.execute(f"INSERT INTO calls SELECT * FROM shard.calls WHERE 1 {_KEEP_CALLS}")
        finally:
            self._db.execute("DETACH shard")

    def add_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows that another machine listed, as `list_rows` yields them; they count as listed here."""
        names, marks = ", ".join(_NAMES), ", ".join("?" * len(_NAMES))
        for row in rows:
            values = {**row, "walk": self.walk}
            self._change(f"INSERT INTO recordings ({names}) VALUES ({marks})", (values.get(name) for name in _NAMES))
        self.flush()

    def copy_from(self, other: "State") -> None:
        """Take over the rows of another state: a shard begins with the plan."""
        self.flush()
        with self.begin_transaction() as db:
            rows = other._db.execute("SELECT * FROM recordings")
            marks = ", ".join("?" * len(_NAMES))
            db.executemany(f"INSERT OR REPLACE INTO recordings VALUES ({marks})", (tuple(row) for row in rows))
            rows = other._db.execute("SELECT * FROM calls")
            db.executemany("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?)", (tuple(row) for row in rows))

    # ------------------------------------------------------------------ writing

    def flush(self) -> None:
        """Write pending changes."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")
        self._pending = 0

    def _set(self, recording: str, values: Mapping[str, Any]) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        self._change(f"UPDATE recordings SET {names} WHERE recording = ?", (*values.values(), recording))

    def _change(self, command: str, values: Iterable[Any]) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN")
        self._db.execute(command, tuple(values))
        self._pending += 1
        if self._pending >= BATCH_ROWS:
            self.flush()

    def _read_rows(self, where: str, values: Sequence[Any], step: int = 1000) -> Iterator[Any]:
        """Yield rows in order; they may be changed meanwhile, because they are read in steps."""
        self.flush()
        names = [
            row[0] for row in self._db.execute(f"SELECT rowid FROM recordings WHERE {where} ORDER BY {ORDER}", values)
        ]
        for first in range(0, len(names), step):
            part = names[first : first + step]
            marks = ", ".join("?" * len(part))
            found = {
                row["row"]: row
                for row in self._db.execute(f"SELECT rowid AS row, * FROM recordings WHERE rowid IN ({marks})", part)
            }
            yield from (found[name] for name in part)


def to_milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970 in UTC, rounded."""
    return round(moment.timestamp() * 1000)
