"""Why settings should not be promoted: a loss, a gain that may be chance, a best value at the edge of the values tried.

*Conventions.* A doubt is a part of a sentence, which begins with "not promoted, because". Without doubts, a list is
empty.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError
from anemone_lib.evaluation.rates import format_interval

if TYPE_CHECKING:
    from anemone_lib.tuning.search import Tuning

#: Settings whose lowest value has the same effect as any lower value, so that it is no edge.
_OPEN_BELOW = ("smoothing_window", "min_gap_duration", "min_event_duration")


def list_doubts(tuning: "Tuning") -> list[str]:
    """Say why settings should not be promoted.

    Parameters
    ----------
    tuning : Tuning

    Returns
    -------
    doubts : list of str
        A loss, a gain whose interval includes 0 or is unknown, and values at the edge of the values tried. Empty if the
        settings did not change.
    """
    if tuning.config == tuning.base:
        return []
    axes = {} if tuning.by_hand else tuning.sweep.space.axes
    return [*doubt_gain(*tuning.measure_gain()), *doubt_edges(tuning.config, axes, bout_gap=tuning.bout_gap)]


def doubt_gain(gain: float, low: float, high: float, *, where: str = "on recordings set aside") -> list[str]:
    """Say why a gain of F1 cannot be believed.

    Parameters
    ----------
    gain, low, high : float, with the 95 % interval; NaN where unknown
    where : str, what it was measured on

    Examples
    --------
    >>> doubt_gain(0.1, -0.02, 0.2), doubt_gain(0.1, 0.02, 0.2)
    (['the gain of F1 on recordings set aside is +0.100, and its interval (-0.020 to +0.200) includes 0'], [])
    """
    interval = format_interval(low, high, "+.3f")
    if math.isnan(gain):
        return [f"the gain of F1 {where} is unknown"]
    if gain < 0:
        return [f"F1 is lower {where} by {-gain:.3f} ({interval})"]
    if math.isnan(low):
        return [
            f"the gain of F1 {where} is {gain:+.3f}, and its interval is unknown, because there are too few of them"
        ]
    return [] if low > 0 else [f"the gain of F1 {where} is {gain:+.3f}, and its interval ({interval}) includes 0"]


def doubt_edges(
    config: InferenceConfig, axes: Mapping[str, Sequence[float]], *, bout_gap: float = math.inf
) -> list[str]:
    """Say which of the best values are at the edge of the values tried, so that better ones may lie beyond it.

    Parameters
    ----------
    config : InferenceConfig, the best settings
    axes : mapping of a setting to the values that were tried, ascending
    bout_gap : float, in seconds; a gap as long is no edge, because longer gaps would join two bouts

    Examples
    --------
    >>> doubt_edges(InferenceConfig(confidence_threshold=0.9), {"confidence_threshold": (0.5, 0.7, 0.9)})
    ['the best confidence_threshold is 0.9, the edge of what was tried']
    """
    doubts = []
    for name, values in axes.items():
        value = getattr(config, name)
        ends = values[-1:] if name in _OPEN_BELOW else (values[0], values[-1])
        if name == "min_gap_duration" and value >= bout_gap:
            continue
        if len(values) > 1 and value in ends:
            doubts.append(f"the best {name} is {value:g}, the edge of what was tried")
    return doubts


def refuse_doubtful(doubts: Sequence[str]) -> None:
    """Refuse a promotion if there are doubts.

    Raises
    ------
    ConfigError
        There are doubts; the message has them.

    Examples
    --------
    >>> refuse_doubtful([])
    """
    if doubts:
        raise ConfigError(
            f"not promoted, because {', and '.join(doubts)}; annotate more recordings, or promote all the same with "
            "--force (in a notebook: force = True)"
        )
