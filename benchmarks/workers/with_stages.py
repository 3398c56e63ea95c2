"""One core, stage by stage, beside what the core can do: a copy, a batch of transforms, a matrix product, SHA-256.

Times are the thread's own processor time, so that other work on the machine hardly shows.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measure import serve
from scipy.fft import rfft

from anemone_lib import InferenceConfig, load_classifier, open_recording, score_recording
from anemone_lib.detection import calls, decide_events
from anemone_lib.detection.results import build_result, to_json
from anemone_lib.scoring import choose_config, cut_windows
from anemone_lib.scoring.chunks import CHUNK_WINDOWS
from anemone_lib.scoring.classifier import LiteRTClassifier
from anemone_lib.scoring.condition import measure as measure_condition
from anemone_lib.scoring.fit import choose_transform
from anemone_lib.scoring.images import BLOCK_FRAMES, SHARING_WINDOWS, paint_images
from anemone_lib.scoring.windows import lay_grid

ROUNDS = 15


def measure(recording: str | None = None, model: str | None = None) -> dict[str, Any]:
    """Measure the stages on a recording, or without one the core itself."""
    return stages_of(recording, model) if recording else rates_of_the_core()


def rates_of_the_core() -> dict[str, float]:
    """Return bytes, transforms, floating-point operations and hashed bytes a second."""
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((BLOCK_FRAMES, 1024), np.float32)
    matrix = rng.standard_normal((768, 768), np.float32)
    product = np.empty_like(matrix)
    large, small = np.ones(1 << 25, np.uint8), np.ones(1 << 18, np.uint8)
    to_large, to_small = np.ones_like(large), np.ones_like(small)
    text = large[: 1 << 20].tobytes()

    def copy_small() -> None:
        for _ in range(64):
            np.copyto(to_small, small)

    taken = processor_seconds(
        copy_memory=lambda: np.copyto(to_large, large),
        copy_cache=copy_small,
        transforms=lambda: rfft(frames),
        product=lambda: np.matmul(matrix, matrix, out=product),
        sha256=lambda: hashlib.sha256(text).digest(),
    )
    return {
        "copy_memory": len(large) / taken["copy_memory"],
        "copy_cache": 64 * len(small) / taken["copy_cache"],
        "transforms": len(frames) / taken["transforms"],
        "flops": 2 * 768**3 / taken["product"],
        "sha256": len(text) / taken["sha256"],
    }


def stages_of(path: str, model: str | None) -> dict[str, Any]:
    """Return processor seconds a window of every stage, and what there is to do."""
    classifier = load_classifier(model)
    config = choose_config(None, classifier) if classifier.card else InferenceConfig()
    height, width, channels = classifier.input_shape
    with open_recording(path) as recording:
        grid = lay_grid(recording.n_samples, sample_rate=recording.sample_rate, **config.grid_settings)
        start, stop = grid.find_samples(0, CHUNK_WINDOWS)
        samples = recording.read(start, stop)
        own = samples[: CHUNK_WINDOWS * grid.stride_samples]
        content = Path(path).read_bytes()[: 2 * stop]
        windows = cut_windows(
            samples,
            n_windows=CHUNK_WINDOWS,
            window_samples=grid.window_samples,
            stride_samples=grid.stride_samples,
        )[:SHARING_WINDOWS]
        image = np.empty((height, width, channels), np.float32)
        large = operations_of(classifier) > 1e9
        n_images = 2 if large else 32
        transform = choose_transform(config, classifier, sample_rate=recording.sample_rate).image_settings
        # A large model's windows are not all scored only to know where calls are.
        scores = score_recording(recording, load_classifier(None if large else model), config)
        events = decide_events(scores, config)
        band = calls.choose_band(config.target_class, {}, fmax_hz=config.fmax_hz)
        batches = calls._cut_batches(recording, events)

        def draw() -> None:
            for paint in paint_images(windows, sample_rate=recording.sample_rate, channels=channels, **transform):
                paint(image)

        def measure_calls() -> None:
            for batch in batches:
                calls._measure(recording, batch, band, calls.MAX_PULSE_GAP_S, 0.0)

        taken = processor_seconds(
            read=lambda: recording.read(start, stop),
            hash=lambda: hashlib.sha256(content).digest(),
            condition=lambda: measure_condition(own, CHUNK_WINDOWS, grid.stride_samples),
            images=draw,
            model=lambda: classifier.classify_painted(n_images, [lambda _: None] * n_images),
            calls=measure_calls,
            result=lambda: to_json(build_result(scores, decide_events(scores, config), {})),
        )
    n_windows = {
        "read": CHUNK_WINDOWS,
        "hash": CHUNK_WINDOWS,
        "condition": CHUNK_WINDOWS,
        "images": len(windows),
        "model": n_images,
        "calls": grid.n_windows,
        "result": grid.n_windows,
    }
    return {
        "seconds": {name: taken[name] / n for name, n in n_windows.items()},
        "audio_bytes": 2 * grid.stride_samples,
        "n_fft": transform["n_fft"],
        "frames": frames_transformed(windows, recording.sample_rate, transform) / len(windows),
        "image_bytes": image.nbytes,
        "operations": operations_of(classifier),
        "events": len(events),
    }


def processor_seconds(**runs: Callable[[], Any]) -> dict[str, float]:
    """Take turns; return the median processor time of each, its data in the cache."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            run()
            began = time.thread_time()
            run()
            found[name].append(time.thread_time() - began)
    return {name: median(values) for name, values in found.items()}


def frames_transformed(windows: np.ndarray, sample_rate: int, settings: dict[str, Any]) -> int:
    """Count the frames that are transformed for a batch of windows."""
    from anemone_lib.scoring import images as spectrogram

    counted, transform, image = [], spectrogram._transform, np.empty((256, 256, 1), np.float32)

    def counting(block: np.ndarray, *rest: Any) -> None:
        counted.append(len(block))
        transform(block, *rest)

    spectrogram._transform = counting
    try:
        for paint in paint_images(windows, sample_rate=sample_rate, channels=1, **settings):
            paint(image[: settings["height_pixels"], : settings["width_pixels"]])
    finally:
        spectrogram._transform = transform
    return sum(counted)


def operations_of(classifier: Any) -> float:
    """Count the floating-point operations of a model's convolutions and products for one image."""
    assert isinstance(classifier, LiteRTClassifier)
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(classifier._path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    shapes = {tensor["index"]: tensor["shape"] for tensor in interpreter.get_tensor_details()}
    total = 0.0
    for operation in interpreter._get_ops_details():
        weights, answer = shapes.get(operation["inputs"][1] if len(operation["inputs"]) > 1 else -1), None
        if operation["op_name"] in ("CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D") and weights is not None:
            answer = shapes[operation["outputs"][0]]
            depthwise = operation["op_name"] == "DEPTHWISE_CONV_2D"
            a_value = np.prod(weights[1:3]) if depthwise else np.prod(weights[1:])
            total += 2 * float(np.prod(answer)) * float(a_value)
    return total


if __name__ == "__main__":
    serve(measure)
