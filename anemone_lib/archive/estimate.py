"""Estimate the time, memory and disk that a run takes, from a short trial on some of its recordings."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from anemone_lib.archive.kept import is_kept
from anemone_lib.archive.request import Request
from anemone_lib.archive.state import State
from anemone_lib.archive.units import choose_chunk_windows
from anemone_lib.archive.workers import WORKER_BYTES
from anemone_lib.audio.channels import parse_channel
from anemone_lib.audio.recording import open_recording
from anemone_lib.errors import spell_count, spell_duration
from anemone_lib.scoring.chunks import plan, score_chunk
from anemone_lib.soundscape.minutes import MinuteMeter

#: Kinds of recordings that are tried, those with the most audio; and chunks of each.
KINDS, CHUNKS = 3, 2
#: Bytes of the scores of a recording without its probabilities, and of the levels of a minute in ``noise/`` and in the
#: table of minutes; measured on two hours at 48 kHz.
HEADER_BYTES, MINUTE_BYTES = 2000, 7600


@dataclass(frozen=True)
class Estimate:
    """The time, memory and disk that a run will take.

    Attributes
    ----------
    audio_s : float, seconds of audio that can be opened
    work_s : float, seconds of one processor core
    scores_bytes, memory_bytes : int, on disk (scores and levels), and of one worker
    tried_s : float, seconds of audio that were analysed to find out
    """

    audio_s: float
    work_s: float
    scores_bytes: int
    memory_bytes: int
    tried_s: float

    def spell(self, workers: int) -> str:
        """Write the estimate as a sentence.

        >>> Estimate(86400.0, 120.0, 2_600_000, 200_000_000, 60.0).spell(2)
        '24 h of audio: about 60 s with 2 workers, 0.4 GB of memory, 2.6 MB on disk (from 60 s of audio)'
        """
        return (
            f"{spell_duration(self.audio_s)} of audio: about {spell_duration(self.work_s / workers)} with "
            f"{spell_count(workers, 'worker')}, {workers * self.memory_bytes / 1e9:.1f} GB of memory, "
            f"{self.scores_bytes / 1e6:,.1f} MB on disk (from {self.tried_s:.0f} s of audio)"
        )


def estimate_run(state: State, request: Request) -> Estimate:
    """Estimate the time, memory and disk of a run: analyse a little of the commonest kinds of recordings, and multiply.

    Parameters
    ----------
    state : State, of a planned archive
    request : Request

    Returns
    -------
    estimate : Estimate
        Recordings on slow disks or on servers far away take longer to read.
    """
    audio_s = work_s = tried_s = windows = n_files = minutes = 0.0
    rates: list[float] = []
    kinds = state.list_kinds()
    heard = [kind for kind in kinds if not is_kept(kind[0]["source"])]
    for _, count, seconds in kinds:
        audio_s += seconds
        windows += seconds / request.config.stride_duration
        n_files += count
    for number, (example, _, seconds) in enumerate(heard):
        if number < KINDS:
            for tried, took in _try(example, request):
                tried_s += tried
                rates.append(took / tried)
        rate = rates[min(number, len(rates) - 1)] if rates else 0.0
        work_s += rate * seconds
        minutes += seconds / 60
    scores = int(windows * 4 * request.classifier.n_classes + n_files * HEADER_BYTES)
    scores += round(minutes * MINUTE_BYTES) * request.noise
    return Estimate(audio_s, work_s, scores, min(_measure_peak_memory(), WORKER_BYTES), tried_s)


def _measure_peak_memory() -> int:
    """Return the most memory, in bytes, that this process has taken; Windows has no such figure: that of a worker."""
    try:
        import resource
    except ModuleNotFoundError:
        return WORKER_BYTES
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _try(example: dict[str, object], request: Request) -> Iterator[tuple[float, float]]:
    """Yield seconds of audio and of work of a recording of one kind; the first chunk is not timed."""
    config = request.config
    windows = choose_chunk_windows(int(str(example["sample_rate"])), int(str(example["channels"])), config)
    try:
        began = time.perf_counter()
        channel = parse_channel(request.channel)
        with open_recording(str(example["source"]), target_sr=config.target_sr, channel=channel) as recording:
            opened = (time.perf_counter() - began) / max(recording.duration, 1e-9)
            chunks = plan(recording, config, chunk_windows=windows)[:CHUNKS]
            meter = MinuteMeter(recording.sample_rate)
            listen = meter.add if request.noise else None
            score_chunk(recording, chunks[0], request.classifier, config, listen=listen)
            began = time.perf_counter()
            score_chunk(recording, chunks[-1], request.classifier, config, listen=listen)
            took = time.perf_counter() - began
        audio = (chunks[-1].stop - chunks[-1].first) * config.stride_duration
        yield audio, took + opened * audio
    except Exception:  # noqa: BLE001 one file must not end the plan; the analysis says what is wrong with it
        return
