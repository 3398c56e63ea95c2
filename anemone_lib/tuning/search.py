"""Search the event settings on annotated recordings, and promote the best.

*Conventions.* Recordings are scored once; every setting is then tried on the same scores (`anemone_lib.tuning.sweep`),
and the best by F1 (or F-beta) is compared with the settings before, on recordings that were set aside. Recordings,
never windows, are set aside: windows of one recording are too much alike to test each other.
"""

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anemone_lib.config import EVENT_FIELDS, InferenceConfig
from anemone_lib.errors import ConfigError, ScoresError, spell_count
from anemone_lib.evaluation.rates import METRICS, Counts, bootstrap_interval, total
from anemone_lib.provenance import __version__, code_sha256
from anemone_lib.tuning.recordings import (
    AnnotatedRecording,
    count_recordings,
    split_recordings,
)
from anemone_lib.tuning.sweep import SearchSpace, Sweep, sweep_settings

#: Bootstrap intervals from fewer recordings than this are too narrow (Davison & Hinkley 1997, section 2.3).
FEW = 8


# ---------------------------------------------------------------------- tune


@dataclass(frozen=True, eq=False)
class Tuning:
    """The best settings, and what shows that they are.

    Attributes
    ----------
    config : InferenceConfig, the best
    base : InferenceConfig, what one came with
    sweep : Sweep, of the recordings that were tuned on
    samples, held_out : lists of AnnotatedRecording, tuned on and set aside
    labels : names that stood for the target class
    bout_gap : float, in seconds
    objective : str, what was best, in words

    Examples
    --------
    >>> import numpy as np
    >>> from anemone_lib.detection import Annotation
    >>> from anemone_lib.scoring import Scores, WindowGrid
    >>> def annotate(name, target, calls):
    ...     grid = WindowGrid(n_samples=8000 * len(target), sample_rate=8000, window_samples=8000, stride_samples=8000)
    ...     target = np.array(target, np.float32)
    ...     probabilities = np.column_stack([1 - target, target, 0 * target])
    ...     scores = Scores(probabilities, ("noise", "anemonefish", "biological"), grid, recording_name=name)
    ...     return AnnotatedRecording(scores, [Annotation(start, end, "anemonefish") for start, end in calls])
    >>> recordings = [
    ...     annotate("a.wav", [0.1, 0.9, 0.1, 0.1, 0.4, 0.1], [(1.2, 1.8)]),
    ...     annotate("b.wav", [0.1, 0.1, 0.7, 0.1, 0.1, 0.4], [(2.2, 2.8)]),
    ... ]
    >>> space = SearchSpace((1,), (0.3, 0.6, 0.8), (0.1,), (0.2,))
    >>> base = InferenceConfig(smoothing_window=1, confidence_threshold=0.3)
    >>> tuning = tune(recordings, base, holdout=0.5, space=space)
    >>> gain, low, high = tuning.gain("false_alarms_per_hour")
    >>> gain  # one false alarm less in the 6 s that were set aside
    -600.0
    """

    config: InferenceConfig
    base: InferenceConfig
    sweep: Sweep
    samples: list[AnnotatedRecording]
    held_out: list[AnnotatedRecording]
    labels: tuple[str, ...]
    bout_gap: float
    objective: str

    def counts(self, config: InferenceConfig | None = None, *, held_out: bool = True) -> list[Counts]:
        """Counts of every recording set aside (or tuned on), with the best settings or with others."""
        samples = self.held_out if held_out else self.samples
        return count_recordings(samples, config or self.config, labels=self.labels, bout_gap=self.bout_gap)

    def gain(self, metric: str = "f1") -> tuple[float, float, float]:
        """How much better than `base` on the recordings set aside: gain, and its 95 % interval by recording."""
        best, base = self.counts(), self.counts(self.base)
        gain = getattr(total(best), metric) - getattr(total(base), metric)
        return gain, *bootstrap_interval(best, baseline=base, metric=metric)

    def to_dict(self) -> dict[str, Any]:
        """Everything that the report says, for programs; a rate that is unknown is None."""
        recordings = [
            {
                "name": sample.name,
                "recording_sha256": sample.scores.recording_sha256,
                "annotations_sha256": sample.annotations_sha256,
                "held_out": held_out,
                "tuned": tuned.to_dict(),
                "base": base.to_dict(),
            }
            for held_out, samples in ((False, self.samples), (True, self.held_out))
            for sample, tuned, base in zip(
                samples, self.counts(held_out=held_out), self.counts(self.base, held_out=held_out), strict=True
            )
        ]
        scores = self.samples[0].scores
        return {
            "inference_config": self.config.model_dump(),
            "inference_config_fingerprint": self.config.fingerprint,
            "base_config": self.base.model_dump(),
            "objective": self.objective,
            "settings_tried": self.sweep.space.size,
            "labels": list(self.labels),
            "bout_gap_s": self.bout_gap,
            "held_out": {metric: self._rates(metric) for metric in METRICS},
            "recordings": recordings,
            "provenance": {
                "scores_fingerprint": scores.scores_fingerprint,
                "model_sha256": scores.model_sha256,
                "model_version": scores.model_version,
                "code_version": __version__,
                "code_sha256": code_sha256(),
            },
        }

    def _rates(self, metric: str) -> dict[str, float | list[float | None] | None]:
        """One rate on the recordings set aside: tuned, base, gain, and the interval of each."""
        tuned, base = self.counts(), self.counts(self.base)
        gain, *gain_interval = self.gain(metric)
        return {
            "tuned": _known(getattr(total(tuned), metric)),
            "tuned_interval": [_known(bound) for bound in bootstrap_interval(tuned, metric=metric)],
            "base": _known(getattr(total(base), metric)),
            "base_interval": [_known(bound) for bound in bootstrap_interval(base, metric=metric)],
            "gain": _known(gain),
            "gain_interval": [_known(bound) for bound in gain_interval],
        }

    def report(self, *, command: str = "") -> str:
        """Return the page that goes with the promoted settings, in Markdown.

        Parameters
        ----------
        command : str
            What makes the same settings again from the same recordings.
        """
        content = self.to_dict()
        provenance, held_out = content["provenance"], content["held_out"]
        gain, interval = held_out["f1"]["gain"], held_out["f1"]["gain_interval"]
        better = None not in interval and interval[0] > 0
        verdict = "The tuned settings are better" if better else "**No gain is shown**"
        lines = [
            f"# Settings for {self.config.target_class}",
            "",
            f"{verdict} on recordings they were not tuned on: F1 {_signed(gain)} "
            f"({_signed(interval[0])} to {_signed(interval[1])}, 95 % bootstrap by recording).",
            "",
            "## Settings",
            "",
            "| setting | tuned | before |",
            "|---|---|---|",
            *(f"| {name} | {getattr(self.config, name)} | {getattr(self.base, name)} |" for name in EVENT_FIELDS),
            "",
            f"The best of {self.sweep.space.size} by {self.objective}. Labels that stood for the target: "
            f"{', '.join(self.labels)}. Annotations up to {self.bout_gap:g} s apart count as one bout.",
            "",
            f"## On the {spell_count(len(self.held_out), 'recording')} set aside",
            "",
            *(
                ["Intervals from so few recordings are too narrow: annotate more before relying on them.", ""]
                if len(self.held_out) < FEW
                else []
            ),
            "| | tuned | before | gain |",
            "|---|---|---|---|",
            *(
                f"| {metric.replace('_', ' ')} | {_with_interval(rates, 'tuned')} | {_with_interval(rates, 'base')} "
                f"| {_with_interval(rates, 'gain')} |"
                for metric, rates in held_out.items()
            ),
            "",
            "## Recordings",
            "",
            "| recording | SHA-256 | annotations SHA-256 | use | bouts | found | matched | F1 | F1 before |",
            "|---|---|---|---|---|---|---|---|---|",
            *(
                f"| {row['name']} | {row['recording_sha256'][:12]} | {row['annotations_sha256'][:12]} "
                f"| {'set aside' if row['held_out'] else 'tuned on'} | {row['tuned']['n_reference']} "
                f"| {row['tuned']['n_estimated']} | {row['tuned']['n_matched']} | {_plain(row['tuned']['f1'])} "
                f"| {_plain(row['base']['f1'])} |"
                for row in content["recordings"]
            ),
            "",
            "## How to make it again",
            "",
            "Anyone who has these recordings, tables and model gets the same settings"
            + (f" with `{command}`." if command else "."),
            "",
            f"- configuration {self.config.fingerprint}",
            f"- scores {provenance['scores_fingerprint']}",
            f"- model {provenance['model_version']}, {provenance['model_sha256']}",
            f"- code {provenance['code_version']}, {provenance['code_sha256']}",
        ]
        return "\n".join(lines) + "\n"

    def promote(self, folder: str | os.PathLike[str], *, command: str = "") -> list[Path]:
        """Write the settings where an environment's Terraform loads them, and what shows that they are good.

        Parameters
        ----------
        folder : path of the environment's folder, like ``terraform/environments/dev``
        command : str, as in `report`

        Returns
        -------
        paths : ``inference_config.auto.tfvars.json``, ``inference_config.md``, ``inference_config.tuning.json``

        Raises
        ------
        ConfigError
            There is no such folder; promoting to an environment that does not exist is a slip of the pen.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ConfigError(f"{folder} is no folder; promote to one that exists, like terraform/environments/dev")
        page, details = folder / "inference_config.md", folder / "inference_config.tuning.json"
        page.write_text(self.report(command=command), encoding="utf-8")
        details.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        return [self.config.save(folder / "inference_config.auto.tfvars.json"), page, details]


def tune(
    samples: Sequence[AnnotatedRecording],
    base: InferenceConfig,
    *,
    labels: Iterable[str] | None = None,
    bout_gap: float | None = None,
    holdout: float = 0.3,
    seed: int = 0,
    space: SearchSpace | None = None,
    beta: float = 1.0,
    max_false_alarms_per_hour: float | None = None,
) -> Tuning:
    """Find the best event settings on some recordings, and hold them against `base` on the others.

    Parameters
    ----------
    samples : sequence of AnnotatedRecording, at least two
    base : InferenceConfig, what one comes with
    labels : names that stand for the target class, by default its own
    bout_gap : float >= 0, in seconds, by default a window and a stride
    holdout, seed : as in `split_recordings`
    space : SearchSpace, by default `SearchSpace.around(base)`
    beta, max_false_alarms_per_hour : as in `Sweep.best`

    Returns
    -------
    tuning : Tuning

    Raises
    ------
    AnnotationError
        Fewer than two recordings, or none with the target in it.
    ConfigError
        No setting has so few false alarms.
    ScoresError
        The recordings were not all scored with the same model and settings.

    Examples
    --------
    >>> import numpy as np
    >>> from anemone_lib.detection import Annotation
    >>> from anemone_lib.scoring import Scores, WindowGrid
    >>> def annotate(name, target, calls):
    ...     grid = WindowGrid(n_samples=8000 * len(target), sample_rate=8000, window_samples=8000, stride_samples=8000)
    ...     target = np.array(target, np.float32)
    ...     probabilities = np.column_stack([1 - target, target, 0 * target])
    ...     scores = Scores(probabilities, ("noise", "anemonefish", "biological"), grid, recording_name=name)
    ...     return AnnotatedRecording(scores, [Annotation(start, end, "anemonefish") for start, end in calls])
    >>> recordings = [
    ...     annotate("a.wav", [0.1, 0.9, 0.1, 0.1, 0.4, 0.1], [(1.2, 1.8)]),
    ...     annotate("b.wav", [0.1, 0.1, 0.7, 0.1, 0.1, 0.4], [(2.2, 2.8)]),
    ... ]
    >>> space = SearchSpace((1,), (0.3, 0.6), (0.1,), (0.2,))
    >>> base = InferenceConfig(smoothing_window=1, confidence_threshold=0.3)
    >>> tuning = tune(recordings, base, holdout=0.5, space=space)
    >>> tuning.config.confidence_threshold
    0.6
    """
    labels = tuple(labels or [base.target_class])
    makers = {(sample.scores.model_sha256, sample.scores.scores_fingerprint) for sample in samples}
    if len(makers) > 1:
        raise ScoresError(
            f"the recordings were scored in {len(makers)} ways (models or settings); score them again with one"
        )
    kept, held_out = split_recordings(samples, labels=labels, holdout=holdout, seed=seed)
    if bout_gap is None:
        bout_gap = max(sample.shortest_gap for sample in samples)
    tried = sweep_settings(
        kept, space or SearchSpace.around(base), target_class=base.target_class, labels=labels, bout_gap=bout_gap
    )
    limit = (
        ""
        if max_false_alarms_per_hour is None
        else f" with at most {max_false_alarms_per_hour:g} false alarms per hour"
    )
    return Tuning(
        config=tried.best(base, beta=beta, max_false_alarms_per_hour=max_false_alarms_per_hour),
        base=base,
        sweep=tried,
        samples=kept,
        held_out=held_out,
        labels=labels,
        bout_gap=bout_gap,
        objective=f"F{beta:g}{limit}",
    )


def _known(rate: float) -> float | None:
    return None if math.isnan(rate) else rate


def _plain(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.3g}"


def _signed(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:+.3f}"


def _with_interval(rates: dict[str, Any], name: str) -> str:
    low, high = rates[f"{name}_interval"]
    return _plain(rates[name]) + ("" if low is None else f" ({_plain(low)} to {_plain(high)})")
