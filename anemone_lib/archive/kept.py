"""Scores that were made before, by jobs of a service or ``anemone detect --formats scores``; they replace a recording.

*Conventions.* Scores are in a file or an object whose name ends in `SUFFIX`. It has the recording's name, the SHA-256
of its content, its clock, gaps and pauses. It does not have the sound, so calls and noise are not known, and neither is
whether the sound is clipped or dead.
"""

import hashlib
import io
import re
from collections.abc import Mapping
from typing import Any

from anemone_lib.audio.clock import Clock, read_clock
from anemone_lib.audio.gaps import add_pauses
from anemone_lib.audio.probing import Probe
from anemone_lib.audio.sources import HASH_BLOCK_BYTES, open_source
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ScoresError
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.scores import Scores

#: How the names of kept scores end, as `anemone_lib.detection.formats` writes them.
SUFFIX = ".scores.npz"
#: Why the calls in such a recording are not known.
NO_SOUND = "only the scores of the recording are here, without its sound"
#: The folder of a job, in a bucket or in the store of `anemone serve`.
_OF_JOB = re.compile(r"(^|/)(results/)?jobs/[^/]+$")
_OF_CHANNEL = re.compile(r"\.channel([0-9]+)" + re.escape(SUFFIX) + "$")


def is_kept(source: str) -> bool:
    """Tell whether a path or an address names kept scores.

    >>> is_kept("s3://reef-output/jobs/7c1e/result.scores.npz"), is_kept("20230210_060000.wav")
    (True, False)
    """
    return source.endswith(SUFFIX)


def read_kept(source: str) -> Scores:
    """Read kept scores.

    Parameters
    ----------
    source : str, path or address

    Returns
    -------
    scores : Scores

    Raises
    ------
    AudioError
        It cannot be read.
    ScoresError
        It is damaged, or does not say which recording it is of.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import anemone_lib
    >>> from anemone_lib.simulation import write_recording
    >>> folder = Path(mkdtemp())
    >>> truth = write_recording(folder / "20230210_060000.wav", duration=10, seed=4, sample_rate=16_000)
    >>> (path,) = anemone_lib.detect(folder / "20230210_060000.wav").save(folder, formats=["scores"])
    >>> read_kept(str(path)).recording_name
    '20230210_060000.wav'
    """
    opened, content, position = open_source(source), io.BytesIO(), 0
    try:
        while block := opened.read_at(position, HASH_BLOCK_BYTES):
            content.write(block)
            position += len(block)
    finally:
        opened.close()
    content.seek(0)
    scores = Scores.load(content, name=source)
    if not scores.recording_sha256 or not scores.recording_name:
        raise ScoresError(f"{source} does not say which recording it is of; analyse the recording itself")
    return scores


def find_folder(path: str) -> str:
    """Return the folder that kept scores are in; of those of a job, the folder or the bucket of the jobs.

    >>> find_folder("s3://reef-output/jobs/7c1e/result.scores.npz"), find_folder("north/reef.scores.npz")
    ('s3://reef-output', 'north')
    """
    return _OF_JOB.sub("", path.rpartition("/")[0])


def name_kept(name: str, recording_name: str) -> str:
    """Name the recording of kept scores: by its own name, below the folder that they are in.

    Parameters
    ----------
    name : str, path of the scores below the source
    recording_name : str, as the scores have it

    Examples
    --------
    >>> name_kept("jobs/7c1e/result.scores.npz", "20230210_060000.wav")
    '20230210_060000.wav'
    >>> name_kept("north reef/20230210_060000.scores.npz", "20230210_060000.wav")
    'north reef/20230210_060000.wav'
    """
    folder = find_folder(name)
    return recording_name if "/" in recording_name or not folder else f"{folder}/{recording_name}"


def find_channel(source: str) -> str:
    """Return the channel of kept scores, if the recording has several channels; else an empty text.

    >>> find_channel("jobs/7c1e/result.channel2.scores.npz"), find_channel("jobs/7c1e/result.scores.npz")
    ('2', '')
    """
    found = _OF_CHANNEL.search(source)
    return found[1] if found else ""


def probe_kept(source: str, clock: Mapping[str, Any]) -> Probe:
    """Read what kept scores say about their recording.

    Parameters
    ----------
    source : str, path or address
    clock : mapping, `timezone`, `start_time` and `start_time_format` of `read_clock`
        A start or a format that the caller states goes before the start that the scores have; the time zone was
        decided when they were made.

    Returns
    -------
    probe : Probe
    """
    return describe_kept(read_kept(source), source, clock)


def describe_kept(scores: Scores, source: str, clock: Mapping[str, Any]) -> Probe:
    """Return what kept scores tell of their recording, as `probe_kept` does, of scores that were read."""
    if clock.get("start_time") or clock.get("start_time_format"):
        began = read_clock(scores.recording_name.rpartition("/")[2], **clock)
    elif scores.start_time is not None:
        began = Clock(scores.start_time, "the scores that were made before")
    else:
        began = Clock()
    return Probe(
        size=0,
        format="scores",
        sample_rate=scores.sample_rate,
        channels=max(1, scores.n_channels),
        duration=scores.duration,
        elapsed=add_pauses(scores.duration, scores.pauses),
        clock=began,
        sample=hashlib.blake2b(source.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest(),
    )


def check_kept(scores: Scores, classifier: Classifier, config: InferenceConfig, channel: str) -> None:
    """Check that a run would make the same scores.

    Raises
    ------
    ScoresError
        Another model or other settings made them, or they are of another channel.
    """
    what = f"the scores of {scores.recording_name} were made"
    if scores.model_sha256 != classifier.sha256:
        raise ScoresError(
            f"{what} by model {scores.model_version} ({scores.model_sha256[:12]}), and this run has "
            f"{classifier.version} ({classifier.sha256[:12]}): give that model with --model, or analyse the recordings"
        )
    if scores.scores_fingerprint != config.scores_fingerprint:
        raise ScoresError(
            f"{what} with other settings that decide scores ({scores.scores_fingerprint[:12]}, here "
            f"{config.scores_fingerprint[:12]}): give those with --config, or analyse the recordings"
        )
    alone = scores.n_channels == 1 and not channel.isdigit()
    if scores.channel != channel and not alone:
        raise ScoresError(f"{what} from channel {scores.channel}, not from {channel}: --channel {scores.channel}")


def find_obstacle(source: str, *, remote: bool) -> str:
    """Say why the sound of a recording cannot be read again; empty if it can be read.

    Parameters
    ----------
    source : str, path or address of the recording, or of its scores
    remote : bool, whether recordings may be fetched

    Examples
    --------
    >>> find_obstacle("20230210_060000.wav", remote=False)
    ''
    """
    if is_kept(source):
        return NO_SOUND
    return "" if remote or "://" not in source else "`anemone archive run` fetches it again for that"
