"""Labelled windows of annotated recordings, to train a classifier on.

*Conventions.* A window belongs to a class if it contains at least 30 ms, or half, of one of its annotations. One pulse
at the edge of a window counts, because an isolated call of 0.1 s lies in only two or three windows and the median
filter needs it in all of them. The target class comes before the others. A window that contains less of an annotation
is unclear and left out; a window without annotation is background. Images are kept in 8 bits while training.

Sets are split by recording, never by window: windows of one recording share its hydrophone, its noise and its fish.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anemone_lib.audio.recording import Recording, open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Annotation, fold_label
from anemone_lib.errors import ConfigError, spell_count
from anemone_lib.evaluation.presence import MIN_OVERLAP_S
from anemone_lib.scoring.fit import scale_transform
from anemone_lib.scoring.images import draw_images
from anemone_lib.scoring.windows import cut_windows, lay_grid
from anemone_lib.tables.reading import read_annotations


@dataclass(frozen=True, eq=False)
class LabelledWindows:
    """Windows as images, with the class of each.

    Attributes
    ----------
    images : np.ndarray [shape=(n, height_pixels, width_pixels, channels)], uint8, 255 for 1
    labels : np.ndarray [shape=(n,)], int, index into `classes`
    recordings : np.ndarray [shape=(n,)], str, which recording a window is of
    start_times : np.ndarray [shape=(n,)], in seconds from that recording's start
    classes : tuple of str

    Examples
    --------
    >>> windows = LabelledWindows(
    ...     images=np.zeros((4, 8, 8, 1), np.uint8),
    ...     labels=np.array([0, 0, 1, 0]),
    ...     recordings=np.array(["a.wav", "a.wav", "b.wav", "b.wav"]),
    ...     start_times=np.array([0.0, 1.0, 0.0, 1.0]),
    ...     classes=("noise", "anemonefish"),
    ... )
    >>> windows.count_classes()
    {'noise': 3, 'anemonefish': 1}
    >>> train, held_out = windows.split(fraction=0.5)
    >>> len(train), len(held_out)
    (2, 2)
    """

    images: np.ndarray
    labels: np.ndarray
    recordings: np.ndarray
    start_times: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: np.ndarray) -> "LabelledWindows":
        """Return some of the windows, by index or by mask."""
        return LabelledWindows(
            self.images[chosen], self.labels[chosen], self.recordings[chosen], self.start_times[chosen], self.classes
        )

    def count_classes(self) -> dict[str, int]:
        """Number of windows by class."""
        numbers = np.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))

    def split(self, *, fraction: float = 0.2, seed: int = 0) -> tuple["LabelledWindows", "LabelledWindows"]:
        """Split by recording.

        Parameters
        ----------
        fraction : float in (0, 1), part of the recordings that is held out, at least one
        seed : int

        Returns
        -------
        train, held_out : LabelledWindows

        Raises
        ------
        ConfigError
            All windows are of one recording.
        """
        names = np.unique(self.recordings)
        if len(names) < 2:
            raise ConfigError(
                f"{spell_count(len(names), 'recording')} cannot be split, because the windows of one recording are not "
                "independent; give two or more"
            )
        n_held = min(len(names) - 1, max(1, round(fraction * len(names))))
        apart = np.isin(self.recordings, np.random.default_rng(seed).permutation(names)[:n_held])
        return self.take(~apart), self.take(apart)


def concatenate(parts: Sequence[LabelledWindows]) -> LabelledWindows:
    """Put the windows of several recordings together.

    Examples
    --------
    >>> windows = LabelledWindows(
    ...     images=np.zeros((4, 8, 8, 1), np.uint8),
    ...     labels=np.array([0, 0, 1, 0]),
    ...     recordings=np.array(["a.wav", "a.wav", "b.wav", "b.wav"]),
    ...     start_times=np.array([0.0, 1.0, 0.0, 1.0]),
    ...     classes=("noise", "anemonefish"),
    ... )
    >>> len(concatenate([windows, windows]))
    8
    """
    if not parts:
        raise ConfigError("there are no windows to put together; give at least one recording")
    if len({part.classes for part in parts}) > 1:
        raise ConfigError(f"the recordings were labelled for different classes: {[p.classes for p in parts]}")
    return LabelledWindows(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.recordings for part in parts]),
        np.concatenate([part.start_times for part in parts]),
        parts[0].classes,
    )


# ---------------------------------------------------------------------- windows and their classes


def label_windows(
    annotations: Sequence[Annotation],
    *,
    start_times: np.ndarray,
    end_times: np.ndarray,
    classes: Sequence[str],
    target_class: str = "anemonefish",
    background_class: str = "noise",
    label_classes: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Find the class of every window; see the module's conventions.

    Parameters
    ----------
    annotations : sequence of Annotation
    start_times, end_times : np.ndarray [shape=(n_windows,)], in seconds, ascending
    classes : names, in the order of the model's outputs
    target_class, background_class : of `classes`
    label_classes : mapping, optional
        The class of each label that is not the name of a class, like ``{"pulse_train": "biological"}``.

    Returns
    -------
    labels : np.ndarray [shape=(n_windows,)], int
        Index into `classes`; -1 where it is unclear.

    Raises
    ------
    ConfigError
        A label that belongs to no class.
    """
    order = [*(c for c in classes if c not in (target_class, background_class)), target_class]
    known = {fold_label(name): name for name in classes}
    known |= {fold_label(label): name for label, name in (label_classes or {}).items()}
    labels = np.full(len(start_times), list(classes).index(background_class))
    touched = np.zeros(len(start_times), bool)
    present = {name: np.zeros(len(start_times), bool) for name in classes}
    for annotation in annotations:
        name = known.get(fold_label(annotation.label))
        if name not in present:
            raise ConfigError(
                f"label {annotation.label!r} at {annotation.start_time:.2f} s belongs to no class "
                f"({', '.join(classes)}); say which it is: label_classes={{{annotation.label!r}: 'biological'}}"
            )
        if name == background_class:
            continue
        first = np.searchsorted(end_times, annotation.start_time, side="right")
        last = np.searchsorted(start_times, annotation.end_time)
        overlap = np.minimum(end_times[first:last], annotation.end_time)
        overlap = overlap - np.maximum(start_times[first:last], annotation.start_time)
        needed = min(MIN_OVERLAP_S, 0.5 * (annotation.end_time - annotation.start_time))
        present[name][first:last] |= overlap >= needed - 1e-9
        touched[first:last] = True
    labels[touched] = -1
    for name in order:
        labels[present[name]] = list(classes).index(name)
    return labels


