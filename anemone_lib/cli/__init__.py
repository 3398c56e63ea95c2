"""The command ``anemone``: parse, call the library, present.

`detect` is where to start: each module has the commands of one subject, `common` the options and the errors that they
share. Imports every package of the library.

Exit codes: 0, all done; 1, some recordings failed, the others are done and a summary names each; 2, the command itself
cannot be carried out (usage, configuration, model).
"""

from anemone_lib.cli import archive, config, dataset, detect, models, serve, simulate, tune
from anemone_lib.cli.common import app

__all__ = ["app", "archive", "config", "dataset", "detect", "models", "serve", "simulate", "tune"]
