"""Widgets for JupyterLab: review events, change the event settings.

`ReviewPanel` and `TuningPanel` are where to start. Imports review, tuning, plots and what lies below them.
"""

from anemone_lib.notebook.review import ReviewPanel
from anemone_lib.notebook.tuning import TuningPanel

__all__ = [
    "ReviewPanel",
    "TuningPanel",
]
