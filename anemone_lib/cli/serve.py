"""``anemone serve``: the service and its page on this machine."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from anemone_lib.cli.chatter import catch_chatter
from anemone_lib.cli.common import ConfigOption, ModelOption, app, out, usage_errors
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError
from anemone_lib.promotion import Promotion
from anemone_lib.scoring import check_fit, choose_promoted, load_classifier


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    model: ModelOption = None,
    config: ConfigOption = None,
    store: Annotated[Path, typer.Option(help="Folder for the recordings and results of jobs.")] = Path("out/jobs"),
    limits: Annotated[
        bool, typer.Option(help="Limit a call to 12 MB of audio and 29 s; on AWS the limits are 4.5 MB and 29 s.")
    ] = True,
) -> None:
    """Answer over HTTP: a page at /, POST /predict, POST /jobs, the interface's description at /docs."""
    with usage_errors():
        try:
            from anemone_lib.service.local import run_server
        except ImportError:
            raise ConfigError("serving needs more packages: pip install 'anemone-lib[serve]'") from None
        from anemone_lib.service.problems import Problem
        from anemone_lib.service.settings import LOCAL_AUDIO_BYTES, Settings

        with catch_chatter():
            classifier = load_classifier(model)
        inference = choose_promoted(config, classifier)
        check_fit(classifier, inference)
        # The environment decides everything else: buckets, origins that may call, the expected model.
        others = {name: value for name, value in os.environ.items() if name.lower() not in InferenceConfig.model_fields}
        settings = replace(Settings.from_env(others), config=inference, store=store, limits=limits)
        if not os.environ.get("ANEMONE_MAX_AUDIO_BYTES"):
            settings = replace(settings, max_audio_bytes=LOCAL_AUDIO_BYTES)
        if model:
            settings = replace(settings, model=model)
        if config and (pinned := Promotion.load(config).model_sha256):  # the service checks it again when it starts
            settings = replace(settings, model_sha256=pinned)
        out.print(f"Anemone listens on http://{host}:{port}; stop it with Ctrl-C", highlight=False)
        try:
            run_server(settings, host=host, port=port)
        except Problem as problem:
            raise ConfigError(str(problem)) from None
