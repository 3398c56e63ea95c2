"""``anemone config``: one configuration, written for people, Lambda and Terraform."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from anemone_lib.cli.chatter import catch_chatter
from anemone_lib.cli.common import ConfigOption, ModelOption, app, out, usage_errors
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError
from anemone_lib.promotion import Promotion
from anemone_lib.scoring import choose_config, load_classifier

config_app = typer.Typer(
    help="Show a configuration, or write it for Terraform or the environment.", no_args_is_help=True
)
app.add_typer(config_app, name="config")


@config_app.command("show")
def config_show(config: ConfigOption = None, model: ModelOption = None) -> None:
    """Print every setting, what it means, and the fingerprints."""
    with usage_errors(), catch_chatter():
        settings = _choose_settings(config, model)
    table = Table()
    for heading in ("setting", "value", "meaning"):
        table.add_column(heading, overflow="fold")
    for name, field in InferenceConfig.model_fields.items():
        value = getattr(settings, name)
        table.add_row(name, "none" if value is None else str(value), field.description or "")
    out.print(table)
    print(f"fingerprint         {settings.fingerprint}")
    print(f"scores_fingerprint  {settings.scores_fingerprint}")


@config_app.command("to-env")
def config_to_env(config: ConfigOption = None, model: ModelOption = None) -> None:
    """Print the settings as environment variables."""
    with usage_errors(), catch_chatter():
        settings = _choose_settings(config, model)
    for name, value in settings.to_env().items():
        print(f"{name}={value}")


@config_app.command("to-tfvars")
def config_to_tfvars(
    config: ConfigOption = None,
    model: ModelOption = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write, like inference_config.auto.tfvars.json.")
    ] = None,
) -> None:
    """Print or write the settings as Terraform loads them."""
    with usage_errors(), catch_chatter():
        classifier = load_classifier(model)
        promotion = Promotion.load(config) if config else Promotion(choose_config(None, classifier))
        if model:  # named on purpose: the settings are for this one
            promotion.check_model(classifier.sha256)
            promotion = replace(promotion, model_sha256=classifier.sha256)
        if out_file is None:
            print(promotion.to_tfvars(), end="")
            return
        if not out_file.name.endswith(".tfvars.json"):
            raise ConfigError(
                f"--out is {out_file}; Terraform loads only files whose name ends in .auto.tfvars.json by itself"
            )
        promotion.save(out_file)
    print(out_file)


def _choose_settings(config: Path | None, model: str | None) -> InferenceConfig:
    return choose_config(config, load_classifier(model))
