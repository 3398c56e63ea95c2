"""Tables of annotations and events: Raven, Audacity, CSV of many programs, AOEF.

`read_annotations` is where to start. `read_table` also says what was left out, `pair_tables` finds the tables of the
recordings of a folder; `writing` and `calls` have the writers, which they register as formats of `Detections.save`.
Imports detection and what lies below it.
"""

from anemone_lib.tables.calls import write_calls, write_raven_calls
from anemone_lib.tables.pairing import AnnotatedFile, AnnotatedFolder, pair_tables
from anemone_lib.tables.reading import is_detection, read_annotations, read_table
from anemone_lib.tables.table import AnnotationTable
from anemone_lib.tables.writing import write_audacity, write_csv, write_raven

__all__ = [
    "AnnotatedFile",
    "AnnotatedFolder",
    "AnnotationTable",
    "is_detection",
    "pair_tables",
    "read_annotations",
    "read_table",
    "write_audacity",
    "write_calls",
    "write_csv",
    "write_raven",
    "write_raven_calls",
]
