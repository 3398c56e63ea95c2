"""Training on the embeddings of a backbone instead of images.

A backbone takes longer than all other steps, so windows are drawn and embedded once, and every epoch draws from them.
They are mixed and moved as in `anemone_lib.training.examples`; stripes and contrast belong to images and do not change.
"""

import numpy as np

from anemone_lib.config import InferenceConfig
from anemone_lib.scoring.backbone import Backbone
from anemone_lib.scoring.fit import scale_transform
from anemone_lib.training.examples import ExamplePool, Examples

#: The most windows that are embedded for training.
MOST_WINDOWS = 3000


class EmbeddedPool:
    """Windows drawn once from a pool, and embedded.

    Parameters
    ----------
    pool : ExamplePool
    backbone : Backbone
    seed : int

    Attributes
    ----------
    counts : dict of class to windows that may be drawn, of the pool
    examples : Examples, the windows that were drawn, embedded
    """

    def __init__(self, pool: ExamplePool, backbone: Backbone, *, seed: int = 0) -> None:
        self.counts = pool.counts
        n = max(1, min(MOST_WINDOWS, sum(pool.counts.values())))
        self.examples = draw_examples(pool, backbone, n=n, seed=seed)

    def draw(self, n: int, rng: np.random.Generator, *, channels: int = 1) -> Examples:
        """Draw some of the windows, each at most once as long as there are enough.

        Parameters
        ----------
        n : int > 0
        rng : np.random.Generator
        channels : int, not used; `ExamplePool.draw` has it

        Returns
        -------
        examples : Examples
        """
        chosen = rng.choice(len(self.examples), n, replace=n > len(self.examples))
        own = self.examples
        return Examples(own.images[chosen], own.present[chosen], own.known[chosen])


def draw_examples(pool: ExamplePool, backbone: Backbone | None, *, n: int, seed: int) -> Examples:
    """Draw some windows of a pool, as images or embedded."""
    rng = np.random.default_rng(seed)
    if backbone is None:
        return pool.draw(n, rng)
    windows, present, known = pool.draw_windows(n, rng)
    return Examples(backbone.embed(windows), present, known)


def fit_backbone(config: InferenceConfig, backbone: Backbone, *, sample_rate: int) -> InferenceConfig:
    """Return settings with which recordings are given to a backbone: its rate, its window.

    Parameters
    ----------
    config : InferenceConfig
    backbone : Backbone
    sample_rate : int > 0, in Hz, for which the transform of `config` was chosen

    Returns
    -------
    config : InferenceConfig
        The transform, for figures and for measures of calls, has the same duration as before.
    """
    return scale_transform(config, backbone.sample_rate, transform_sr=sample_rate).replace(
        target_sr=backbone.sample_rate,
        window_duration=backbone.window_duration,
        stride_duration=min(config.stride_duration, backbone.window_duration),
    )
