"""A season of recordings, analysed as a whole: the recordings, the events, and the time that was analysed.

`open_archive` is where to start: it reads the tables of a folder that ``anemone archive run`` wrote.

- *The run.* `request` has `make_request`, `steps` has `plan_archive` and `run_archive`. `sources` finds the recordings,
  `inventory` reads their headers, `estimate` estimates the time, `kept` reads scores that were made before, `state`
  remembers what is done, `running` hands out `pieces` of work (`units`, `measuring`) to the `workers` or the `cluster`,
  and `assembling` writes the tables, except for `months` that did not change.
- *The tables.* `schemas` names the columns, `tables` reads and writes them. `noise` keeps the levels of each minute,
  `minutes` makes a table of them, `hours` counts events by hour (`sky`), and `masking` finds the hours in which a call
  could not have been heard. `exporting` writes CSV and JSON, `clips` and `sampling` write sounds and samples of events.
- *On AWS.* `cloud` hands recordings over (`execution`), `batch` analyses them there (`packing`), and `quotas`
  estimates how long that takes.
- *The report.* `report` writes the page: `season` computes the rates, `soundscape` sums up the levels, `report_text`,
  `report_sound` and `report_gallery` write sections, and `page` writes the HTML.

Imports tuning, plots, dataset and what lies below them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anemone_lib.archive.request import Request, make_request
    from anemone_lib.archive.steps import plan_archive, report_archive, run_archive
    from anemone_lib.archive.tables import Archive, open_archive

    open = open_archive

#: The public names of this package and their modules. A module is imported when one of its names is first used, because
#: the function on AWS has no libraries for tables.
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
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), "open_archive" if name == "open" else name)
    globals()[name] = found
    return found
