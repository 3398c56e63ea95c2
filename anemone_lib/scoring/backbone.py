"""Backbones: networks of others that turn a window of sound into an embedding, a vector of numbers that describe it.

*Conventions.* A backbone takes one channel of audio at its own sample rate; recordings are opened at that rate
(``target_sr``), so that resampling is that of every recording and does not depend on how it is cut. The mean of every
window is subtracted and its highest peak becomes 0.25: loudness does not count, as in the images. A window that is
shorter than the backbone's input is followed by silence. One window is given at a time, so that an embedding never
depends on its neighbours. An output with several frames is averaged over them.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from anemone_lib.errors import ModelError

#: Sample rates, Hz, of well-known backbones, by the number of samples that they take: BirdNET; Perch and SurfPerch;
#: YAMNet. No file format says the rate.
KNOWN_RATES_HZ = {144_000: 48_000, 160_000: 32_000, 15_600: 16_000}
#: Highest peak of a window that a backbone gets, as a share of full scale.
PEAK = 0.25
#: If there are several outputs, an output with one of these names is the embedding.
EMBEDDING_NAMES = ("embedding", "embeddings")
#: Largest number of names in an error.
MAX_NAMES = 12


class Runner(Protocol):
    """Runs the file of a backbone: its input, its outputs by name, and one window through it."""

    n_samples: int | None
    outputs: list[str]

    def run(self, samples: np.ndarray, output: str) -> np.ndarray:
        """Return an output for one window."""
        ...


class Backbone:
    """A network that gives an embedding of a window of sound.

    Parameters
    ----------
    path : path of a ``.tflite`` file, or of the folder of a TensorFlow SavedModel
        A SavedModel is a program that runs on your computer: take it only from people whom you trust.
    sample_rate : int > 0, in Hz, optional
        The rate of its input; not needed for the lengths in `KNOWN_RATES_HZ`.
    window_duration : float > 0, in seconds, optional
        Length of a window; by default as much as the backbone takes.
    output : str, optional
        Name of the output that is the embedding, if there are several; in a ``.tflite``, any tensor inside.
    num_threads : int > 0, of a ``.tflite``

    Attributes
    ----------
    path : pathlib.Path
    sample_rate : int, in Hz
    window_samples : int, samples in a window
    output : str
    n_features : int, numbers in an embedding

    Raises
    ------
    ModelError
        The file does not exist, it takes no audio, its rate or its output is not clear, or a window is longer than
        its input.

    Examples
    --------
    A network that takes images is not a backbone:

    >>> from anemone_lib.scoring import DEMONSTRATION_MODEL
    >>> try:
    ...     Backbone(DEMONSTRATION_MODEL / "best_model.tflite")
    ... except ModelError as error:
    ...     print(str(error).partition("; ")[2])
    a backbone takes float32 samples of one channel, like (1, 160000)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sample_rate: int | None = None,
        window_duration: float | None = None,
        output: str | None = None,
        num_threads: int = 1,
    ) -> None:
        self.path = Path(path)
        self._runner = _open_runner(self.path, output, num_threads)
        n_samples = self._runner.n_samples
        rate = sample_rate or KNOWN_RATES_HZ.get(n_samples or 0)
        if rate is None:
            raise ModelError(
                f"{self.path} does not say the sample rate of its input; give it, in Hz, with --backbone-rate"
            )
        own = n_samples if window_duration is None else max(1, round(window_duration * rate))
        if own is None:
            raise ModelError(f"{self.path} takes any number of samples; give seconds with --backbone-window")
        self.sample_rate, self.window_samples, self._n_samples = int(rate), own, n_samples or own
        if self.window_samples > self._n_samples:
            raise ModelError(
                f"a window of {window_duration:g} s has {self.window_samples} samples at {rate} Hz; {self.path} takes "
                f"{self._n_samples}, {self._n_samples / rate:g} s: give at most that with --backbone-window"
            )
        self.output = _choose_output(self.path, self._runner.outputs, output)
        self.n_features = len(self._embed(np.zeros(self.window_samples, np.float32)))
        if self.n_features < 2:
            raise ModelError(
                f"the output {self.output!r} of {self.path} is one number, no embedding; name another with "
                f"--backbone-output: {_list_names(self._runner.outputs)}"
            )

    @property
    def window_duration(self) -> float:
        """Length of a window, in seconds."""
        return self.window_samples / self.sample_rate

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Embed windows.

        Parameters
        ----------
        windows : np.ndarray [shape=(n, window_samples)], float

        Returns
        -------
        embeddings : np.ndarray [shape=(n, n_features)], float32
        """
        embeddings = np.empty((len(windows), self.n_features), np.float32)
        for window, row in zip(windows, embeddings, strict=True):
            row[:] = self._embed(window)
        return embeddings

    def _embed(self, window: np.ndarray) -> np.ndarray:
        answer = np.asarray(self._runner.run(_level_window(window, self._n_samples), self.output), np.float32)
        return answer.reshape(-1, answer.shape[-1] if answer.ndim else 1).mean(axis=0)


def _level_window(window: np.ndarray, n_samples: int) -> np.ndarray:
    """Return a window without its mean, with the same peak as all others, followed by silence."""
    samples = np.zeros(n_samples, np.float32)
    moved = window.astype(np.float64) - window.mean(dtype=np.float64)
    peak = float(np.abs(moved).max())
    if peak > 0:
        samples[: len(window)] = moved * (PEAK / peak)
    return samples


def _choose_output(path: Path, outputs: Sequence[str], named: str | None) -> str:
    if named:
        return named
    likely = [name for name in outputs if name.lower() in EMBEDDING_NAMES]
    if len(outputs) > 1 and len(likely) != 1:
        raise ModelError(
            f"{path} has {len(outputs)} outputs; say with --backbone-output which one is the embedding: "
            f"{_list_names(outputs)}"
        )
    return likely[0] if likely else outputs[0]


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{', '.join(names[:MAX_NAMES])}{more}"


def _read_length(path: Path, inputs: Mapping[str, tuple[Sequence[int | None], bool]]) -> tuple[str, list[int], int]:
    """Return name and shape of the only input, 0 for a free length, and which of its dimensions is the length.

    Parameters
    ----------
    path : pathlib.Path
    inputs : mapping of name to shape (None or -1: free) and whether the input is float32
    """
    if len(inputs) != 1:
        raise ModelError(f"{path} has {len(inputs)} inputs ({', '.join(inputs)}); a backbone has one, of audio")
    name, (shape, floating) = next(iter(inputs.items()))
    sizes = [-1 if size is None else int(size) for size in shape]
    long = [k for k, size in enumerate(sizes) if size > 1]
    free = [k for k, size in enumerate(sizes) if size == -1]
    if not floating or len(long) > 1 or not (long or free):
        raise ModelError(
            f"{path} takes {'float32' if floating else 'other'} input of shape {sizes}; a backbone takes float32 "
            "samples of one channel, like (1, 160000)"
        )
    place = long[0] if long else free[-1]
    return name, [max(0, size) if k == place else 1 for k, size in enumerate(sizes)], place


def _open_runner(path: Path, output: str | None, num_threads: int) -> Runner:
    if path.suffix == ".tflite" and path.is_file():
        return _LiteRTRunner(path, output, num_threads)
    if (path / "saved_model.pb").is_file():
        return _SavedModelRunner(path, output)
    if path.exists():
        raise ModelError(f"{path} is no backbone; give a .tflite file, or the folder of a SavedModel (saved_model.pb)")
    raise ModelError(f"there is no backbone at {path}")


class _LiteRTRunner:
    """A ``.tflite`` file; each thread has an interpreter of its own."""

    def __init__(self, path: Path, output: str | None, num_threads: int) -> None:
        self._path, self._num_threads, self._inside = path, num_threads, False
        self._local = threading.local()
        interpreter = self._open()
        details = interpreter.get_input_details()
        shapes = {d["name"]: (d.get("shape_signature", d["shape"]), d["dtype"] is np.float32) for d in details}
        _, self._shape, self._place = _read_length(path, shapes)
        self.n_samples = self._shape[self._place] or None
        self._tensors = {d["name"]: int(d["index"]) for d in interpreter.get_output_details()}
        if signature := next(iter(interpreter.get_signature_list()), None):  # names that people gave
            found = interpreter.get_signature_runner(signature).get_output_details()
            self._tensors = {name: int(d["index"]) for name, d in found.items()}
        self.outputs = list(self._tensors)
        if output and output not in self._tensors:
            inner = {d["name"]: int(d["index"]) for d in interpreter.get_tensor_details() if d["dtype"] is np.float32}
            if output not in inner:
                raise ModelError(
                    f"{path} has no output {output!r}; it has {_list_names(self.outputs)}, and inside "
                    f"{_list_names([name for name in inner if name][::-1])}"
                )
            self._tensors, self._inside = {**self._tensors, output: inner[output]}, True

    def _open(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        options: dict[str, Any] = {}
        if self._inside:  # the delegate that is faster keeps no tensor inside
            plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            options = {"experimental_preserve_all_tensors": True, "experimental_op_resolver_type": plain}
        try:
            return Interpreter(model_path=str(self._path), num_threads=self._num_threads, **options)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{self._path} is not a model that LiteRT can run: {error}") from None

    def run(self, samples: np.ndarray, output: str) -> np.ndarray:
        """Return an output for one window."""
        shape = [len(samples) if k == self._place else 1 for k in range(len(self._shape))]
        try:
            if not hasattr(self._local, "interpreter"):
                interpreter = self._open()
                interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
                interpreter.allocate_tensors()
                self._local.interpreter = interpreter
            interpreter = self._local.interpreter
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], samples.reshape(shape))
            interpreter.invoke()
            answer: np.ndarray = interpreter.get_tensor(self._tensors[output])
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"LiteRT cannot run {self._path}: {error}") from None
        return answer


class _SavedModelRunner:
    """A SavedModel, run by TensorFlow."""

    def __init__(self, path: Path, output: str | None) -> None:
        try:
            import tensorflow as tf
        except ImportError:
            raise ModelError(
                f"{path} is a SavedModel, which needs TensorFlow: pip install 'anemone-lib[keras]', or use a .tflite"
            ) from None
        self._path, self._constant = path, tf.constant
        try:
            self._loaded = tf.saved_model.load(str(path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise ModelError(f"{path} cannot be loaded by TensorFlow: {error}") from None
        signatures = dict(self._loaded.signatures)
        if "serving_default" not in signatures and len(signatures) != 1:
            raise ModelError(f"{path} has {len(signatures)} signatures and none is serving_default; export it with one")
        self._call = signatures.get("serving_default") or next(iter(signatures.values()))
        inputs = self._call.structured_input_signature[1]
        shapes = {name: (spec.shape.as_list(), spec.dtype == tf.float32) for name, spec in inputs.items()}
        self._name, self._shape, self._place = _read_length(path, shapes)
        self.n_samples = self._shape[self._place] or None
        self.outputs = sorted(self._call.structured_outputs)
        if output and output not in self.outputs:
            raise ModelError(f"{path} has no output {output!r}; it has {_list_names(self.outputs)}")

    def run(self, samples: np.ndarray, output: str) -> np.ndarray:
        """Return an output for one window."""
        shape = [len(samples) if k == self._place else 1 for k in range(len(self._shape))]
        answer: np.ndarray = self._call(**{self._name: self._constant(samples.reshape(shape))})[output].numpy()
        return answer
