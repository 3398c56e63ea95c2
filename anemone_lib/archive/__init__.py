"""A season of recordings, analysed as a whole: what is there, what was found, and how much was listened to.

`open_archive` is where to start: it reads the tables of a folder that ``anemone archive run`` wrote. `tables` says
which columns they have and where they lie. `steps` makes them: `make_request` says what is wanted, `plan_archive` lists
it, `run_archive` analyses it. `sources` finds recordings, `inventory` reads their headers, `state` keeps what is known,
`units` are the pieces of work, `workers` who does them, `running` hands them out, `assembling` makes the tables.
`noise` is what a run keeps of the sound of each minute, `minutes` the table of it, `masking` the hours in which a call
could not have been heard. `report` writes the page; `sounds` and `soundscape` are its part about the sound.
Imports tuning, plots, dataset and what lies below them.
"""

from anemone_lib.archive.request import Request, make_request
from anemone_lib.archive.steps import plan_archive, report_archive, run_archive
from anemone_lib.archive.tables import Archive, open_archive

#: ``anemone_lib.archive.open(folder)`` reads as the command does.
open = open_archive

__all__ = ["Archive", "Request", "make_request", "open_archive", "plan_archive", "report_archive", "run_archive"]
