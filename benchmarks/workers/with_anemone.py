"""Anemone: a recording to events and JSON on disk, as `anemone detect --formats json` does."""

import resource
import tempfile
import time
from functools import cache
from typing import Any

from measure import serve

from anemone_lib import InferenceConfig, detect, load_classifier
from anemone_lib.scoring import choose_config

classifier_of = cache(load_classifier)


def measure(recording: str, model: str | None = None) -> dict[str, Any]:
    """Analyse a recording; tell seconds of the clock, of the processors, and how many windows."""
    classifier = classifier_of(model)
    config = choose_config(None, classifier) if classifier.card else InferenceConfig()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = detect(recording, classifier=classifier, config=config)
        found.save(folder, formats=["json"])
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    processors = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": wall,
        "processor_seconds": processors,
        "windows": found.scores.n_windows,
        "events": len(found.events),
        "audio_seconds": found.scores.duration,
    }


if __name__ == "__main__":
    serve(measure)
