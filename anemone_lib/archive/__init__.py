"""A season of recordings, analysed as a whole: the recordings, the events, and the time that was analysed.

`open_archive` is where to start: it reads the tables of a folder that ``anemone archive run`` wrote.

- *The run.* `steps` has `make_request`, `plan_archive` and `run_archive`. `sources` finds the recordings, `inventory`
  reads their headers, `kept` finds scores that were made before, `state` remembers what is done, `running` hands out
  the `units` of work to the `workers`, and `assembling` writes the tables, except for `months` that did not change.
- *The tables.* `tables` says which columns they have and where they are. `noise` keeps the levels of each minute,
  `minutes` makes a table of them, and `masking` finds the hours in which a call could not have been heard.
- *On AWS.* `cloud` hands recordings over (`execution`), `batch` analyses them there (`packing`), and `quotas`
  estimates how long that takes.
- *The report.* `report` writes the page; `sounds` and `soundscape` write its part about the sound.

Imports tuning, plots, dataset and what lies below them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anemone_lib.archive.request import Request, make_request
    from anemone_lib.archive.steps import plan_archive, report_archive, run_archive
    from anemone_lib.archive.tables import Archive, open_archive

    open = open_archive

#: The face of this package, by the module that has it, imported when it is first used: a function on AWS analyses
#: recordings without the libraries of tables. ``anemone_lib.archive.open(folder)`` reads as the command does.
_MODULES = {
    "Archive": "tables",
    "Request": "request",
    "make_request": "request",
    "open": "tables",
    "open_archive": "tables",
    "plan_archive": "steps",
    "report_archive": "steps",
    "run_archive": "steps",
}

__all__ = ["Archive", "Request", "make_request", "open_archive", "plan_archive", "report_archive", "run_archive"]


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), "open_archive" if name == "open" else name)
    globals()[name] = found
    return found
