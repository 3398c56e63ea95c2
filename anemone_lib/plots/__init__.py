"""Figures of recordings, of the images that the model sees, of quality and of noise.

`plot_overview` is where to start. `axes` has colours and texts that all figures share, `timeaxis` the axes in time. The
overview is registered as the format ``png`` of `Detections.save`; matplotlib is imported only when a figure is drawn.
Imports evaluation, soundscape and what lies below them.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from anemone_lib.detection.formats import register_format

#: The functions of this package, by the module that has them; a module is imported when one of its functions is used.
_MODULES = {
    "plot_call_measures": "calls",
    "plot_calls": "calls",
    "plot_events": "recording",
    "plot_overview": "recording",
    "plot_probabilities": "recording",
    "plot_waveform": "waveform",
    "plot_waveforms": "waveform",
    "plot_librosa_comparison": "windows",
    "plot_spectrogram": "spectrogram",
    "plot_seen_windows": "windows",
    "plot_window_image": "windows",
    "plot_noise": "noise",
    "plot_diel": "season",
    "plot_hours": "season",
    "plot_season": "season",
    "plot_bands": "archive",
    "plot_long_term_spectrum": "archive",
    "plot_precision_curve": "archive",
    "plot_sites": "archive",
    "plot_third_octaves": "archive",
    "plot_timeline": "archive",
    "plot_confusion": "curves",
    "plot_history": "curves",
    "plot_learning_curve": "curves",
    "plot_over_threshold": "curves",
    "plot_precision_recall": "curves",
    "plot_recordings": "curves",
    "plot_reliability": "curves",
    "plot_threshold_curve": "curves",
}

__all__ = [
    "plot_bands",
    "plot_call_measures",
    "plot_calls",
    "plot_confusion",
    "plot_diel",
    "plot_events",
    "plot_history",
    "plot_hours",
    "plot_learning_curve",
    "plot_librosa_comparison",
    "plot_long_term_spectrum",
    "plot_noise",
    "plot_over_threshold",
    "plot_overview",
    "plot_precision_curve",
    "plot_precision_recall",
    "plot_probabilities",
    "plot_recordings",
    "plot_reliability",
    "plot_season",
    "plot_seen_windows",
    "plot_sites",
    "plot_spectrogram",
    "plot_third_octaves",
    "plot_threshold_curve",
    "plot_timeline",
    "plot_waveform",
    "plot_waveforms",
    "plot_window_image",
    "save_overview",
]


def __getattr__(name: str) -> Any:
    """Import a figure's module when it is first used: matplotlib takes longer to import than all else."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def save_overview(detections: Any, path: Path) -> Path:
    """Draw the overview of detections as PNG.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import detect
    >>> save_overview(detect(path), path.with_suffix(".png")).stat().st_size > 10_000
    True
    """
    from anemone_lib.plots.recording import save_overview as draw

    return draw(detections, path)


register_format("png", save_overview, suffix=".png")
