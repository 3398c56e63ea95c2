"""The entry of the Lambda image: ``anemone_lib.service.aws.handler``. `anemone_lib.service.function` does the work."""

import os

# Lambda allows writing only in the temporary folder.
os.environ.setdefault("MPLCONFIGDIR", "/tmp/matplotlib")
os.environ.setdefault("KERAS_HOME", "/tmp/keras")

from anemone_lib.service.engine import Engine
from anemone_lib.service.function import LambdaFunction
from anemone_lib.service.settings import Settings

handler = LambdaFunction(Engine(Settings.from_env()))
