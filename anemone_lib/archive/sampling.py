"""A random sample of an archive's events for review, stratified over confidence, and the review's verdicts.

*Conventions.* Verdicts are in ``verdicts.csv`` in the archive's folder, where `open_survey` writes them; the tables of
the next run or report have them in the column `verdict`.
"""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

from anemone_lib.archive.assembling import load_analysed
from anemone_lib.archive.clips import Clips, write_clips
from anemone_lib.archive.request import restore_request
from anemone_lib.archive.steps import open_state
from anemone_lib.archive.tables import VERDICTS_NAME, Archive
from anemone_lib.detection.detections import Detections
from anemone_lib.errors import ConfigError
from anemone_lib.files import write_text
from anemone_lib.review.sampling import ReviewItem, draw_items
from anemone_lib.review.survey import Survey
from anemone_lib.scoring.scores import recall_use

#: Columns of ``sample.csv``.
COLUMNS = ("event_id", "site", "recording", "start_time", "end_time", "confidence", "class")


def draw_sample(folder: str | os.PathLike[str], n: int = 200, *, seed: int = 0) -> list[ReviewItem]:
    """Draw events for review: the same number from each range of confidence.

    Parameters
    ----------
    folder : path, the archive's
    n : int > 0
    seed : int
        The same seed draws the same events again.

    Returns
    -------
    items : list of ReviewItem; any first part of it is stratified, too

    Raises
    ------
    ConfigError
        There is no archive, or no event in it.
    """
    columns = ["id", "recording", "start_s", "end_s", "max_confidence", "windows"]
    rows = Archive(folder).read("events", columns=columns).itertuples(index=False, name=None)
    items = [
        ReviewItem(name, recording, start, end, float(confidence), num_windows=int(windows))
        for name, recording, start, end, confidence, windows in rows
    ]
    if not items:
        raise ConfigError(f"there are no events in {folder}")
    return draw_items(items, "stratified", n=n, seed=seed)


def write_sample(
    folder: str | os.PathLike[str],
    n: int = 200,
    *,
    seed: int = 0,
    margin: float = 1.0,
    note: Callable[[str], None] = lambda text: None,
) -> tuple[Path, Clips]:
    """Write ``review/sample.csv``, the events that were drawn, and their sound.

    Parameters
    ----------
    folder, n, seed : as in `draw_sample`
    margin : float >= 0, seconds of sound before and after an event
    note : callable (text)

    Returns
    -------
    table : pathlib.Path
    clips : Clips
    """
    root = Path(folder) / "review"
    items = draw_sample(folder, n, seed=seed)
    events = Archive(folder).read("events", columns=["id", "site", "class"]).drop_duplicates("id").set_index("id")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for item in items:
        event = events.loc[item.id]
        times = item.start_time, item.end_time, round(item.confidence, 6)
        rows.writerow([item.id, event["site"], item.recording, *times, event["class"]])
    table = write_text(root / "sample.csv", text.getvalue())
    clips = write_clips(folder, root / "clips", margin=margin, ids={item.id for item in items}, note=note)
    return table, clips


def open_survey(
    folder: str | os.PathLike[str],
    n: int | None = 200,
    *,
    class_name: str | None = None,
    n_windows: int = 0,
    seed: int = 0,
    reviewer: str = "",
) -> Survey:
    """Open a review of an archive's events; its verdicts are kept in the archive's folder.

    Parameters
    ----------
    folder : path, the archive's
    n : int, optional
        Events that are offered; None offers all.
    class_name : str, optional
        The class under review; by default the first.
    n_windows : int >= 0
        Windows without an event that are offered, too: calls that were missed lie in them.
    seed : int
    reviewer : str

    Returns
    -------
    survey : Survey
        It holds the scores of the whole archive: 2.6 MB for a day of recording.
    """
    found: dict[str | os.PathLike[str], Detections] = {}
    with open_state(Path(folder)) as state:
        request = restore_request(state.recall("request"))
        if class_name is not None and class_name not in request.classes:
            raise ConfigError(f"class_name is {class_name!r}; the archive has {', '.join(request.classes)}")
        config = request.configs[request.classes.index(class_name)] if class_name else request.config
        for one in load_analysed(state, request, Path(folder)):
            if one.scores is not None:
                scores = recall_use(one.scores, one.row["recording"], one.began, ())
                events = [event for event in one.events if event.class_name == config.target_class]
                found[one.row["source"]] = Detections(events, scores, config, {}, one.row["source"])
    table = Path(folder) / VERDICTS_NAME
    return Survey(found, table, n=n, n_windows=n_windows, seed=seed, reviewer=reviewer)
