"""The entry of the Lambda image: ``anemone_lib.service.aws.handler``. `anemone_lib.service.function` does the work.

The import only finds the code. At its start, the runtime asks for the handler, which is made at that moment: the model
is loaded in a thread while the framework is imported, and everything has run once when the start ends.
"""

from typing import Any


def make_handler() -> Any:
    """Make the handler with the settings of the environment, with its model loaded and warm.

    Returns
    -------
    handler : LambdaFunction
    """
    import os

    # Lambda allows writing only in the temporary folder.
    os.environ.setdefault("MPLCONFIGDIR", "/tmp/matplotlib")
    os.environ.setdefault("KERAS_HOME", "/tmp/keras")

    from anemone_lib.service.engine import Engine
    from anemone_lib.service.settings import Settings

    engine = Engine(Settings.from_env())
    engine.threads.submit(engine.load)  # if loading fails, the function tries again and reports it

    from anemone_lib.service.function import LambdaFunction

    return LambdaFunction(engine)


def __getattr__(name: str) -> Any:
    """Make the handler when the runtime asks for it, once."""
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["handler"] = made = make_handler()
    return made
