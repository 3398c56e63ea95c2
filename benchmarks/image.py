"""Measure the image: its size, and the cold start of the function in it, without TensorFlow and with it.

    python benchmarks/image.py [--rounds 9]

Needs root, buildah and mmdebstrap (see tests/image/built.py); the base is Debian's Python, not Amazon's. The first
start of each image, which reads its files from the disk, is told apart from the others, which find them in memory.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from material import recording  # noqa: E402

from tests.image.built import built, copy_checkout  # noqa: E402
from tests.service.conftest import proxy_event  # noqa: E402


def main() -> None:
    """Measure, and print as Markdown."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--extras", nargs="*", default=["serve", "serve keras"])
    asked = options.parse_args()
    audio = recording(44100, 10).read_bytes()
    event = proxy_event("POST", "/predict", body=audio, headers={"Content-Type": "audio/wav"})
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}\n")
    print("| extras | files, MB | first start, s | later starts, median, s | least, s | warm, s |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        checkout = copy_checkout(Path(folder) / "checkout")
        for extras in asked.extras:
            with built(checkout, extras=None if extras == "serve" else extras) as image:
                taken, warm = [], []
                for _ in range(asked.rounds + 1):
                    began = time.perf_counter()
                    with image.running(Path(folder)) as invoke:
                        answer, _ = invoke(event)
                        taken.append(time.perf_counter() - began)
                        assert answer["statusCode"] == 200, answer
                        began = time.perf_counter()
                        invoke(event)
                        warm.append(time.perf_counter() - began)
                first, *later = taken
                print(
                    f"| {extras} | {image.size() / 1e6:.0f} | {first:.2f} | {median(later):.2f} | {min(later):.2f} "
                    f"| {min(warm):.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
