"""The learning curve: how good a model is if it learns from fewer calls. It shows whether more calls would help."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from anemone_lib.dataset.description import Dataset
from anemone_lib.dataset.recordings import LabelledRecording, cut_annotations
from anemone_lib.errors import ConfigError
from anemone_lib.training.examples import ExamplePool, cut_examples, read_stretches
from anemone_lib.training.from_dataset import configure, learn_from
from anemone_lib.training.learning import measure_examples


@dataclass(frozen=True)
class CurvePoint:
    """How good a model is that learned from a limited number of calls of each class.

    Attributes
    ----------
    n_calls : int, of each class; a class with fewer has all that there are
    start_from : str, "shipped", the path of a bundle, or "none"
    part : str, of the split, that the model was measured on
    average_precision : dict of class to average precision of the windows; None where the part holds none
    """

    n_calls: int
    start_from: str
    part: str
    average_precision: dict[str, float | None]


def trace_learning_curve(
    dataset: Dataset,
    recordings: Sequence[LabelledRecording],
    numbers: Sequence[int],
    *,
    starts: Sequence[str | None] = ("shipped", None),
    epochs: int = 12,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[CurvePoint]:
    """Train again with few calls a class, and with all, and measure each model on the same windows.

    Parameters
    ----------
    dataset : Dataset
    recordings : sequence of LabelledRecording
    numbers : sequence of int > 0, calls of each class, which are drawn at random
        Numbers that no class reaches are left out.
    starts : sequence of values of `start_from`, as of `anemone_lib.training.learning.learn`
    epochs, seed : as there
    progress : callable (done, total), optional

    Returns
    -------
    points : list of CurvePoint, by number, the last ones with all calls
        Of single networks, one draw and one seed; measured on the test part, or on the validation part where there is
        no other.

    Raises
    ------
    ConfigError
        A number below 1, or no recording of the train part.
    """
    if few := [number for number in numbers if number < 1]:
        raise ConfigError(
            f"{few[0]} calls of each class are too few to learn from; give numbers from 1, like 5, 10, 20"
        )
    config = configure(dataset, recordings)
    part = "test" if any("test" in one.spans for one in recordings) else "validation"
    test = cut_examples(read_stretches(recordings, part, config), config, most=20_000)
    validation = cut_examples(read_stretches(recordings, "validation", config), config)
    counts = [sum(one.count_calls("train")[name] for one in recordings) for name in dataset.calls]
    points: list[CurvePoint] = []
    drawn = [*sorted({number for number in numbers if number < max(counts)}), max(counts)]
    for number in drawn:
        stretches = read_stretches(keep_calls(recordings, number, seed=seed), "train", config)
        if not stretches:
            raise ConfigError("no recording is in the train part; say in dataset.yaml which recordings are")
        pool = ExamplePool(stretches, config)
        for start in starts:
            learning = learn_from(pool, validation, config, start_from=start, members=1, epochs=epochs, seed=seed)
            found = measure_examples(learning.model, test, config.classes)
            points.append(CurvePoint(number, start or "none", part, found))
            if progress:
                progress(len(points), len(drawn) * len(starts))
    return points


def keep_calls(recordings: Sequence[LabelledRecording], number: int, *, seed: int) -> list[LabelledRecording]:
    """Keep `number` calls of each class in the train part; its other calls are marked as unclear.

    Parameters
    ----------
    recordings : sequence of LabelledRecording
    number : int > 0; a class with fewer keeps all
    seed : int, of the random choice

    Returns
    -------
    recordings : list of LabelledRecording, unchanged outside of the train part
    """
    rng = np.random.default_rng(seed)
    places: dict[str, list[tuple[int, int]]] = {}
    for k, one in enumerate(recordings):
        start, end = one.spans.get("train", (0.0, 0.0))
        for j, call in enumerate(one.annotations):
            if call.start_time < end and call.end_time > start:
                places.setdefault(call.label, []).append((k, j))
    dropped = {
        own[int(i)] for own in (places[name] for name in sorted(places)) for i in rng.permutation(len(own))[number:]
    }
    fewer = []
    for k, one in enumerate(recordings):
        start, end = one.spans.get("train", (0.0, 0.0))
        gone = [call for j, call in enumerate(one.annotations) if (k, j) in dropped]
        kept = [call for j, call in enumerate(one.annotations) if (k, j) not in dropped]
        for span in ((0.0, start), (end, one.duration)):  # keep the part of a call outside of the train part
            kept += cut_annotations(gone, span)
        unclear = (*one.unclear, *cut_annotations(gone, (start, end)))
        fewer.append(replace(one, annotations=tuple(kept), unclear=unclear))
    return fewer
