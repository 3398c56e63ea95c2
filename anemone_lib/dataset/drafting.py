"""Write a first description of a folder: labels and their counts, classes, settings, split."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anemone_lib.audio.channels import Channel
from anemone_lib.config import EVENT_FIELDS, InferenceConfig
from anemone_lib.dataset.description import Dataset, SplitByName, SplitByTime
from anemone_lib.dataset.proposal import propose_settings
from anemone_lib.dataset.recordings import (
    LabelledRecording,
    assign_spans,
    find_files,
    find_label_column,
    label_recordings,
    name_recordings,
    read_recordings,
    separate_namesakes,
)
from anemone_lib.dataset.splitting import draw_split
from anemone_lib.detection.events import fold_label
from anemone_lib.errors import ConfigError
from anemone_lib.tables.reading import read_annotations

#: Name of the class of windows without a call.
BACKGROUND = "noise"


@dataclass(frozen=True)
class Draft:
    """A first description of a folder, and notes.

    Attributes
    ----------
    dataset : Dataset
    counts : Counter of annotations by label, as in the tables
    notes : tuple of str, what a person should check, one sentence each
    """

    dataset: Dataset
    counts: Counter[str]
    notes: tuple[str, ...]


def draft_dataset(
    folder: str | os.PathLike[str],
    *,
    labels: Mapping[str, str | None] | None = None,
    target_class: str | None = None,
    label_column: str | None = None,
    annotations: str | os.PathLike[str] | None = None,
    group: str | None = None,
    split: str = "auto",
    timezone: str = "UTC",
    channel: Channel = "mean",
    seed: int = 0,
    relative_to: str | os.PathLike[str] | None = None,
    ask: Callable[[str, int], str | None] | None = None,
) -> Draft:
    """Describe a folder of annotated recordings.

    Parameters
    ----------
    folder : path
    labels : mapping of label to class, or to None, optional
        By default every label is a class of its own.
    target_class : str, optional
        By default the class with the most annotations.
    label_column : str, optional
        By default found; see `find_label_column`.
    annotations : path of a folder with the tables, optional
    group : as in `Dataset.group`, optional; by default the day where every name tells it, else the recording
    split : "auto", "group", "time", or a part's name, which then holds all recordings
    timezone : str
    channel : int from 1, ``"mean"`` or ``"loudest"``, as in `open_recording`
    seed : int, of the split
    relative_to : path of the folder that the description will lie in, optional; by default `folder`
    ask : callable (label, count) to the class of a label that `labels` does not name, optional
        Without it, such a label is of no class.

    Returns
    -------
    draft : Draft

    Raises
    ------
    ConfigError
        No annotated recording, a label that no table holds, or a target that is no class.
    AnnotationError
        A table cannot be read, or it is not clear which column holds its labels.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import numpy as np
    >>> import soundfile
    >>> folder = Path(mkdtemp())
    >>> soundfile.write(folder / "reef.wav", np.zeros(40_000), 4_000)
    >>> _ = (folder / "reef.csv").write_text("start,end,label\\n1.0,1.8,lt\\n4.0,4.7,lt\\n6.0,6.2,?\\n")
    >>> draft = draft_dataset(folder, labels={"lt": "toadfish", "?": None})
    >>> draft.counts["lt"], draft.dataset.classes, draft.dataset.settings["target_sr"]
    (2, ('noise', 'toadfish'), 4000)
    """
    home = Path(relative_to or folder)
    place = _spell_relative(Path(folder), home)
    tables_at = "same" if annotations is None else _spell_relative(Path(annotations), home)
    probe = Dataset(
        recordings=(place,), annotations=tables_at, classes=(BACKGROUND, "x"), target_class="x", timezone=timezone
    ).with_folder(home)
    pairs = find_files(probe)
    label_column = label_column or find_label_column(pairs, labels=labels or ())
    content = [read_annotations(one.table, label_column=label_column, recording_name=one.name) for one in pairs]
    counts = Counter(one.label.strip() for annotations_ in content for one in annotations_)
    meaning = _give_meaning(counts, labels, ask)
    classes = (BACKGROUND, *dict.fromkeys(name for name in meaning.values() if name and name != BACKGROUND))
    if len(classes) < 2:
        raise ConfigError(
            f"no label belongs to a class; the tables have {_list(counts)}: say which with --label LABEL=CLASS"
        )
    sizes = {name: sum(n for label, n in counts.items() if meaning.get(label) == name) for name in classes}
    target = target_class or max(classes[1:], key=lambda name: sizes[name])
    if target not in classes[1:]:
        raise ConfigError(f"the target is {target!r}; it must be one of {', '.join(classes[1:])}")
    fields: dict[str, Any] = {
        "recordings": (place,),
        "annotations": tables_at,
        "label_column": label_column,
        "timezone": timezone,
        "channel": channel,
        "classes": classes,
        "target_class": target,
        "labels": meaning,
        "group": group or "day",
    }
    described = Dataset(**fields).with_folder(home)
    recordings = label_recordings(pairs, content, described)
    if group is None and any(one.group == one.path.stem for one in recordings):
        described = Dataset(**{**fields, "group": "recording"}).with_folder(home)
        recordings = label_recordings(pairs, content, described)
    recordings = separate_namesakes(recordings, described)
    drawn, why = draw_split(recordings, names=name_recordings(recordings, described), seed=seed, by=split)
    fields |= {"group": described.group, "split": drawn, "settings": propose_settings(recordings)}
    dataset = Dataset(**fields).with_folder(home)
    notes = [f"split: {why}", *pairs.notes]
    known = {fold_label(label): name for label, name in meaning.items()}
    unused = [label for label in counts if known.get(fold_label(label)) is None]
    notes += [f"label {label!r} ({counts[label]}) belongs to no class, call or background" for label in unused]
    return Draft(dataset, counts, tuple(notes))


def describe_folder(
    folder: str | os.PathLike[str],
    config: InferenceConfig,
    *,
    labels: Mapping[str, str | None] | None = None,
    annotations: str | os.PathLike[str] | None = None,
    label_column: str | None = None,
    channel: Channel = "mean",
    seed: int = 0,
) -> tuple[Dataset, list[LabelledRecording]]:
    """Take a folder for a dataset with the classes of a configuration; a fifth of the recordings is to validate on.

    Parameters
    ----------
    folder : path, of recordings with their tables
    config : InferenceConfig
    labels : mapping, optional
        The class of each label that is not the name of a class.
    annotations : path of the folder with the tables, optional
    label_column : str, optional
        Column of the tables with the labels, if its name is unusual.
    channel : int or str, as for `anemone_lib.open_recording`
    seed : int, of the choice of recordings

    Returns
    -------
    dataset : Dataset
        A single recording is cut in time.
    recordings : list of LabelledRecording

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_dataset
    >>> folder = mkdtemp()
    >>> _ = write_dataset(folder, n_recordings=5, duration=5, sample_rate=8000)
    >>> _, recordings = describe_folder(folder, InferenceConfig())
    >>> sum("validation" in one.spans for one in recordings), len(recordings)
    (1, 5)
    """
    fields: dict[str, Any] = {
        "recordings": (str(Path(folder).resolve()),),
        "annotations": str(Path(annotations).resolve()) if annotations else "same",
        "classes": config.classes,
        "target_class": config.target_class,
        "labels": dict(labels or {}),
        "settings": config.model_dump(exclude={*EVENT_FIELDS, "batch_size", "model_classes"}),
        "label_column": label_column,
        "channel": channel,
    }
    whole = Dataset(**fields, split=SplitByTime(fractions=(0.8, 0.2, 0.0)))
    recordings = read_recordings(whole, label=config.target_class)
    names = [one.name for one in recordings]
    if len(names) < 2:
        return whole, recordings
    n = min(len(names) - 1, max(1, round(0.2 * len(names))))
    aside = {names[k] for k in np.random.default_rng(seed).permutation(len(names))[:n]}
    split = SplitByName(train=tuple(n for n in names if n not in aside), validation=tuple(sorted(aside)))
    dataset = Dataset(**fields, split=split)
    return dataset, assign_spans(recordings, dataset)


def _give_meaning(
    counts: Counter[str], labels: Mapping[str, str | None] | None, ask: Callable[[str, int], str | None] | None
) -> dict[str, str | None]:
    """Give every label of the tables its class."""
    known = {fold_label(label): name for label, name in (labels or {}).items()}
    there = {fold_label(label) for label in counts}
    if known and not there & set(known):
        raise ConfigError(f"no annotation has a label of {', '.join(labels or {})}; the tables have {_list(counts)}")
    meaning: dict[str, str | None] = {label.strip(): name for label, name in (labels or {}).items()}
    by_name = bool(known)
    for label, n in counts.most_common():
        if fold_label(label) in known:  # spelled in another way
            continue
        if ask is not None:
            meaning[label] = ask(label, n)
        else:
            meaning[label] = None if by_name or not label else " ".join(label.split())
        known[fold_label(label)] = meaning[label]
    return meaning


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{label!r} ({n})" for label, n in counts.most_common()) or "no annotation at all"


def _spell_relative(path: Path, home: Path) -> str:
    """Spell a path relative to the description's folder."""
    try:
        return Path(os.path.relpath(path.resolve(), home.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()
