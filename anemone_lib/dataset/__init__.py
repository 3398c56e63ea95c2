"""One description of annotated recordings, ``dataset.yaml``: which they are, what labels mean, how they are split.

`Dataset.load` is where to start. `description` is the file, `recordings` finds and reads its recordings, `reviewed`
adds the verdicts of a review, `splitting` draws the split, `proposal` proposes settings, `drafting` writes a first
description of a folder, `checking` says what is in it and what is wrong. Training, tuning and evaluation read the same
object, so labels have one meaning.
Imports tables, audio and what lies below them.
"""

from anemone_lib.dataset.checking import check_dataset
from anemone_lib.dataset.description import Dataset, SplitByName, SplitByTime
from anemone_lib.dataset.drafting import draft_dataset
from anemone_lib.dataset.recordings import read_recordings

__all__ = ["Dataset", "SplitByName", "SplitByTime", "check_dataset", "draft_dataset", "read_recordings"]
