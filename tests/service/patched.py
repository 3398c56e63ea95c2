"""The Lambda entry with two things that are hard to bring about: a small limit for answers, and a defect."""

from dataclasses import replace

from anemone_lib.service.engine import Engine
from anemone_lib.service.function import LambdaFunction
from anemone_lib.service.settings import Settings


class DefectiveEngine(Engine):
    """An engine with a defect that one recording shows."""

    def open_detections(self, source, *, name, **options):
        """Detect, unless the recording is the one."""
        if name == "defect.wav":
            raise RuntimeError("a defect in /var/task/anemone_lib/secret.py")
        return super().open_detections(source, name=name, **options)


handler = LambdaFunction(DefectiveEngine(replace(Settings.from_env(), max_answer_bytes=20_000)))
