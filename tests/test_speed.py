"""Counted work: calls, transformed frames, bytes read, memory. It keeps the gains from rotting where a clock cannot."""

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.fft
from ai_edge_litert import interpreter as litert

from anemone_lib import InferenceConfig, detect, load_classifier, open_recording, score_recording
from anemone_lib.audio.sources import FileSource
from anemone_lib.scoring import draw_images, plan, score_chunk
from anemone_lib.scoring.chunks import CHUNK_WINDOWS

CONFIG = InferenceConfig()


def first_chunk(recording):
    return plan(recording, CONFIG, chunk_windows=CHUNK_WINDOWS)[0]


@pytest.fixture
def counted_transforms(monkeypatch):
    """Shapes and types that reach the transform."""
    seen = []
    transform = scipy.fft.rfft

    def counting(frames, *args, **options):
        seen.append((frames.shape, frames.dtype))
        return transform(frames, *args, **options)

    monkeypatch.setattr(scipy.fft, "rfft", counting)
    return seen


@pytest.mark.parametrize(
    ("sample_rate", "frames_per_window"),
    [
        # Overlaps by whole hops: 75 new frames a window (0.4 s), 4 over its edges, and those of the first one.
        (48_000, 75 + 4 + (184 - 75) / 128),
        (96_000, 150 + 4 + (372 - 150) / 128),
        (16_000, 25 + 4 + (59 - 25) / 128),
        # 0.4 s are 68.9 hops: no frame of a window is one of another.
        (44_100, 1 + 44_100 // 256),
    ],
)
def test_frames_that_windows_share_are_transformed_once_a_chunk(
    write_wav, noise, loudness, counted_transforms, sample_rate, frames_per_window
):
    with open_recording(write_wav(noise(60, sample_rate), sample_rate)) as recording:
        score_chunk(recording, first_chunk(recording), loudness, CONFIG)
    assert sum(shape[0] for shape, _ in counted_transforms) == CHUNK_WINDOWS * frames_per_window
    assert {dtype for _, dtype in counted_transforms} == {np.dtype(np.float32)}
    assert len(counted_transforms) / CHUNK_WINDOWS < 2  # calls: each has a price of its own


def test_every_byte_of_the_audio_is_read_once_for_the_scores_and_once_for_the_hash(write_wav, noise, monkeypatch):
    path = write_wav(noise(120))
    size, read = path.stat().st_size, []
    lock, read_at = threading.Lock(), FileSource.read_at

    def counting(source, offset, n_bytes):
        content = read_at(source, offset, n_bytes)
        with lock:
            read.append(len(content))
        return content

    monkeypatch.setattr(FileSource, "read_at", counting)
    found = detect(path, calls=False)
    with open_recording(path) as recording:
        n_chunks = len(plan(recording, found.config))
    overlap = round(0.6 * 48_000) * 2  # a window less a stride, at each of the cuts
    header = 1 << 17
    assert 2 * size <= sum(read) <= 2 * size + (n_chunks - 1) * overlap + header


def test_reading_integers_takes_no_more_memory_than_the_answer_and_the_bytes(write_wav, noise):
    with open_recording(write_wav(noise(60))) as recording:
        recording.read(0, 1000)
        tracemalloc.start()
        samples = recording.read(0, recording.n_samples)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert samples.dtype == np.float32
    assert peak < (4 + 2) * len(samples) * 1.02  # in float64 it would be 8 more


def test_images_are_drawn_over_each_other(write_wav, noise, loudness):
    places = set()

    class Watching:
        card, sha256, version, input_shape, n_classes = None, "0" * 64, "watching", (256, 256, 1), 3

        def classify(self, images):
            assert images.dtype == np.float32
            assert images.flags.c_contiguous
            places.add((threading.get_ident(), images.__array_interface__["data"][0]))
            return loudness.classify(images)

    with open_recording(write_wav(noise(120))) as recording, ThreadPoolExecutor(2) as executor:
        score_recording(recording, Watching(), CONFIG, executor=executor)
    assert len(places) == len({thread for thread, _ in places}) <= 2


def test_drawing_allocates_less_than_its_images(rng):
    windows = np.lib.stride_tricks.sliding_window_view(
        rng.standard_normal(48_000 + 31 * 19_200).astype(np.float32), 48_000
    )[::19_200]
    images = draw_images(windows, sample_rate=48_000)
    tracemalloc.start()
    draw_images(windows, sample_rate=48_000, out=images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes


def test_a_thread_has_one_interpreter_which_sees_every_window_once(write_wav, noise, monkeypatch):
    made, invoked = [], []

    class Counting(litert.Interpreter):
        def __init__(self, *args, **options):
            made.append(threading.get_ident())
            assert options["num_threads"] == 1  # as many threads as cores, and no more
            super().__init__(*args, **options)

        def set_tensor(self, *_):
            raise AssertionError("an image was copied; it must be drawn where the model reads it")

        def invoke(self):
            invoked.append(tuple(self.get_input_details()[0]["shape"]))
            super().invoke()

    monkeypatch.setattr(litert, "Interpreter", Counting)
    classifier = load_classifier()
    with open_recording(write_wav(noise(60, 16_000), 16_000)) as recording, ThreadPoolExecutor(2) as executor:
        scores = score_recording(recording, classifier, CONFIG, executor=executor)
    assert len(made) == len(set(made)) <= 3  # this thread looks at the model, two work
    assert invoked == [(1, 256, 256, 1)] * scores.n_windows


def test_memory_does_not_grow_with_the_recording(write_wav, noise, loudness):
    loudness.input_shape = (16, 16, 1)
    config = CONFIG.replace(height_pixels=16, width_pixels=16)
    peaks = []
    for minutes in (20, 60):
        path = write_wav(np.tile(noise(60, 1000), minutes), 1000)
        with open_recording(path) as recording, ThreadPoolExecutor(1) as executor:
            assert first_chunk(recording) == plan(recording, config)[0]  # long enough for chunks of full size
            score_recording(recording, loudness, config, executor=executor)  # imports, work arrays
            tracemalloc.start()
            score_recording(recording, loudness, config, executor=executor)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    # Bytes of a window: its scores, and copies of them while they are merged.
    assert peaks[1] - peaks[0] < 240 * (9000 - 3000)
