"""Recording × classifier → scores, in chunks.

`plan` cuts the grid of windows into chunks, `score_chunk` scores one, `merge` puts them together. All three are pure
and deterministic, and the result does not depend on how the recording was cut: N chunks equal one chunk bit for bit.
So any `concurrent.futures.Executor` can do the work (threads, processes, ``dask.distributed.Client.get_executor()``,
the tasks of a state machine), a stopped run resumes where it was, and a chunk that fails becomes a gap with a reason.

Scores do not depend on the event settings. `decide_events` finds the events in scores in milliseconds.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor, as_completed

import numpy as np

from anemone_lib.audio.recording import Recording
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import AudioError, ConfigError, ScoresError
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.condition import LOST, N_MEASURES, describe_condition, describe_rates, measure
from anemone_lib.scoring.coverage import cut_moved_windows, find_gaps
from anemone_lib.scoring.fit import check_fit, choose_config, choose_transform  # noqa: F401 found here, too
from anemone_lib.scoring.scores import Chunk, ChunkScores, ScoreCache, Scores, forget_use, name_scores, recall_use
from anemone_lib.scoring.sight import classify_windows
from anemone_lib.scoring.windows import cut_windows, lay_grid

#: Windows in a chunk, at most: 51 s of audio at the usual stride, 10 MB at 48 kHz.
CHUNK_WINDOWS = 128


#: A short recording is cut into about so many chunks, so that all cores end at about the same time; and the fewest
#: windows in a chunk: smaller chunks cost more, because the windows of one chunk share their frames.
SHARED_BY, MIN_CHUNK_WINDOWS = 24, 16


Progress = Callable[[int, int], None]


# ---------------------------------------------------------------------- the three steps


def plan(recording: Recording, config: InferenceConfig, *, chunk_windows: int | None = None) -> list[Chunk]:
    """Cut a recording's windows into chunks.

    Parameters
    ----------
    recording : Recording
    config : InferenceConfig
    chunk_windows : int > 0, optional
        Windows in a chunk; the result does not depend on it. By default `CHUNK_WINDOWS`, fewer in a short recording.

    Returns
    -------
    chunks : list of Chunk, together every window once

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import open_recording
    >>> recording = open_recording(path)
    >>> [(chunk.first, chunk.stop) for chunk in plan(recording, InferenceConfig(), chunk_windows=10)]
    [(0, 10), (10, 20), (20, 24)]
    >>> recording.close()
    """
    n_windows = lay_grid(recording.n_samples, sample_rate=recording.sample_rate, **config.grid_settings).n_windows
    if chunk_windows is None:
        chunk_windows = share_windows(n_windows)
    return [
        Chunk(index, first, min(n_windows, first + chunk_windows))
        for index, first in enumerate(range(0, n_windows, chunk_windows))
    ]


def share_windows(n_windows: int) -> int:
    """Choose how many windows a chunk has, so that the cores can share them.

    A multiple of `MIN_CHUNK_WINDOWS`: then most of the batches that are drawn at once are full.

    >>> [share_windows(n) for n in (20, 149, 1499, 8999)]
    [16, 16, 64, 128]
    """
    return min(CHUNK_WINDOWS, MIN_CHUNK_WINDOWS * max(1, -(-n_windows // (SHARED_BY * MIN_CHUNK_WINDOWS))))


def score_chunk(
    recording: Recording,
    chunk: Chunk,
    classifier: Classifier,
    config: InferenceConfig,
    *,
    listen: Callable[[int, np.ndarray], None] | None = None,
) -> ChunkScores:
    """Score the windows of one chunk.

    Parameters
    ----------
    recording : Recording
    chunk : Chunk, from `plan`
    classifier : Classifier
    config : InferenceConfig
    listen : callable (start, samples), optional
        Gets the samples of the chunk, up to the next chunk, for other measures, so that nothing is read twice.

    Returns
    -------
    scored : ChunkScores
        NaN in the rows of windows that contain lost samples and cannot be moved away from them: see
        `anemone_lib.scoring.coverage`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import open_recording
    >>> recording = open_recording(path)
    >>> from anemone_lib.scoring import load_classifier
    >>> chunk = plan(recording, InferenceConfig(), chunk_windows=10)[0]
    >>> score_chunk(recording, chunk, load_classifier(), InferenceConfig()).probabilities.shape
    (10, 3)
    >>> recording.close()
    """
    grid = lay_grid(recording.n_samples, sample_rate=recording.sample_rate, **config.grid_settings)
    n_windows = chunk.stop - chunk.first
    begin, end = grid.find_samples(chunk.first, chunk.stop)
    samples = recording.read(begin, end)
    # A window's own samples are those up to the next window: together they are the recording.
    own = samples if chunk.stop == grid.n_windows else samples[: n_windows * grid.stride_samples]
    if listen is not None:
        listen(begin, own)
    measures = measure(own, n_windows, grid.stride_samples)
    whole = not measures[:, LOST].any() and not np.isnan(samples[len(own) :]).any()
    if whole:
        windows = cut_windows(
            samples,
            n_windows=n_windows,
            window_samples=grid.window_samples,
            stride_samples=grid.stride_samples,
        )
        rows = np.arange(n_windows)
    else:
        windows, rows = cut_moved_windows(recording, chunk.first, chunk.stop, grid)
    probabilities = np.full((n_windows, classifier.n_classes), np.nan, np.float32)
    probabilities[rows] = classify_windows(windows, classifier, config, sample_rate=grid.sample_rate)
    return ChunkScores(probabilities, measures)


def merge(
    results: Mapping[Chunk, ChunkScores | str],
    *,
    recording: Recording,
    classifier: Classifier,
    config: InferenceConfig,
    sha256: str = "",
) -> Scores:
    """Put scored chunks together; missing chunks become gaps with their reasons.

    Parameters
    ----------
    results : for every chunk of the plan, the result of `score_chunk`, or the reason in words why there is none
    recording, classifier, config : as in `score_chunk`
    sha256 : str
        SHA-256 of the recording's bytes, if it is known.

    Returns
    -------
    scores : Scores

    Raises
    ------
    ScoresError
        Windows are missing without a reason, or the probabilities of a chunk have a wrong shape.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import open_recording
    >>> recording = open_recording(path)
    >>> from anemone_lib.scoring import load_classifier
    >>> classifier, config = load_classifier(), InferenceConfig()
    >>> chunks = plan(recording, config, chunk_windows=10)
    >>> results = {chunk: score_chunk(recording, chunk, classifier, config) for chunk in chunks}
    >>> scores = merge(results, recording=recording, classifier=classifier, config=config)
    >>> whole = score_recording(recording, classifier, config)
    >>> bool((scores.probabilities == whole.probabilities).all())
    True
    >>> recording.close()
    """
    grid = lay_grid(recording.n_samples, sample_rate=recording.sample_rate, **config.grid_settings)
    probabilities = np.full((grid.n_windows, classifier.n_classes), np.nan, np.float32)
    measures = np.full((grid.n_windows, N_MEASURES), np.nan, np.float32)
    reasons = np.full(grid.n_windows, "", object)
    position = 0
    for chunk in sorted(results, key=lambda chunk: chunk.first):
        result = results[chunk]
        if chunk.first != position:
            raise ScoresError(f"windows {position} to {chunk.first} are in no chunk; score them first")
        if isinstance(result, str):
            reasons[chunk.first : chunk.stop] = result
        elif result.probabilities.shape != (chunk.stop - chunk.first, classifier.n_classes):
            raise ScoresError(
                f"chunk {chunk.index} has probabilities of shape {result.probabilities.shape}; score it again"
            )
        else:
            probabilities[chunk.first : chunk.stop] = result.probabilities
            measures[chunk.first : chunk.stop] = result.measures
        position = chunk.stop
    if position != grid.n_windows:
        raise ScoresError(f"windows {position} to {grid.n_windows} are in no chunk; score them first")
    return Scores(
        probabilities=probabilities,
        classes=config.classes,
        grid=grid,
        skipped=tuple(find_gaps(recording, probabilities, measures, reasons, grid)),
        recording_name=recording.name,
        recording_sha256=sha256,
        start_time=recording.start_time,
        model_sha256=classifier.sha256,
        model_version=classifier.version,
        scores_fingerprint=config.scores_fingerprint,
        warnings=(
            *recording.warnings,
            *describe_condition(measures, grid.start_times, grid.n_samples / grid.sample_rate),
            *describe_rates(
                recording.sample_rate,
                original_rate=recording.original_sample_rate,
                n_fft=choose_transform(config, classifier, sample_rate=recording.sample_rate).n_fft,
                trained_sr=_read_rate(classifier),
            ),
        ),
        channel=recording.channel_read,
        n_channels=recording.channels,
        pauses=recording.pauses,
    )


def score_recording(
    recording: Recording,
    classifier: Classifier,
    config: InferenceConfig,
    *,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    shard: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
) -> Scores:
    """Score a recording, in chunks, by as many workers as the executor has.

    Parameters
    ----------
    recording : Recording
    classifier : Classifier
    config : InferenceConfig
    executor : concurrent.futures.Executor, optional
        By default threads, one a core. Processes and other machines open the recording and the model by address.
    cache : path of a folder, optional
        Finished chunks are kept there until all are done, the scores from then on, under a name made of the
        recording's and the model's SHA-256 and the settings that decide them; a second call resumes or returns them.
    shard : (i, n)
        Score only every n-th chunk from the i-th, into the cache; a later call without it puts them together.
    progress : callable (done, total), optional
        Called in this thread after every chunk.

    Returns
    -------
    scores : Scores
        With a shard, the chunks of other shards that are not in the cache yet are gaps.

    Raises
    ------
    ModelError, ConfigError
        The model, the settings and the recording do not fit together.
    ScoresError
        A worker was killed; what was finished is in the cache, if there is one.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import open_recording
    >>> recording = open_recording(path)
    >>> from anemone_lib.scoring import load_classifier
    >>> scores = score_recording(recording, load_classifier(), InferenceConfig())
    >>> scores.probabilities.shape, scores.classes
    ((24, 3), ('noise', 'anemonefish', 'biological'))
    >>> recording.close()
    """
    check_fit(classifier, config)
    if config.target_sr and recording.sample_rate != config.target_sr:
        raise ConfigError(
            f"target_sr is {config.target_sr}, the recording was opened at {recording.sample_rate} Hz; "
            "open it with open_recording(source, target_sr=config.target_sr)"
        )
    store = None
    if cache is not None:
        store = ScoreCache(cache, name_recording_scores(recording, classifier, config))
    if store and (done := store.load_scores()):
        return recall_use(done, recording.name, recording.start_time, recording.warnings)
    chunks = plan(recording, config)
    results: dict[Chunk, ChunkScores | str] = {}
    for chunk in chunks:
        if store and (kept := store.load_chunk(chunk, classifier.n_classes)) is not None:
            results[chunk] = kept
    todo = [chunk for chunk in chunks[shard[0] :: shard[1]] if chunk not in results]
    for chunk, result in _score_each(recording, todo, classifier, config, executor):
        results[chunk] = result
        if store and not isinstance(result, str):
            store.keep(chunk, result)
        if progress:
            progress(len(results), len(chunks))
    missing = [chunk for chunk in chunks if chunk not in results]
    results.update(dict.fromkeys(missing, "not scored yet: it is another shard's"))
    scores = merge(
        results,
        recording=recording,
        classifier=classifier,
        config=config,
        sha256=recording.sha256 if store else "",
    )
    if store and not any(isinstance(result, str) for result in results.values()):
        store.finish(forget_use(scores, recording.warnings))
    return scores


def name_recording_scores(recording: Recording, classifier: Classifier, config: InferenceConfig) -> str:
    """Name the scores of an open recording, as a cache does; its SHA-256 is found for it."""
    channel = "mean" if recording.channels == 1 else recording.channel_read
    return name_scores(recording.sha256, classifier.sha256, config.scores_fingerprint, channel)


def _read_rate(classifier: Classifier) -> int | None:
    """The sample rate that a model was trained at, in Hz, where its card names one."""
    rate = classifier.card.settings.get("target_sr") if classifier.card else None
    return int(rate) if rate else None


def _score_each(
    recording: Recording,
    chunks: Sequence[Chunk],
    classifier: Classifier,
    config: InferenceConfig,
    executor: Executor | None,
) -> Iterator[tuple[Chunk, ChunkScores | str]]:
    """Yield every chunk's result as it is ready."""
    if not chunks:
        return
    own = None
    if executor is None:
        executor = own = ThreadPoolExecutor(min(len(chunks), os.cpu_count() or 1), "anemone")
    try:
        futures = {executor.submit(score_chunk, recording, chunk, classifier, config): chunk for chunk in chunks}
        for future in as_completed(futures):
            chunk = futures.pop(future)
            try:
                yield chunk, future.result()
            except AudioError as error:
                yield chunk, str(error)
            except BrokenExecutor as error:
                raise ScoresError(
                    f"a worker died while it scored {recording.name} ({error}); with a cache, "
                    "calling again resumes after the last finished chunk"
                ) from None
    finally:
        if own:
            own.shutdown(cancel_futures=True)
