"""The entry of the Lambda image: ``anemone_lib.service.aws.handler``. `anemone_lib.service.function` does the work.

The import does nothing but to find the code. The runtime looks the handler up at start, and only then is it made: it
loads the model while AWS still counts the start.
"""

from typing import Any


def make_handler() -> Any:
    """Make the handler with the settings of the environment, and load the model.

    Returns
    -------
    handler : LambdaFunction
    """
    import os

    # Lambda allows writing only in the temporary folder.
    os.environ.setdefault("MPLCONFIGDIR", "/tmp/matplotlib")
    os.environ.setdefault("KERAS_HOME", "/tmp/keras")

    from anemone_lib.service.engine import Engine
    from anemone_lib.service.function import LambdaFunction
    from anemone_lib.service.settings import Settings

    return LambdaFunction(Engine(Settings.from_env()))


def __getattr__(name: str) -> Any:
    """Make the handler when the runtime asks for it, once."""
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["handler"] = made = make_handler()
    return made
