"""What is measured on: simulated recordings of any length, and the published network with random weights."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

OUT = Path(__file__).parent.parent / "out" / "bench"
#: Every recording repeats this much simulated reef.
BASE_S = 600
SEED = 20230210


def recording(sample_rate: int, duration: float) -> Path:
    """Make a 16-bit mono recording, once; return its path.

    Ten minutes are simulated, and longer recordings repeat them: simulating 15 h would take longer than all else.
    """
    import soundfile

    from anemone_lib.simulation.reef import simulate_recording

    path = OUT / "recordings" / f"reef-{sample_rate}-{duration:g}s.wav"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    base_path = OUT / "recordings" / f"base-{sample_rate}.npy"
    if not base_path.exists():
        samples, _ = simulate_recording(duration=BASE_S, seed=SEED, sample_rate=sample_rate)
        np.save(base_path, np.round(samples * 32768).astype(np.int16))
    base = np.load(base_path, mmap_mode="r")
    n_samples = round(duration * sample_rate)
    free = shutil.disk_usage(path.parent).free
    if free < 2 * n_samples + (1 << 30):
        raise SystemExit(f"{path} needs {2 * n_samples / 1e9:.1f} GB and 1 GB to spare; {free / 1e9:.1f} GB are free")
    unfinished = path.with_suffix(".part")
    with soundfile.SoundFile(
        unfinished, "w", sample_rate, 1, subtype="PCM_16", format="RF64" if 2 * n_samples > 1 << 32 else "WAV"
    ) as file:
        for start in range(0, n_samples, len(base)):
            file.write(base[: n_samples - start])
    return unfinished.replace(path)


def published_network() -> Path:
    """Make the four-block network of published pipelines, float and 8-bit, once; return the folder.

    Two 3×3 convolutions a block with 32, 64, 128 and 256 filters, a 2×2 maximum after each block, global mean, softmax:
    1.17 million weights, 6.8 GFLOP for an image of 256×256×3. The weights are random: speed does not depend on them.
    """
    folder = OUT / "published"
    if not (folder / "int8.tflite").exists():
        folder.mkdir(parents=True, exist_ok=True)
        # In a process of its own: TensorFlow takes 500 MB and threads that would be measured along.
        subprocess.run([sys.executable, str(Path(__file__)), str(folder)], check=True, stderr=subprocess.DEVNULL)
    return folder


def _write_published_network(folder: Path) -> None:
    from anemone_lib.training.bundle import _convert
    from anemone_lib.training.network import import_keras

    keras = import_keras()
    keras.utils.set_random_seed(SEED)
    layers = keras.layers
    image = tensor = layers.Input((256, 256, 3))
    for filters in (32, 64, 128, 256):
        for _ in range(2):
            tensor = layers.Conv2D(filters, 3, padding="same", activation="relu")(tensor)
        tensor = layers.MaxPooling2D(2)(tensor)
    answer = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(tensor))
    network = keras.Model(image, answer)
    images = np.random.default_rng(SEED).random((16, 256, 256, 3), dtype=np.float32)
    (folder / "float.tflite").write_bytes(_convert(network, None))
    (folder / "int8.tflite").write_bytes(_convert(network, images))


if __name__ == "__main__":
    _write_published_network(Path(sys.argv[1]))
