"""The sound of events: a WAV file each, and a table by which Raven shows them all.

*Conventions.* A clip has the samples of the recording, at its own rate, as 16-bit PCM. They are not scaled, so the
levels do not change. Lost samples of the recording are silence in a clip.
"""

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from anemone_lib.archive.tables import Archive, name_site_folders
from anemone_lib.audio.recording import Recording, open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.marks import DETECTED_BY, DETECTOR, find_free_path, sign_table
from anemone_lib.errors import AnemoneError, ConfigError, spell_count
from anemone_lib.files import check_folder, shorten_name, write_atomically, write_text

#: Columns of the table: those by which Raven finds a sound in its file first.
COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin Path", "File Offset (s)", "Delta Time (s)", "Annotation", "Mean Confidence", "Event ID", "Site"),
    *("Recording", "Recording Begin Time (s)", "Begin UTC", DETECTED_BY),
)


@dataclass(frozen=True)
class Clips:
    """The clips that were written.

    Attributes
    ----------
    folder : pathlib.Path
    table : pathlib.Path, ``clips.selections.txt``
    number : int, of clips
    """

    folder: Path
    table: Path
    number: int


def write_clips(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    margin: float = 1.0,
    min_confidence: float = 0.0,
    site: str | None = None,
    limit: int | None = None,
    ids: Collection[str] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Clips:
    """Write the clips of an archive's events, and ``clips.selections.txt``, a sound-selection table for Raven.

    Parameters
    ----------
    folder : path, the archive's
    out : path, optional
        By default ``clips/`` in it.
    margin : float >= 0, seconds before and after an event
    min_confidence : float in [0, 1]
    site : str, optional
        Only events of this site.
    limit : int > 0, optional
        The number of events, drawn at random with a fixed seed; by default all.
    ids : collection of str, optional
        Only these events.
    note : callable (text), called for each recording that cannot be read any more

    Returns
    -------
    clips : Clips

    Raises
    ------
    ConfigError
        There is no such archive or site, no event is left, or the clips cannot be written there.
    """
    archive = Archive(folder)
    events = archive.read("events", site=site)
    events = events[events["confidence"] >= min_confidence]
    if ids is not None:
        events = events[events["id"].isin(list(ids))]
    if limit is not None and len(events) > limit:
        chosen = np.random.default_rng(0).choice(len(events), limit, replace=False)
        events = events.iloc[np.sort(chosen)]
    if events.empty:
        where = f" at {site!r}" if site is not None else ""
        raise ConfigError(
            f"there are no events{where} with a confidence of {min_confidence:g} or more in {archive.folder}"
        )
    target = Path(out) if out is not None else archive.folder / "clips"
    check_folder(target, "--out")
    config = InferenceConfig(**archive.provenance["config"])
    sources = archive.read("recordings", columns=["recording", "source"]).set_index("recording")["source"]
    folders = name_site_folders(sorted(events["site"].unique()))
    rows: list[list[str]] = []
    for (name, _), some in events.groupby(["recording", "site"], sort=True):
        try:
            rows += list(_cut(str(sources[name]), some, archive, config, margin, target, folders))
        except (AnemoneError, OSError) as error:
            note(f"{name}: {spell_count(len(some), 'clip')} left out: {error}")
    numbered = [[str(number), *row] for number, row in enumerate(rows, start=1)]
    table = find_free_path(target / "clips.selections.txt")
    text = "".join("\t".join(line) + "\n" for line in [list(COLUMNS), *numbered])
    write_text(table, sign_table(text, DETECTOR if rows else ""))
    return Clips(target, table, len(rows))


def _cut(
    source: str,
    events: Any,
    archive: Archive,
    config: InferenceConfig,
    margin: float,
    target: Path,
    folders: dict[str, str],
) -> Iterator[list[str]]:
    """Write the clips of one recording; yield their rows, without the number."""
    with open_recording(source, channel=archive.channel) as recording:
        for event in events.to_dict("records"):
            begin = max(0.0, event["start_s"] - margin)
            end = min(recording.duration, event["end_s"] + margin)
            when = event["start_utc"]
            stamp = f"{when:%Y%m%dT%H%M%S}Z_" if when == when and when is not None else ""
            name = shorten_name(f"{stamp}{quote(event['class'], safe='')}_{event['id']}", ".wav")
            path = target / folders[event["site"]] / name
            _write_wav(path, recording, begin, end)
            offset = event["start_s"] - begin
            yield [
                *("Spectrogram 1", "1", f"{offset:.6f}", f"{offset + event['end_s'] - event['start_s']:.6f}"),
                *("0.0", f"{min(config.fmax_hz, recording.sample_rate / 2):.1f}", str(path.resolve())),
                *(f"{offset:.6f}", f"{event['end_s'] - event['start_s']:.6f}", event["class"]),
                *(f"{event['confidence']:.7g}", event["id"], event["site"], event["recording"]),
                *(f"{event['start_s']:.6f}", f"{when:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z" if stamp else "", DETECTOR),
            ]


def _write_wav(path: Path, recording: Recording, begin: float, end: float) -> None:
    import soundfile

    rate = recording.sample_rate
    samples = np.nan_to_num(recording.read(round(begin * rate), min(recording.n_samples, round(end * rate))))
    with write_atomically(path) as file:
        soundfile.write(file, np.clip(samples, -1, 1), rate, format="WAV", subtype="PCM_16")
