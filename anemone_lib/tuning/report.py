"""Report a tuning and promote its settings: the page, the details for programs, and the command that repeats it."""

import hashlib
import json
import math
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anemone_lib.audio.channels import Channel
from anemone_lib.config import EVENT_FIELDS
from anemone_lib.errors import ConfigError, spell_count
from anemone_lib.evaluation.rates import METRICS, add_counts, bootstrap_interval, format_interval, format_rate
from anemone_lib.files import write_text
from anemone_lib.promotion import SETTINGS_FILE, Promotion
from anemone_lib.provenance import __version__, code_sha256
from anemone_lib.tuning.doubts import list_doubts, refuse_doubtful

if TYPE_CHECKING:
    from anemone_lib.tuning.search import Tuning

#: Bootstrap intervals from fewer recordings than this are too narrow (Davison & Hinkley 1997, section 2.3).
FEW_RECORDINGS = 8

#: What a promotion writes: the settings for Terraform, the page, the details, and the settings before the search.
PAGE_FILE = "inference_config.md"
DETAILS_FILE, BASE_FILE = "inference_config.tuning.json", "inference_config.before.json"


def describe_tuning(tuning: "Tuning") -> dict[str, Any]:
    """Describe a tuning for programs.

    Parameters
    ----------
    tuning : Tuning

    Returns
    -------
    content : dict, ready for JSON; a rate that is unknown is None
    """
    recordings = [
        {
            "name": one.name,
            "channel": one.scores.channel,
            "recording_sha256": one.scores.recording_sha256,
            "annotations_sha256": one.annotations_sha256,
            "held_out": held_out,
            "tuned": tuned.to_dict(),
            "base": base.to_dict(),
        }
        for held_out, recordings in ((False, tuning.tuned_on), (True, tuning.held_out))
        for one, tuned, base in zip(
            recordings,
            tuning.count_events(held_out=held_out),
            tuning.count_events(tuning.base, held_out=held_out),
            strict=True,
        )
    ]
    scores = tuning.tuned_on[0].scores
    return {
        "inference_config": tuning.config.model_dump(),
        "inference_config_fingerprint": tuning.config.fingerprint,
        "base_config": tuning.base.model_dump(),
        "objective": "set by hand" if tuning.by_hand else tuning.objective,
        "settings_tried": tuning.sweep.space.size,
        "labels": list(tuning.labels),
        "bout_gap_s": tuning.bout_gap,
        "holdout": tuning.holdout,
        "seed": tuning.seed,
        "held_out": {metric: _describe_rate(tuning, metric) for metric in METRICS},
        "recordings": recordings,
        "provenance": {
            "scores_fingerprint": scores.scores_fingerprint,
            "model_sha256": scores.model_sha256,
            "model_version": scores.model_version,
            "dataset_sha256": hash_recordings(tuning),
            "code_version": __version__,
            "code_sha256": code_sha256(),
        },
    }


def write_report(tuning: "Tuning", *, command: str = "", promoted: bool = False) -> str:
    """Write a page on the settings, which goes with them where they are promoted.

    Parameters
    ----------
    tuning : Tuning
    command : str
        The command that finds the same settings again from the same recordings; see `write_command`.
    promoted : bool, whether they are promoted, in spite of doubts where there are any

    Returns
    -------
    page : str, Markdown
    """
    content = describe_tuning(tuning)
    f1 = content["held_out"]["f1"]
    low, high = f1["gain_interval"]
    said = "Promoted by force, although" if promoted else "Not promoted, because"
    verdict = "The tuned settings are better" if low is not None and low > 0 else "**No gain is shown**"
    lines = [
        f"# Settings for {tuning.config.target_class}",
        "",
        f"{verdict} on recordings they were not tuned on: F1 {format_rate(f1['gain'], '+.3f', unknown='unknown')} "
        f"({format_interval(low, high, '+.3f')}, 95 % bootstrap by {'group' if tuning.groups else 'recording'}).",
        "",
        *([f"{said} {', and '.join(doubts)}.", ""] if (doubts := list_doubts(tuning)) else []),
        *_list_settings(tuning),
        *_list_rates(tuning, content),
        *_list_recordings(content),
        *_list_provenance(tuning, content, command),
    ]
    return "\n".join(lines) + "\n"


