"""The engine of the service: it loads the model and the settings once, and detects events before a deadline."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from time import monotonic
from typing import Any, BinaryIO

import numpy as np

from anemone_lib.audio.recording import open_recording
from anemone_lib.config import EVENT_FIELDS, InferenceConfig
from anemone_lib.detection.detections import Detections, detect
from anemone_lib.errors import ConfigError, ModelError
from anemone_lib.scoring.chunks import check_fit, choose_config
from anemone_lib.scoring.classifier import Classifier, load_classifier
from anemone_lib.scoring.windows import lay_grid
from anemone_lib.service.problems import Problem
from anemone_lib.service.settings import Settings

#: Seconds of work after which its speed is used to predict its end.
PROJECT_AFTER_S = 3.0


class Engine:
    """The model, the settings and the threads that all requests and tasks of one process share.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._loaded: tuple[Classifier, InferenceConfig] | None = None
        self.threads = ThreadPoolExecutor(os.cpu_count() or 1, "anemone-score")

    def load(self) -> tuple[Classifier, InferenceConfig]:
        """Return the model and the settings. The first call loads them.

        Returns
        -------
        classifier : Classifier
        config : InferenceConfig

        Raises
        ------
        Problem
            503: the model cannot be loaded, or the settings do not have the expected fingerprint. The next call tries
            again.
        """
        with self._lock:
            if self._loaded is None:
                try:
                    self._loaded = self._load_now()
                except ModelError as error:
                    raise Problem(503, "model_unavailable", str(error)) from error
                except ConfigError as error:
                    raise Problem(503, "misconfigured", str(error)) from error
            return self._loaded

    def _load_now(self) -> tuple[Classifier, InferenceConfig]:
        settings = self.settings
        if settings.config_problem:
            raise ConfigError(settings.config_problem)
        model: Any = settings.model or None
        if not model and settings.model_bucket:
            from anemone_lib.service.bundle import fetch_bundle

            model = fetch_bundle(settings.model_bucket, settings.model_key)
        classifier = load_classifier(model, sha256=settings.model_sha256 or None)
        config = choose_config(settings.config, classifier)
        if settings.fingerprint and settings.fingerprint != config.fingerprint:
            raise ConfigError(
                f"the settings in force have the fingerprint {config.fingerprint}, "
                f"INFERENCE_CONFIG_FINGERPRINT is {settings.fingerprint}; deploy both from one "
                "inference_config.auto.tfvars.json"
            )
        check_fit(classifier, config)
        if settings.model_version:
            classifier.version = settings.model_version
        return classifier, config

    def change_config(self, overrides: Mapping[str, Any]) -> InferenceConfig:
        """Return the settings of this service with some event settings changed.

        Parameters
        ----------
        overrides : mapping of setting to value

        Returns
        -------
        config : InferenceConfig

        Raises
        ------
        ConfigError
            A setting is unknown or decides the scores, or a value is out of range.
        """
        _, config = self.load()
        for name in overrides:
            if name not in EVENT_FIELDS:
                raise ConfigError(f"{name} cannot be set by a request; only {', '.join(EVENT_FIELDS)} can")
        return config.replace(**overrides)

    @contextmanager
    def open_detections(
        self,
        source: str | BinaryIO,
        *,
        name: str | None = None,
        timezone: str = "UTC",
        channel: str = "mean",
        overrides: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> Iterator[Detections]:
        """Detect the events of a recording. The recording stays open in the ``with`` block, so that it can be drawn.

        Parameters
        ----------
        source : path, ``s3://`` address or binary file object
        name : str, optional
            Name of the recording, if the source has none.
        timezone : str, of the clock that named the file
        channel : str, a number from 1, ``mean`` or ``loudest``
        overrides : mapping, optional
            Event settings to change.
        deadline : float, optional
            Time of `time.monotonic` in seconds at which the work must end.

        Yields
        ------
        detections : Detections

        Raises
        ------
        Problem
            413: the work cannot be finished before the deadline; 503: the model cannot be loaded.
        AudioError, ConfigError
        """
        classifier, _ = self.load()
        config = self.change_config(overrides or {})
        recording = open_recording(source, target_sr=config.target_sr, timezone=timezone, name=name, channel=channel)
        with recording, Share(self.threads) as share:
            guard = _Guard(
                classifier,
                lay_grid(recording.n_samples, sample_rate=recording.sample_rate, **config.grid_settings).n_windows,
                deadline,
            )
            yield detect(recording, config=config, classifier=guard, executor=share)


class Share(Executor):
    """An executor for one task, on threads that many tasks share.

    When it shuts down, everything that it submitted is done or cancelled.

    Parameters
    ----------
    threads : concurrent.futures.Executor
    """

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._futures: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function on one of the threads."""
        future = self._threads.submit(fn, *args, **kwargs)
        self._futures.append(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Cancel the calls that have not begun and wait for the others. After that no thread reads the recording."""
        for future in self._futures:
            future.cancel()
        wait_for(self._futures)


class _Guard:
    """A classifier that raises a Problem (413) when the work cannot be finished before the deadline."""

    def __init__(self, classifier: Classifier, n_windows: int, deadline: float | None) -> None:
        self._classifier = classifier
        self.card, self.sha256, self.version = classifier.card, classifier.sha256, classifier.version
        self.input_shape, self.n_classes = classifier.input_shape, classifier.n_classes
        self._n_windows, self._deadline = n_windows, deadline
        self._problem: Problem | None = None
        self._began, self._done, self._lock = monotonic(), 0, threading.Lock()

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the classifier's answer, or raise a Problem (413)."""
        if self._problem:  # the other threads stop, too
            raise self._problem
        probabilities = self._classifier.probabilities(images)
        with self._lock:
            self._done += len(images)
        if self._deadline is not None:
            now = monotonic()
            needed = (now - self._began) * self._n_windows / self._done
            too_slow = now - self._began > PROJECT_AFTER_S and self._began + needed > self._deadline
            if now > self._deadline or too_slow:
                self._problem = Problem(
                    413,
                    "too_long",
                    f"the recording's {self._n_windows} windows need about {needed:.0f} s, more than one call may take "
                    f"({self._deadline - self._began:.0f} s are left for it); send it by POST /jobs",
                )
                raise self._problem
        return probabilities
