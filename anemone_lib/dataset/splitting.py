"""Draw the split of a dataset: groups whole, every class in every part as far as there are calls and groups for it.

*Method.* Groups are given to the parts in many random ways (with a seed). The way is chosen in which the parts come
closest to their share of each class's calls and of the recordings. If there are too few groups for this, every
recording is cut in time.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from anemone_lib.dataset.description import PARTS, SplitByName, SplitByTime
from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.errors import ConfigError, spell_count

#: Groups, and groups that hold a class, without which a split by group leaves parts without a class, or with one group.
MIN_GROUPS, MIN_GROUPS_OF_CLASS = 10, 3
#: Share of train, validation and test in a split by group.
FRACTIONS = (0.6, 0.15, 0.25)
#: Ways to split; a part's name puts all recordings into it.
SPLITS = ("auto", "group", "time", *PARTS)
#: Ways to give the groups to the parts that are tried.
TRIES = 2000


def draw_split(
    recordings: Sequence[LabelledRecording], *, names: Sequence[str] = (), seed: int = 0, by: str = "auto"
) -> tuple[SplitByName | SplitByTime, str]:
    """Draw a split.

    Parameters
    ----------
    recordings : sequence of LabelledRecording
    names : what to call them in the split, by default by their files' names
    seed : int
        The same seed draws the same split of the same recordings.
    by : "auto", "group", "time", or one part's name, which then holds all recordings

    Returns
    -------
    split : SplitByName or SplitByTime
    why : str, how the recordings were split, and why, for people

    Raises
    ------
    ConfigError
        There is no such way to split.

    Examples
    --------
    >>> from pathlib import Path
    >>> names = [f"reef{k}" for k in range(4)]
    >>> reefs = [LabelledRecording(Path(f"{name}.wav"), Path(f"{name}.csv"), name, 10.0, 4000, ()) for name in names]
    >>> draw_split(reefs, by="test")[0].test
    ('reef0.wav', 'reef1.wav', 'reef2.wav', 'reef3.wav')
    >>> draw_split(reefs)[0].fractions
    (0.5, 0.15, 0.35)
    """
    if by not in SPLITS:
        raise ConfigError(f"split is {by!r}; it must be one of {', '.join(SPLITS)}")
    names = names or [one.name for one in recordings]
    if by in PARTS:
        return SplitByName.model_validate(
            {by: names}
        ), f"all is in the {by} part: {spell_count(len(names), 'recording')}"
    groups = sorted({one.group for one in recordings})
    number = f"{spell_count(len(groups), 'group')} {'is' if len(groups) == 1 else 'are'}"
    classes = sorted({name for one in recordings for name in one.count_calls()})
    scarce = [
        name
        for name in classes
        if len({one.group for one in recordings if one.count_calls()[name]}) < MIN_GROUPS_OF_CLASS
    ]
    if by == "time" or (by == "auto" and (len(groups) < MIN_GROUPS or scarce)):
        few = f"{number} few" if len(groups) < MIN_GROUPS else f"few groups hold {', '.join(scarce)}"
        return SplitByTime(), (
            f"{few if by == 'auto' else 'as asked'}: every recording is cut in time, 50 % to train, 15 % to validate, "
            "35 % to test; this says nothing about other days or places, so test on whole recordings as well"
        )
    if len(groups) < 3:
        return (
            SplitByTime(),
            f"{number} too few for three parts: every recording is cut in time instead",
        )
    parts = _give_groups(recordings, groups, classes, seed)
    chosen = {
        part: [name for name, one in zip(names, recordings, strict=True) if parts[one.group] == part] for part in PARTS
    }
    return SplitByName.model_validate(chosen), (
        f"{len(groups)} groups drawn with seed {seed}: "
        + ", ".join(f"{spell_count(len(chosen[part]), 'recording')} to {part}" for part in PARTS)
    )


def _give_groups(
    recordings: Sequence[LabelledRecording], groups: Sequence[str], classes: Sequence[str], seed: int
) -> dict[str, str]:
    """Give every group to a part; see the module's method."""
    amounts = np.zeros((len(groups), len(classes) + 1))  # calls of each class, and recordings
    for one in recordings:
        calls: Counter[str] = one.count_calls()
        amounts[groups.index(one.group)] += [*(calls[name] for name in classes), 1]
    shares = amounts / np.maximum(amounts.sum(axis=0), 1)
    rng = np.random.default_rng(seed)
    best, best_cost = None, np.inf
    for _ in range(TRIES):
        parts = rng.choice(3, len(groups), p=FRACTIONS)
        got = np.stack([shares[parts == part].sum(axis=0) for part in range(3)])
        cost = np.abs(got - np.array(FRACTIONS)[:, None]).sum() + 10 * (got[:, amounts.sum(axis=0) > 0] == 0).sum()
        if cost < best_cost:
            best, best_cost = parts, cost
    assert best is not None
    return {group: PARTS[part] for group, part in zip(groups, best, strict=True)}
