"""The engine of the service: it loads the model and the settings once, and detects events before a deadline."""

import contextlib
import io
import os
import threading
import wave
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any, BinaryIO

from anemone_lib.audio.recording import open_recording
from anemone_lib.config import EVENT_FIELDS, InferenceConfig
from anemone_lib.detection.detections import Detections, detect
from anemone_lib.errors import AnemoneError, ConfigError, ModelError
from anemone_lib.scoring.chunks import Progress
from anemone_lib.scoring.classifier import Classifier, load_classifier
from anemone_lib.scoring.fit import check_fit, choose_config, fill_event_settings
from anemone_lib.service.problems import Problem, report_busy
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
        config = fill_event_settings(choose_config(settings.config, classifier), classifier, unset=settings.unset)
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

    def warm_up(self) -> None:
        """Analyse a second of silence, so that everything is loaded before the first recording."""
        with io.BytesIO() as file, contextlib.suppress(AnemoneError):
            with wave.open(file, "wb") as silence:
                silence.setparams((1, 2, 48_000, 0, "NONE", ""))
                silence.writeframes(bytes(96_000))
            with self.open_detections(file, name="silence.wav"):
                pass

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
        count_sharing: Callable[[], int] = lambda: 1,
    ) -> Iterator[list[Detections]]:
        """Detect the events of a recording. The recording stays open in the ``with`` block, so that it can be drawn.

        Parameters
        ----------
        source : path, ``s3://`` address or binary file object
        name : str, optional
            Name of the recording, if the source has none.
        timezone : str, of the time in the file name
        channel : str, a number from 1, ``mean``, ``loudest`` or ``each``
        overrides : mapping, optional
            Event settings to change.
        deadline : float, optional
            Time of `time.monotonic` in seconds at which the work must end.
        count_sharing : callable
            How many requests work now, this one included: they make each other slower.

        Yields
        ------
        found : list of Detections, one; of ``each`` one for each channel

        Raises
        ------
        Problem
            413: the work cannot be finished before the deadline; 503: it could, if others did not work at the same
            time; or the model cannot be loaded.
        AudioError, ConfigError
        """
        classifier, _ = self.load()
        config = self.change_config(overrides or {})
        found: list[Detections] = []
        is_of_each, left = channel == "each", 1
        with ExitStack() as stack:
            limits = replace(self.settings.decode_limits, deadline=deadline)
            while left:
                recording = open_recording(
                    source,
                    target_sr=config.target_sr,
                    timezone=timezone,
                    name=name,
                    channel=len(found) + 1 if is_of_each else channel,
                    limits=limits,
                )
                stack.callback(recording.close)
                share = stack.enter_context(Share(self.threads))  # it ends before the recording is closed
                left = recording.channels - len(found) if is_of_each else 1
                # The limit of decoding is for all channels together.
                limits = replace(limits, spool_bytes=self.settings.max_decoded_bytes // recording.channels)
                until = None if deadline is None else monotonic() + (deadline - monotonic()) / left
                watch = _watch_deadline(until, count_sharing)
                detections = detect(recording, config=config, classifier=classifier, executor=share, progress=watch)
                found.append(replace(detections, of_each_channel=is_of_each))
                left -= 1
            yield found


def _watch_deadline(deadline: float | None, count_sharing: Callable[[], int]) -> Progress | None:
    """Return the function that `detect` calls after every chunk; it raises a Problem if the work cannot end in time."""
    if deadline is None:
        return None
    began, first, n_sharing = monotonic(), 0.0, 1

    def watch(done: int, total: int) -> None:
        nonlocal first, n_sharing
        n_sharing = max(n_sharing, count_sharing())  # requests that ended in the meantime made it slower, too
        now, allowed = monotonic(), deadline - began
        if done == 1:
            first = now
        # The first chunk may include the time for loading.
        needed = first - began + (now - first) * (total - 1) / max(1, done - 1)
        if done == total or not (now > deadline or (now - began > PROJECT_AFTER_S and needed > allowed)):
            return
        if n_sharing > 1 and needed <= allowed * n_sharing:
            raise report_busy("others work at the same time, and this recording would not be done in time")
        raise Problem(
            413,
            "too_long",
            f"the recording needs about {needed:.0f} s, more than one call may take ({allowed:.0f} s are left for it); "
            "send it by POST /jobs",
        )

    return watch


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
