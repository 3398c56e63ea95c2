"""Tables of annotations and events: Raven, Audacity, CSV, JSON.

`read_annotations` is where to start; `writing` has the writers, which it registers as formats of `Detections.save`.
Imports detection and what lies below it.
"""

from anemone_lib.tables.reading import read_annotations
from anemone_lib.tables.writing import write_audacity, write_csv, write_raven

__all__ = [
    "read_annotations",
    "write_audacity",
    "write_csv",
    "write_raven",
]
