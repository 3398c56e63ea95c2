"""``anemone serve``: the service and its page on this machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from anemone_lib.cli.common import ConfigOption, ModelOption, app, out, usage_errors
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError
from anemone_lib.scoring import choose_config, load_classifier


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    model: ModelOption = None,
    config: ConfigOption = None,
    store: Annotated[Path, typer.Option(help="Folder for the recordings and results of jobs.")] = Path("out/jobs"),
    limits: Annotated[
        bool, typer.Option(help="Hold requests to what AWS lets through: 4.5 MB of audio and 29 s a call.")
    ] = True,
) -> None:
    """Answer over HTTP: a page at /, POST /predict, POST /jobs, the interface's description at /docs."""
    with usage_errors():
        try:
            import uvicorn
        except ImportError:
            raise ConfigError("serving needs more packages: pip install 'anemone-lib[serve]'") from None
        from anemone_lib.scoring.chunks import check_fit

        classifier = load_classifier(model)
        settings = choose_config(InferenceConfig.load(config) if config else None, classifier)
        check_fit(classifier, settings)
    # The app reads its settings from the environment, here as on AWS.
    for name in InferenceConfig.model_fields:
        os.environ.pop(name.upper(), None)
    os.environ |= {**settings.to_env(), "ANEMONE_STORE": str(store), "ANEMONE_LIMITS": "on" if limits else "off"}
    if model:
        os.environ["MODEL_LOCAL_PATH"] = model
    out.print(f"Anemone listens on http://{host}:{port}; stop it with Ctrl-C", highlight=False)
    uvicorn.run("anemone_lib.service.local:from_env", factory=True, host=host, port=port, log_level="warning")
