"""Recording × model → scores: the probability of every class in every window.

`score_recording` is where to start. `windows` lays the grid, `images` draws the spectrogram that the model sees,
`classifier` runs the model, with a `backbone` before it if there is one, `sight` gives it images or sound, `chunks`
cuts the work into pieces and puts it together, `scores` keeps the result on disk, `coverage` says what was analysed,
`condition` what is wrong with the sound. Imports audio and what lies below it.
"""

from anemone_lib.scoring.backbone import Backbone
from anemone_lib.scoring.bundle import DEMONSTRATION_MODEL, ModelCard, digest_bundle
from anemone_lib.scoring.chunks import (
    CHUNK_WINDOWS,
    Chunk,
    check_fit,
    choose_config,
    merge,
    plan,
    score_chunk,
    score_recording,
)
from anemone_lib.scoring.classifier import (
    Classifier,
    apply_temperature,
    load_classifier,
)
from anemone_lib.scoring.fit import choose_promoted, choose_transform, fill_event_settings
from anemone_lib.scoring.images import draw_images
from anemone_lib.scoring.scores import ChunkScores, Scores
from anemone_lib.scoring.windows import WindowGrid, cut_windows, lay_grid

__all__ = [
    "CHUNK_WINDOWS",
    "DEMONSTRATION_MODEL",
    "Backbone",
    "Chunk",
    "ChunkScores",
    "Classifier",
    "ModelCard",
    "Scores",
    "WindowGrid",
    "apply_temperature",
    "check_fit",
    "choose_config",
    "choose_promoted",
    "choose_transform",
    "cut_windows",
    "digest_bundle",
    "draw_images",
    "fill_event_settings",
    "lay_grid",
    "load_classifier",
    "merge",
    "plan",
    "score_chunk",
    "score_recording",
]