def cut_labelled_windows(
    recording: Recording,
    annotations: Sequence[Annotation],
    config: InferenceConfig,
    *,
    channels: int = 1,
    transform_sr: int | None = None,
    max_windows: int | None = 4000,
    label_classes: Mapping[str, str] | None = None,
    seed: int = 0,
) -> LabelledWindows:
    """Cut an annotated recording into labelled windows.

    Parameters
    ----------
    recording : Recording
        Annotated from start to end: a window without annotation is taken for background.
    annotations : sequence of Annotation
    config : InferenceConfig
        Its score-deciding settings, `classes` and `target_class` are read.
    channels : int, 1 or 3
    transform_sr : int > 0, in Hz, optional
        The rate that ``n_fft`` and ``hop_length`` are for (`ModelCard.transform_sr`): that of the model to start from.
    max_windows : int > 0, or None
        The most windows, drawn at random, as evenly over the classes as there are windows; 4000 images take 260 MB.
    label_classes : mapping, optional
        As for `label_windows`.
    seed : int

    Returns
    -------
    windows : LabelledWindows
        Without windows that are unclear or not wholly readable.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import InferenceConfig, open_recording
    >>> with open_recording(path) as recording:
    ...     windows = cut_labelled_windows(recording, truth, InferenceConfig())
    >>> windows.images.shape[1:], sum(windows.count_classes().values()) == len(windows)
    ((256, 256, 1), True)
    """
    grid = lay_grid(recording.n_samples, sample_rate=recording.sample_rate, **config.grid_settings)
    labels = label_windows(
        annotations,
        start_times=grid.start_times,
        end_times=grid.end_times,
        classes=config.classes,
        target_class=config.target_class,
        background_class=find_background(config),
        label_classes=label_classes,
    )
    chosen = choose_windows(labels, max_windows, np.random.default_rng(seed))
    seen = scale_transform(config, recording.sample_rate, transform_sr=transform_sr)
    images = []
    for k in chosen:
        start, stop = grid.find_samples(k, k + 1)
        samples = recording.read(start, stop)
        window = cut_windows(
            samples, n_windows=1, window_samples=grid.window_samples, stride_samples=grid.stride_samples
        )
        images.append(draw_bytes(window, recording.sample_rate, seen, channels) if np.isfinite(samples).all() else None)
    kept = [i for i, image in enumerate(images) if image is not None]
    return LabelledWindows(
        np.concatenate([images[i] for i in kept]) if kept else _make_no_images(config, channels),
        labels[chosen[kept]],
        np.full(len(kept), recording.name),
        grid.start_times[chosen[kept]],
        config.classes,
    )


