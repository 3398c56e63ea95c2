"""Stretches of a recording that were analysed without a break, and the condition of their sound."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from anemone_lib.scoring.condition import CLIPPED, HIGHEST, LOST, LOWEST
from anemone_lib.scoring.scores import Chunk, ChunkScores, Scores


def describe_stretches(scores: Scores, parts: Mapping[Chunk, ChunkScores | str]) -> Iterator[dict[str, float]]:
    """Yield how the sound is in every stretch that was analysed without a gap or a pause."""
    measures = np.full((scores.n_windows, LOST + 1), np.nan, np.float32)
    for chunk, part in parts.items():
        if not isinstance(part, str):
            measures[chunk.first : chunk.stop] = part.measures
    starts = scores.start_times
    ends = np.append(starts[1:], scores.duration)
    dead = measures[:, LOWEST] == measures[:, HIGHEST]
    clipped = np.nan_to_num(measures[:, CLIPPED].astype(np.float64))
    for begin, end in list_stretches(scores):
        inside = np.minimum(ends, end) - np.maximum(starts, begin)
        inside = np.maximum(inside, 0)
        total = inside.sum()
        yield {
            "start_s": begin,
            "end_s": end,
            "dead_s": round(float(inside[dead].sum()), 6),
            "clipped": round(float((inside * clipped).sum() / total), 9) if total else 0.0,
        }


def list_stretches(scores: Scores) -> Iterator[tuple[float, float]]:
    """Yield the start and end, in seconds, of each stretch that was analysed without a gap or a pause."""
    position = 0.0
    for gap in (*scores.skipped, None):
        end = gap.start_time if gap else scores.duration
        inside = [pause.time for pause in scores.pauses if position < pause.time < end]
        for start, stop in pairwise([position, *inside, end]):
            if stop > start:
                yield start, stop
        position = gap.end_time if gap else end
