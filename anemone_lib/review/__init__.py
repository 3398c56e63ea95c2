"""A person's verdicts on events.

`Review` is where to start: it keeps the verdicts of one recording in a table. Imports tables, evaluation and what lies
below them.
"""

from anemone_lib.review.verdicts import Review

__all__ = [
    "Review",
]
