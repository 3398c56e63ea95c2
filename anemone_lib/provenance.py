"""Record the code, model, settings and recording that made a result."""

import hashlib
from functools import cache
from pathlib import Path

__version__ = "0.1.0"


def describe_provenance(
    *, model_sha256: str, config_fingerprint: str, recording_sha256: str, recording_name: str, channel: str = "mean"
) -> dict[str, str]:
    """Return the origin of a result: ``metadata.provenance`` of the JSON.

    Parameters
    ----------
    model_sha256 : str, SHA-256 (hex) over the model file that ran and its card
    config_fingerprint : str, `anemone_lib.config.InferenceConfig.fingerprint`
    recording_sha256 : str, SHA-256 (hex) of the recording's bytes
    recording_name : str
    channel : str, the channel that was analysed: ``mean``, or a number from 1

    Returns
    -------
    provenance : dict of str
    """
    return {
        "code_version": __version__,
        "code_sha256": code_sha256(),
        "model_sha256": model_sha256,
        "config_fingerprint": config_fingerprint,
        "recording_sha256": recording_sha256,
        "recording_name": recording_name,
        "channel": channel,
    }


@cache
def code_sha256() -> str:
    """Return the SHA-256 (hex) of the package's own files, without the model bundle, which has its own hash.

    The hash is over every file in the order of their names: the path within the package, a zero byte, the file's
    SHA-256. With it, anyone can check that an image and a checkout have the same code.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).as_posix()):
        relative = path.relative_to(root)
        if path.is_file() and "__pycache__" not in relative.parts and relative.parts[0] != "models":
            digest.update(relative.as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