def cut_annotated_files(
    files: Iterable[Sequence[str | os.PathLike[str]]],
    config: InferenceConfig,
    *,
    channel: int | str = "mean",
    label_column: str | None = None,
    channels: int = 1,
    transform_sr: int | None = None,
    max_windows: int | None = 4000,
    label_classes: Mapping[str, str] | None = None,
    seed: int = 0,
) -> list[LabelledWindows]:
    """Cut annotated recordings, as they lie in a folder, into labelled windows.

    Parameters
    ----------
    files : pairs of (recording, table of annotations), as `anemone_lib.tables.pair_tables` gives them
    config : InferenceConfig
        Its target class is the label of all annotations of a table that has no labels.
    channel : int or str, which of several hydrophones, as for `anemone_lib.open_recording`
    label_column : str, optional
        Column of the tables with the labels, if its name is unusual.
    channels, transform_sr, max_windows, label_classes, seed
        As for `cut_labelled_windows`.

    Returns
    -------
    windows : list of LabelledWindows, one for each recording

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_dataset
    >>> pairs = write_dataset(mkdtemp(), n_recordings=2, duration=5, sample_rate=8000)
    >>> [len(windows) for windows in cut_annotated_files(pairs, InferenceConfig(), max_windows=4)]
    [4, 4]
    """
    parts = []
    for path, table in files:
        with open_recording(path, target_sr=config.target_sr, channel=channel) as recording:
            annotations = read_annotations(
                table, label=config.target_class, label_column=label_column, recording_name=Path(path).name
            )
            parts.append(
                cut_labelled_windows(
                    recording,
                    annotations,
                    config,
                    channels=channels,
                    transform_sr=transform_sr,
                    max_windows=max_windows,
                    label_classes=label_classes,
                    seed=seed,
                )
            )
    return parts


def choose_windows(labels: np.ndarray, most: int | None, rng: np.random.Generator) -> np.ndarray:
    """Return the indices of clear windows, at most `most`, in turn from each class."""
    clear = np.flatnonzero(labels >= 0)
    if most is None or len(clear) <= most:
        return clear
    shuffled = rng.permutation(clear)
    rank = np.zeros(len(shuffled))
    for k in np.unique(labels[clear]):
        of_class = labels[shuffled] == k
        rank[of_class] = np.arange(of_class.sum())
    return np.sort(shuffled[np.argsort(rank, kind="stable")[:most]])


def find_background(config: InferenceConfig) -> str:
    """Return the class of windows without annotation: ``noise``, or the first class that is not the target."""
    return "noise" if "noise" in config.classes else next(c for c in config.classes if c != config.target_class)


def draw_bytes(windows: np.ndarray, sample_rate: int, config: InferenceConfig, channels: int) -> np.ndarray:
    """Draw the images of windows in 8 bits [shape=(n, height_pixels, width_pixels, channels)]."""
    images = draw_images(
        windows,
        sample_rate=sample_rate,
        **config.image_settings,
        channels=channels,
    )
    return np.round(images * 255).astype(np.uint8)


def _make_no_images(config: InferenceConfig, channels: int) -> np.ndarray:
    return np.zeros((0, config.height_pixels, config.width_pixels, channels), np.uint8)
