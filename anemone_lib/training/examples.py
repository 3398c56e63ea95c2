"""Labelled audio to learn from: stretches of recordings, and windows that are drawn again for every epoch.

*Conventions.* No window is thrown away: every moment of the audio may start a window, and rare classes are drawn more
often. Classes, and recordings within a class, are drawn in proportion to the square root of their numbers. A drawn
window is moved by up to a few hundredths of a second, mixed with another window or with background of the same
recordings (the labels of both count, if the other is not much softer), and loses a stripe of time or frequency
(SpecAugment; Park et al. 2019). Contrast is varied, because it differs between recorders; loudness is not, because
images do not show it. The label of a call is graded by how near the call is to the middle of the window
(`grade_presence`).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anemone_lib.audio.channels import Channel
from anemone_lib.audio.recording import open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.detection.events import Annotation
from anemone_lib.errors import ConfigError
from anemone_lib.evaluation.presence import grade_presence, mark_presence
from anemone_lib.scoring.images import draw_images
from anemone_lib.scoring.windows import lay_grid

#: Time between two places where a window may start, before it is moved, in windows.
STEP = 0.05
#: Part of the windows drawn that hold background alone, where there is some.
BACKGROUND_PART = 0.4
#: Part of the windows that another one is mixed with.
MIXED_PART = 0.5
#: The contrast of an image is multiplied by e to the power of a random number, evenly between minus and plus this one.
#:
#: `anemone_lib.training.fitting` varies contrast and hides stripes in another way. It keeps reduced windows only (an
#: eighth of the memory of images), and in those each row has a mean of 0: there 0 hides a stripe, and multiplying alone
#: changes contrast. Here, whole images are drawn again for every epoch, and a stripe gets the mean of its rows. The
#: amounts differ, because the published measures of each way of training were made with its own.
CONTRAST = 0.35


@dataclass(frozen=True, eq=False)
class Stretch:
    """A stretch of labelled audio.

    Attributes
    ----------
    recording, group : str, names
    samples : np.ndarray [shape=(n,)], float32, NaN where it could not be read
    sample_rate : int, in Hz
    annotations, unclear : tuple of Annotation, in seconds from the stretch's start
    """

    recording: str
    group: str
    samples: np.ndarray
    sample_rate: int
    annotations: tuple[Annotation, ...]
    unclear: tuple[Annotation, ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


def read_stretches(recordings: Sequence[LabelledRecording], part: str, config: InferenceConfig) -> list[Stretch]:
    """Read the audio of one part of a split.

    Parameters
    ----------
    recordings : sequence of LabelledRecording
    part : "train", "validation" or "test"
    config : InferenceConfig, whose `target_sr` is read

    Returns
    -------
    stretches : list of Stretch, one a recording that has some of that part

    Raises
    ------
    ConfigError
        The recordings have different rates and no `target_sr` makes them alike.
    """
    stretches: list[Stretch] = []
    for one in recordings:
        if part not in one.spans:
            continue
        start, end = one.spans[part]
        with open_recording(one.path, target_sr=config.target_sr, channel=one.channel) as audio:
            first, stop = round(start * audio.sample_rate), min(audio.n_samples, round(end * audio.sample_rate))
            samples, rate = audio.read(first, stop), audio.sample_rate
        if stretches and stretches[0].sample_rate != rate:
            raise ConfigError(
                f"{one.name} has {rate} Hz, {stretches[0].recording} {stretches[0].sample_rate} Hz; set target_sr, "
                "so that all give the same picture"
            )
        own, unclear = (_cut(calls, start, end) for calls in (one.annotations, one.unclear))
        stretches.append(Stretch(one.name, one.group, samples, rate, own, unclear))
    return stretches


def read_quiet(
    paths: Sequence[str | os.PathLike[str]], *, target_sr: int | None = None, channel: Channel = "mean"
) -> list[Stretch]:
    """Read recordings without calls, whole.

    Parameters
    ----------
    paths : sequence of paths
    target_sr : int > 0, in Hz, or None, as for `anemone_lib.open_recording`
    channel : int or str, as for `anemone_lib.open_recording`

    Returns
    -------
    stretches : list of Stretch, each a group of its own
    """
    stretches = []
    for path in paths:
        with open_recording(path, target_sr=target_sr, channel=channel) as audio:
            samples = audio.read(0, audio.n_samples)
            stretches.append(Stretch(audio.name, Path(path).stem, samples, audio.sample_rate, ()))
    return stretches


def _cut(annotations: Sequence[Annotation], start: float, end: float) -> tuple[Annotation, ...]:
    return tuple(
        Annotation(max(0.0, one.start_time - start), min(end, one.end_time) - start, one.label, one.low_hz, one.high_hz)
        for one in annotations
        if one.start_time < end and one.end_time > start
    )


@dataclass(frozen=True, eq=False)
class Examples:
    """Windows, and the classes in each of them.

    Attributes
    ----------
    images : np.ndarray [shape=(n, height_pixels, width_pixels, channels)], float32 in [0, 1]
        Or embeddings [shape=(n, n_features)].
    present, known : np.ndarray [shape=(n, n_classes)], bool, as of `anemone_lib.evaluation.presence.mark_presence`
        Of windows drawn to learn from, `present` is graded, float32.
    """

    images: np.ndarray
    present: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def cut_examples(
    stretches: Sequence[Stretch],
    config: InferenceConfig,
    *,
    most: int = 6000,
    channels: int = 1,
    seed: int = 0,
    see: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Examples:
    """Cut stretches into the windows of the configuration's grid, as detection does.

    Parameters
    ----------
    stretches : sequence of Stretch
    config : InferenceConfig
    most : int > 0
        The most windows; others are left out at random. For validation.
    channels : int, 1 or 3
    seed : int
    see : callable, optional
        Turns windows [shape=(n, window_samples)] into the content of `images`; by default images are drawn.

    Returns
    -------
    examples : Examples
    """
    windows, present, known = [], [], []
    for one in stretches:
        if len(one.samples) == 0:
            continue
        grid = lay_grid(len(one.samples), sample_rate=one.sample_rate, **config.grid_settings)
        there, sure = mark_presence(
            one.annotations,
            start_times=grid.start_times,
            end_times=grid.end_times,
            classes=config.classes,
            unclear=one.unclear,
        )
        padded = np.pad(one.samples, (0, grid.window_samples))
        windows += [padded[k * grid.stride_samples :][: grid.window_samples] for k in range(grid.n_windows)]
        present.append(there)
        known.append(sure)
    if not windows:
        empty = np.zeros((0, len(config.classes)), bool)
        return Examples(np.zeros((0, config.height_pixels, config.width_pixels, channels), np.float32), empty, empty)
    there, sure = np.concatenate(present), np.concatenate(known)
    chosen = np.array([k for k, window in enumerate(windows) if np.isfinite(window).all()], int)
    if len(chosen) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, most, replace=False))
    kept = [windows[k] for k in chosen]
    if see is None:
        return Examples(_draw(kept, stretches[0].sample_rate, config, channels), there[chosen], sure[chosen])
    return Examples(see(np.array(kept)), there[chosen], sure[chosen])


class ExamplePool:
    """Every window that may be drawn from stretches, by the classes in it.

    Parameters
    ----------
    stretches : sequence of Stretch, of one rate
    config : InferenceConfig
    background : sequence of Stretch, more audio without calls, optional

    Attributes
    ----------
    counts : dict of class to windows that may be drawn, which overlap
    """

    def __init__(
        self, stretches: Sequence[Stretch], config: InferenceConfig, *, background: Sequence[Stretch] = ()
    ) -> None:
        self._stretches, self._config = [*stretches, *background], config
        self._sample_rate = self._stretches[0].sample_rate
        self._window = max(1, round(config.window_duration * self._sample_rate))
        self._levels = [_measure_level(one) for one in self._stretches]
        classes = config.classes
        owners, starts, present, known = [], [], [], []
        for k, one in enumerate(self._stretches):
            step = max(1, round(STEP * self._window))
            first = np.arange(0, max(1, len(one.samples) - self._window + 1), step)
            broken = np.concatenate([[0], np.cumsum(~np.isfinite(one.samples))])
            first = first[broken[np.minimum(first + self._window, len(one.samples))] == broken[first]]
            there, sure = self._mark(k, first)
            owners.append(np.full(len(first), k))
            starts.append(first)
            present.append(there)
            known.append(sure)
        self._owners, self._starts = np.concatenate(owners), np.concatenate(starts)
        self._present, self._known = np.concatenate(present), np.concatenate(known)
        self._places = [
            np.flatnonzero(self._present[:, k] & (self._known[:, k] if k == 0 else True)) for k in range(len(classes))
        ]
        self._odds = [self._weigh(places) for places in self._places]
        self.counts = {name: len(places) for name, places in zip(classes, self._places, strict=True)}

    def _mark(self, owner: int, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        one = self._stretches[owner]
        return mark_presence(one.annotations, unclear=one.unclear, **self._lay(first))

    def _grade(self, owner: int, first: np.ndarray, present: np.ndarray) -> np.ndarray:
        return grade_presence(self._stretches[owner].annotations, present, **self._lay(first))

    def _lay(self, first: np.ndarray) -> dict[str, Any]:
        """Return the windows that start at some samples, and the classes, as options of `mark_presence`."""
        start = first / self._sample_rate
        end = start + self._window / self._sample_rate
        return {"start_times": start, "end_times": end, "classes": self._config.classes}

    def _weigh(self, places: np.ndarray) -> np.ndarray:
        """Return how often each place of a class is drawn: a recording by the square root of its number of places."""
        if len(places) == 0:
            return np.zeros(0)
        _, inverse, numbers = np.unique(self._owners[places], return_inverse=True, return_counts=True)
        odds = (numbers**-0.5)[inverse]
        return odds / odds.sum()

    def draw(self, n: int, rng: np.random.Generator, *, channels: int = 1) -> Examples:
        """Draw new windows; see the module's conventions.

        Parameters
        ----------
        n : int > 0
        rng : np.random.Generator
        channels : int, 1 or 3

        Returns
        -------
        examples : Examples
        """
        windows, present, known = self.draw_windows(n, rng)
        images = _draw(windows, self._sample_rate, self._config, channels)
        _hide_stripes(images, rng)
        _vary_contrast(images, rng)
        return Examples(images, present, known)

    def draw_windows(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw new windows, as sound.

        Returns
        -------
        windows : np.ndarray [shape=(n, window_samples)], float32
        present : np.ndarray [shape=(n, n_classes)], float32, graded
        known : np.ndarray [shape=(n, n_classes)], bool
        """
        roots = np.sqrt([len(places) for places in self._places])
        odds = roots.copy()
        odds[0] = 0
        odds = odds / odds.sum() if odds.sum() else odds
        if roots[0]:
            odds = odds * (1 - BACKGROUND_PART)
            odds[0] = 1 - odds.sum()
        kinds = rng.choice(len(odds), n, p=odds)
        chosen = np.zeros(n, int)
        for k in np.unique(kinds):
            here = np.flatnonzero(kinds == k)
            chosen[here] = rng.choice(self._places[k], len(here), p=self._odds[k])
        windows, present, known = self._cut(chosen, rng)
        self._mix(windows, present, known, rng)
        return windows, present, known

    def _cut(self, chosen: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cut the windows at the places chosen, each moved by up to half a step."""
        n = len(chosen)
        windows = np.zeros((n, self._window), np.float32)
        present = np.zeros((n, len(self._config.classes)), np.float32)
        known = np.zeros(present.shape, bool)
        moved = self._starts[chosen] + np.round(rng.uniform(-0.5, 0.5, n) * STEP * self._window).astype(int)
        for owner in np.unique(self._owners[chosen]):
            here = np.flatnonzero(self._owners[chosen] == owner)
            samples = self._stretches[owner].samples
            first = np.clip(moved[here], 0, max(0, len(samples) - self._window))
            order = np.argsort(first, kind="stable")
            there, known[here[order]] = self._mark(int(owner), first[order])
            present[here[order]] = self._grade(int(owner), first[order], there)
            for k, start in zip(here, first, strict=True):
                window = samples[start : start + self._window]
                windows[k, : len(window)] = np.nan_to_num(window) / self._levels[owner]
        return windows, present, known

    def _mix(self, windows: np.ndarray, present: np.ndarray, known: np.ndarray, rng: np.random.Generator) -> None:
        """Add to some windows another one, in place."""
        calls = present[:, 1:]
        quiet = np.flatnonzero(~calls.any(axis=1))
        for k in np.flatnonzero(rng.random(len(windows)) < MIXED_PART):
            other = int(rng.integers(len(windows)))
            if calls[other].any() and len(quiet) and rng.random() < 0.5:
                other = int(rng.choice(quiet))
            # The classes of an added window count, because it is at most 6 dB softer.
            level_db = rng.uniform(-6, 6) if calls[other].any() else rng.uniform(-12, 4)
            windows[k] += np.float32(10 ** (level_db / 20)) * windows[other]
            calls[k] = np.maximum(calls[k], calls[other])
            known[k] &= known[other]
            known[k, 1:] |= calls[k] > 0
            present[k, 0] = 1 - calls[k].max()
            known[k, 0] |= bool(calls[k].any())


def _measure_level(one: Stretch) -> np.float32:
    """Return the median RMS of half seconds; samples are divided by it, so that recordings have one level."""
    n = max(1, round(0.5 * one.sample_rate))
    pieces = one.samples[: len(one.samples) // n * n].reshape(-1, n) if len(one.samples) >= n else one.samples[None]
    with np.errstate(invalid="ignore"):
        levels = np.sqrt(np.mean(np.square(pieces, dtype=np.float64), axis=1))
    levels = levels[np.isfinite(levels)]
    return np.float32(max(1e-9, float(np.median(levels)) if len(levels) else 1.0))


def _draw(
    windows: Sequence[np.ndarray] | np.ndarray, sample_rate: int, config: InferenceConfig, channels: int
) -> np.ndarray:
    images = np.empty((len(windows), config.height_pixels, config.width_pixels, channels), np.float32)
    for k in range(0, len(windows), 64):  # few at a time, whose memory is used again
        images[k : k + 64] = draw_images(
            np.ascontiguousarray(windows[k : k + 64], np.float32),
            sample_rate=sample_rate,
            **config.image_settings,
            channels=channels,
        )
    return images


def _hide_stripes(images: np.ndarray, rng: np.random.Generator) -> None:
    """Replace a stripe of time, of frequency, or both, by the mean of its rows, in some images, in place."""
    _, height, width, _ = images.shape
    for image in images:
        if rng.random() < 0.5:
            size = int(rng.integers(1, max(2, width // 8)))
            first = int(rng.integers(0, width - size))
            image[:, first : first + size] = image.mean(axis=1, keepdims=True)
        if rng.random() < 0.5:
            size = int(rng.integers(1, max(2, height // 6)))
            first = int(rng.integers(0, height - size))
            image[first : first + size] = image[first : first + size].mean(axis=1, keepdims=True)


def _vary_contrast(images: np.ndarray, rng: np.random.Generator) -> None:
    """Stretch the levels of every image around their mean, in place."""
    factors = np.exp(rng.uniform(-CONTRAST, CONTRAST, (len(images), 1, 1, 1))).astype(np.float32)
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    images -= mean
    images *= factors
    images += mean
    np.clip(images, 0, 1, out=images)
