"""``anemone tune --verdicts``: the threshold that reaches a precision, from the verdicts of a review."""

from pathlib import Path

from rich.markup import escape

from anemone_lib.cli.common import out
from anemone_lib.errors import ConfigError
from anemone_lib.files import check_folder, hash_file, write_text
from anemone_lib.promotion import SETTINGS_FILE, Promotion
from anemone_lib.scoring import choose_config, load_classifier
from anemone_lib.tuning.report import PAGE_FILE


def tune_by_verdicts(
    table: Path, *, precision: float, model: str | None, config: Path | None, out_folder: Path
) -> None:
    """Find the lowest threshold from which an event is a call with a probability, and write it with the settings."""
    from anemone_lib.review import calibrate_precision
    from anemone_lib.tables.verdicts import read_verdicts

    classifier = load_classifier(model)
    settings = choose_config(config, classifier)
    verdicts = [one for one in read_verdicts(table) if one.kind == "event"]
    if other := {one.model_sha256 for one in verdicts} - {"", classifier.sha256}:
        raise ConfigError(
            f"{table} has verdicts on events of the model {min(other)[:12]}, but the model is "
            f"{classifier.sha256[:12]}; give the model whose events were reviewed (--model), or review events of this "
            "model"
        )
    curve = calibrate_precision([one.confidence for one in verdicts], [one.is_call for one in verdicts])
    threshold = curve.find_threshold(precision)
    reached, low, high = (float(value[0]) for value in curve.predict([threshold]))
    tuned = settings.replace(confidence_threshold=round(threshold, 4))
    said = (
        f"confidence_threshold {tuned.confidence_threshold:g}: there an event is a call with probability {reached:.2f} "
        f"({low:.2f} to {high:.2f}), above it with a higher one; from {curve.n} verdicts, {curve.n_calls} of them calls"
    )
    check_folder(out_folder, "--out")
    promotion = Promotion(tuned, classifier.sha256, hash_file(table))
    page = out_folder / PAGE_FILE
    write_text(page, f"# Settings for {tuned.target_class}\n\n{said}.\n\nModel {classifier.sha256}.\n")
    out.print(said, highlight=False, soft_wrap=True)
    for path in (promotion.save(out_folder / SETTINGS_FILE), page):
        out.print(f"  {escape(str(path))}", highlight=False, soft_wrap=True)
