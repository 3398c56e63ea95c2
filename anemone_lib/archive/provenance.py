"""What made the tables of an archive: the content of ``archive.json``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anemone_lib.archive.masking import Masking
from anemone_lib.archive.minutes import choose_call_bands
from anemone_lib.archive.request import Request
from anemone_lib.files import hash_file
from anemone_lib.provenance import __version__, code_sha256
from anemone_lib.scoring.classifier import Classifier


def describe_archive(
    request: Request,
    folder: Path,
    statuses: Mapping[str, int],
    totals: Mapping[str, float],
    digests: Mapping[str, str],
    maskings: Mapping[str, Masking],
) -> dict[str, Any]:
    """Return the content of ``archive.json``; see `anemone_lib.archive.tables.Archive`."""
    bands = choose_call_bands(request)
    return {
        "anemone": __version__,
        "code_sha256": code_sha256(),
        "sources": list(request.sources),
        "model": describe_model(request.classifier),
        "classes": list(request.classes),
        "config": request.config.model_dump(),
        "event_settings": {config.target_class: config.event_settings for config in request.configs},
        "config_fingerprint": request.config_sha256,
        "scores_fingerprint": request.config.scores_fingerprint,
        "channel": request.channel,
        "timezone": request.timezone,
        "start_time_format": request.start_time_format,
        "site": request.site,
        "noise": {"measured": request.noise, "calls_hz": {name: list(band) for name, band in bands.items()}},
        "masking": {site: describe_limits(masking) for site, masking in sorted(maskings.items())},
        "recordings": {"listed": sum(statuses.values()), **dict(sorted(statuses.items()))},
        "effort_s": round(totals["effort_s"], 3),
        "skipped_s": round(totals["skipped_s"], 3),
        "events": totals["events"],
        "tables": {"recordings.parquet": hash_file(folder / "recordings.parquet"), **dict(sorted(digests.items()))},
    }


def describe_model(classifier: Classifier) -> dict[str, Any]:
    """Return what made the scores, and what its card says of calls in noise, which the report needs."""
    about: dict[str, Any] = {"version": classifier.version, "sha256": classifier.sha256}
    if classifier.card:
        about |= {"summary": classifier.card.summary, "by_snr_db": classifier.card.metrics.get("by_snr_db")}
    return about


def describe_limits(masking: Masking) -> dict[str, Any]:
    """Return the levels, in dB, that decide whether the reference call could have been heard."""
    levels = {name: round(getattr(masking, name), 2) for name in ("call_level_db", "lowest_snr_db", "limit_db")}
    return {**levels, "assumed": masking.assumed}
