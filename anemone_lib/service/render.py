"""A result in every spelling, as bytes; by the functions that also write it to files."""

import io
import tempfile
from pathlib import Path

from anemone_lib import formats
from anemone_lib.detect import Detections


def render(detections: Detections, kind: str) -> bytes:
    """Spell detections.

    Parameters
    ----------
    detections : Detections, their recording open where a picture is wanted
    kind : ``json``, ``csv``, ``raven``, ``audacity`` or ``png``
    """
    scores, config = detections.scores, detections.config
    if kind == "json":
        return detections.to_json().encode()
    if kind == "png":
        from anemone_lib.plotting import plot_overview

        file = io.BytesIO()
        plot_overview(detections.source, scores, detections.events, config).savefig(file, format="png")
        return file.getvalue()
    events, recording_name, start_utc = detections.events, scores.recording_name, scores.start_time
    high_hz = min(config.fmax_hz, scores.sample_rate / 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result"  # never the client's name
        if kind == "csv":
            formats.write_csv(
                path, events, low_hz=0.0, high_hz=high_hz, start_utc=start_utc, recording_name=recording_name
            )
        elif kind == "raven":
            formats.write_raven(path, events, high_hz=high_hz, start_utc=start_utc, recording_name=recording_name)
        else:
            formats.write_audacity(path, events, low_hz=0.0, high_hz=high_hz)
        return path.read_bytes()