def hash_recordings(tuning: "Tuning") -> str:
    """Compute the SHA-256 (hex) of all recordings and their tables, whatever they are called."""
    lines = [
        f"{one.scores.recording_sha256} {one.annotations_sha256}\n" for one in (*tuning.tuned_on, *tuning.held_out)
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def write_command(
    tuning: "Tuning",
    recordings: str | os.PathLike[str],
    *,
    config: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | None = None,
    label_column: str | None = None,
    channel: Channel = "mean",
    timezone: str | None = None,
    start_time_format: str | None = None,
    model: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> str:
    """Write the command that finds the same settings again, with every option that decides them.

    Parameters
    ----------
    tuning : Tuning
    recordings : path of the folder with the annotated recordings
    config : path of the file with the settings before the search
    annotations : path of the folder with the tables, optional
    label_column, channel, timezone, start_time_format : optional, as in `score_annotated_recordings`
    model : path of the model bundle, optional
        By default the demonstration model.
    force : bool, whether the settings were promoted in spite of doubts

    Returns
    -------
    command : str, for a shell
    """
    plain = not any("," in label or label.startswith("[") for label in tuning.labels)
    options: dict[str, Any] = {
        "--annotations": annotations or None,
        "--label-column": label_column,
        "--channel": None if channel == "mean" else channel,
        "--timezone": timezone,
        "--start-time-format": start_time_format,
        "--labels": ",".join(tuning.labels) if plain else json.dumps(list(tuning.labels), ensure_ascii=False),
        "--bout-gap": tuning.bout_gap,
        "--holdout": tuning.holdout,
        "--seed": tuning.seed,
        "--beta": tuning.beta,
        "--max-false-alarms-per-hour": tuning.max_false_alarms_per_hour,
        "--model": model or None,
        "--config": config,
    }
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return shlex.join(["anemone", "tune", str(recordings), *words, *(["--force"] if force else [])])


def promote_tuning(
    tuning: "Tuning",
    folder: str | os.PathLike[str],
    *,
    recordings: str | os.PathLike[str] | None = None,
    annotations: str | os.PathLike[str] | None = None,
    label_column: str | None = None,
    channel: Channel = "mean",
    timezone: str | None = None,
    start_time_format: str | None = None,
    model: str | os.PathLike[str] | None = None,
    command: str = "",
    force: bool = False,
) -> list[Path]:
    """Write the settings where an environment's Terraform loads them, with the report beside them.

    Parameters
    ----------
    tuning : Tuning
    folder : path of the environment's folder, like ``terraform/environments/dev``
    recordings, annotations, label_column, channel, timezone, start_time_format, model : optional, as in `write_command`
        With `recordings`, the report has the command that repeats the search.
    command : str, for a shell, that repeats it where there is no folder of recordings, optional
    force : bool
        Promote in spite of doubts; see `list_doubts`.

    Returns
    -------
    paths : list of pathlib.Path
        ``inference_config.auto.tfvars.json``, ``inference_config.md``, ``inference_config.tuning.json`` and
        ``inference_config.before.json``, the settings before, which the command reads.

    Raises
    ------
    ConfigError
        There is no such folder; a promotion never makes an environment, because its name may be misspelled. Or there
        are doubts; nothing is written then.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; give a folder that exists, like terraform/environments/dev")
    doubts = list_doubts(tuning)
    if not force:
        refuse_doubtful(doubts)
    base = tuning.base.save(folder / BASE_FILE)
    command = "" if tuning.by_hand else command
    if recordings is not None and not tuning.by_hand:
        command = write_command(
            tuning,
            recordings,
            config=base,
            annotations=annotations,
            label_column=label_column,
            channel=channel,
            timezone=timezone,
            start_time_format=start_time_format,
            model=model,
            force=bool(doubts),
        )
    page, details = folder / PAGE_FILE, folder / DETAILS_FILE
    write_text(page, write_report(tuning, command=command, promoted=True))
    write_text(details, json.dumps(describe_tuning(tuning), indent=1) + "\n")
    promotion = Promotion(tuning.config, tuning.tuned_on[0].scores.model_sha256, hash_recordings(tuning))
    return [promotion.save(folder / SETTINGS_FILE), page, details, base]


# ---------------------------------------------------------------------- the parts of the page


def _list_settings(tuning: "Tuning") -> list[str]:
    return [
        "## Settings",
        "",
        "| setting | tuned | before |",
        "|---|---|---|",
        *(f"| {name} | {getattr(tuning.config, name)} | {getattr(tuning.base, name)} |" for name in EVENT_FIELDS),
        "",
        ("Set by hand. " if tuning.by_hand else f"The best of {tuning.sweep.space.size} by {tuning.objective}. ")
        + f"Labels that stood for the target: "
        f"{', '.join(tuning.labels)}. Annotations up to {tuning.bout_gap:g} s apart count as one bout.",
        "",
    ]


def _list_rates(tuning: "Tuning", content: dict[str, Any]) -> list[str]:
    few = "Intervals from so few recordings are too narrow: annotate more before you rely on them."
    rows = [
        f"| {metric.replace('_', ' ')} | "
        + " | ".join(_show_with_interval(rates[name], rates[f"{name}_interval"]) for name in ("tuned", "base", "gain"))
        + " |"
        for metric, rates in content["held_out"].items()
    ]
    return [
        f"## On the {spell_count(len(tuning.held_out), 'recording')} set aside",
        "",
        *([few, ""] if len(tuning.held_out) < FEW_RECORDINGS else []),
        "| | tuned | before | gain |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _list_recordings(content: dict[str, Any]) -> list[str]:
    return [
        "## Recordings",
        "",
        "| recording | SHA-256 | annotations SHA-256 | use | bouts | found | matched | F1 | F1 before |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {row['name']} | {row['recording_sha256'][:12]} | {row['annotations_sha256'][:12]} "
            f"| {'set aside' if row['held_out'] else 'tuned on'} | {row['tuned']['n_reference']} "
            f"| {row['tuned']['n_estimated']} | {row['tuned']['n_matched']} | {format_rate(row['tuned']['f1'])} "
            f"| {format_rate(row['base']['f1'])} |"
            for row in content["recordings"]
        ),
        "",
    ]


def _list_provenance(tuning: "Tuning", content: dict[str, Any], command: str) -> list[str]:
    provenance = content["provenance"]
    return [
        "## How to repeat it",
        "",
        "A person chose these settings."
        if tuning.by_hand
        else "The same search on these recordings and tables, with this model, finds the same settings"
        + (f": `{command}`." if command else "."),
        "",
        f"- configuration {tuning.config.fingerprint}",
        f"- scores {provenance['scores_fingerprint']}",
        f"- model {provenance['model_version']}, {provenance['model_sha256']}",
        f"- recordings and tables {provenance['dataset_sha256']}",
        f"- code {provenance['code_version']}, {provenance['code_sha256']}",
    ]


def _describe_rate(tuning: "Tuning", metric: str) -> dict[str, float | list[float | None] | None]:
    """One rate on the recordings set aside: tuned, base, gain, and the interval of each."""
    tuned, base = tuning.add_up(tuning.count_events()), tuning.add_up(tuning.count_events(tuning.base))
    gain, *gain_interval = tuning.measure_gain(metric)
    return {
        "tuned": _to_json(getattr(add_counts(tuned), metric)),
        "tuned_interval": [_to_json(bound) for bound in bootstrap_interval(tuned, metric=metric)],
        "base": _to_json(getattr(add_counts(base), metric)),
        "base_interval": [_to_json(bound) for bound in bootstrap_interval(base, metric=metric)],
        "gain": _to_json(gain),
        "gain_interval": [_to_json(bound) for bound in gain_interval],
    }


def _to_json(rate: float) -> float | None:
    return None if math.isnan(rate) else rate


def _show_with_interval(rate: float | None, interval: list[float | None]) -> str:
    low, high = interval
    return format_rate(rate) + ("" if low is None else f" ({format_interval(low, high)})")
