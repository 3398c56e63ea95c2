"""What all tests share: a seeded generator, a classifier without a model, recordings made on the spot."""

import asyncio
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from anemone_lib.detection import Annotation
from anemone_lib.scoring import ModelCard, Scores, WindowGrid
from anemone_lib.tuning import AnnotatedRecording

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
# With this package, jsonschema takes more than a second to compile the formats of addresses, which no notebook uses.
sys.modules.setdefault("rfc3987_syntax", None)


#: Folders of tests that take long: all their tests are marked `slow`.
SLOW_FOLDERS = ("image", "aws", "notebooks", "terraform", "service", "docs", "release")
#: With several processes these begin first, so that no long file is left alone at the end.
FIRST_FOLDERS = ("image", "aws", "notebooks", "terraform", "service", "cli", "archive", "training", "docs", "release")
#: Folders whose tests all stay in one process, by the name of what they share, which is slow to make. Elsewhere, those
#: of a file do. Terraform's own tests run while AWS is applied, most of which is waiting; those of the service share S3
#: and the processes of the Lambda function.
SHARED_BY = {"aws": "infrastructure", "terraform": "infrastructure", "service": "service"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep together what shares something slow, when pytest-xdist spreads the tests over processes."""
    from xdist.scheduler import LoadScopeScheduling

    class KeepTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            path = nodeid.split("::")[0]
            folder = path.removeprefix("tests/").split("/")[0]
            return SHARED_BY.get(folder, path)

    return KeepTogether(config, log)


def folder_of(item):
    """The folder below `tests` that a test lies in; nothing for an example in a docstring."""
    path = Path(item.path).relative_to(ROOT)
    return path.parts[1] if path.parts[0] == "tests" else ""


def pytest_collection_modifyitems(items):
    """Mark what takes long, and begin with the slowest."""
    rank = {SHARED_BY.get(folder, folder): number for number, folder in reversed([*enumerate(FIRST_FOLDERS)])}
    for item in items:
        if folder_of(item) in SLOW_FOLDERS:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: rank.get(SHARED_BY.get(folder_of(item), folder_of(item)), len(FIRST_FOLDERS)))


@pytest.fixture(scope="session", autouse=True)
def close_the_loop_of_plugins():
    """Close the event loop that importing a plugin or a test module left open.

    `asyncio.run` and nbclient put their own in its place, and the garbage collector then warns in any test.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there may be none, from Python 3.12 on
        asyncio.get_event_loop().close()
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def cloud(request):
    """AWS on this machine, applied in the background from the first test on that asks for it, if a test needs it."""
    if not any(folder_of(item) == "aws" for item in request.session.items):
        yield None
        return
    from tests.aws.conftest import Cloud

    made = Cloud()
    yield made
    made.close()  # leave nothing running


@pytest.fixture(scope="session")
def root():
    """The folder of the checkout."""
    return ROOT


@pytest.fixture
def rng():
    return np.random.default_rng(20230210)


@pytest.fixture(scope="session")
def shared_recordings():
    return shared("recordings")


@pytest.fixture(scope="session")
def odd_audio():
    return shared("odd-audio")


def shared(name):
    """A folder of material that does not belong to the project; tests that need it are skipped without it."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/{name}, which is not part of the project")
    return folder


@pytest.fixture(scope="session")
def backbones(tmp_path_factory):
    """A small network over a second of sound at 4 kHz: a SavedModel with two outputs, and a .tflite of it.

    It answers with the mean and the maximum of twelve filters, and with five numbers made of them.
    """
    from anemone_lib.training import import_keras

    import_keras()
    import tensorflow as tf

    time = np.arange(128) / 4000
    waves = [np.sin(2 * np.pi * f * time + p) for f in (120, 240, 400, 700, 1000, 1500) for p in (0, np.pi / 2)]
    filters = tf.constant((np.hanning(128) * np.array(waves)).T[:, None], tf.float32)
    mixture = tf.constant(np.random.default_rng(0).standard_normal((24, 5)), tf.float32)

    class Network(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4000], tf.float32, name="audio")])
        def answer(self, audio):
            found = tf.nn.relu(tf.nn.conv1d(audio[..., None], filters, 32, "VALID"))
            embedding = tf.concat([tf.reduce_mean(found, 1), tf.reduce_max(found, 1)], 1)
            return {"embedding": embedding, "logits": embedding @ mixture}

    folder, network = tmp_path_factory.mktemp("backbones"), Network()
    tf.saved_model.save(network, folder / "network", signatures=network.answer)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "network"))
    (folder / "network.tflite").write_bytes(converter.convert())
    return folder


class LoudnessClassifier:
    """Calls a window 'anemonefish' by the mean of its image: deterministic, fast, and a pure function of the image."""

    card: ModelCard | None = None
    sha256 = "0" * 64
    version = "loudness"
    input_shape = (256, 256, 1)
    n_classes = 3

    def classify(self, images):
        level = images.mean(axis=(1, 2, 3), dtype=np.float64)
        texture = images[:, ::7, ::5, 0].std(axis=(1, 2), dtype=np.float64)
        weights = np.stack([1 - level, level, texture], axis=1) + 1e-3
        return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def loudness():
    return LoudnessClassifier()


@pytest.fixture
def full_temporary_folder(monkeypatch):
    """There is no room to decode into."""

    class Full:
        def write(self, _):
            raise OSError(28, os.strerror(28))

        def close(self):
            pass

    monkeypatch.setattr("anemone_lib.audio.spool.tempfile.TemporaryFile", lambda **_: Full())


@pytest.fixture
def write_wav(tmp_path):
    """Write samples to a WAV file; return its path."""

    def write(samples, sample_rate=48000, *, name="reef.wav", subtype="PCM_16", **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, sample_rate, subtype=subtype, **options)
        return path

    return write


@pytest.fixture
def noise(rng):
    """Seconds of noise with a few pulse trains at 600 Hz in it, float32."""

    def make(seconds, sample_rate=48000):
        n = round(seconds * sample_rate)
        samples = 0.02 * rng.standard_normal(n)
        time = np.arange(round(0.02 * sample_rate)) / sample_rate
        pulse = 0.4 * np.sin(2 * np.pi * 600 * time) * np.exp(-time / 0.005)
        for start in rng.integers(0, max(1, n - len(pulse)), max(1, int(seconds / 2))):
            samples[start : start + len(pulse)] += pulse[: n - start]
        return samples.astype(np.float32)

    return make


def make_annotated_recording(target, annotations=(), *, stride=2, window=5, sample_rate=5, name="reef.wav"):
    """Windows of 1 s every 0.4 s (at 5 samples a second), whose probabilities of the target are given."""
    target = np.asarray(target, np.float32)
    grid = WindowGrid((len(target) - 1) * stride + window, sample_rate, window, stride)
    probabilities = np.stack([(1 - target) * 0.75, target, (1 - target) * 0.25], axis=1)
    scores = Scores(probabilities, ("noise", "anemonefish", "biological"), grid, recording_name=name)
    return AnnotatedRecording(scores, [Annotation(start, end, "anemonefish") for start, end in annotations])
