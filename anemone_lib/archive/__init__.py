"""A season of recordings, analysed as a whole: what is there, what was found, and how much was listened to.

`open_archive` is where to start: it reads the tables of a folder that ``anemone archive run`` wrote. `tables` says
which columns they have and where they lie. Imports plots, dataset and what lies below them.
"""

from anemone_lib.archive.tables import Archive, open_archive

#: ``anemone_lib.archive.open(folder)`` reads as the command does.
open = open_archive

__all__ = ["Archive", "open_archive"]
