"""Promoted settings: one file that names the settings, the model they are for, and the data they were tuned on.

``inference_config.auto.tfvars.json`` is loaded by Terraform, and by every command that takes ``--config``. Settings
that are good for one model are not for another, so the service compares the model first.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError
from anemone_lib.files import write_text

#: The file that Terraform loads by itself.
SETTINGS_FILE = "inference_config.auto.tfvars.json"


@dataclass(frozen=True)
class Promotion:
    """Settings, with the model and the data for which they were tuned.

    Attributes
    ----------
    config : InferenceConfig
    model_sha256 : str, of the model bundle, as `Classifier.sha256`; empty: any model
    dataset_sha256 : str, of the data on which the settings were tuned; empty if it is not known

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Promotion(InferenceConfig(), model_sha256="0" * 64).save(Path(mkdtemp(), SETTINGS_FILE))
    >>> Promotion.load(path).check_model("0" * 64)
    >>> Promotion.load(path).check_model("1" * 64)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    anemone_lib.errors.ConfigError: these settings were promoted for the model 000000000000, ...
    """

    config: InferenceConfig
    model_sha256: str = ""
    dataset_sha256: str = ""

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Promotion":
        """Read a configuration file of any kind; only a promoted one names a model.

        Parameters
        ----------
        path : as in `InferenceConfig.load`

        Raises
        ------
        ConfigError
            As in `InferenceConfig.load`, or a hash is wrong.
        """
        config = InferenceConfig.load(path)
        if not str(path).endswith(".json"):
            return cls(config)
        content = json.loads(Path(path).read_text(encoding="utf-8")) or {}
        if "inference_config" not in content:
            return cls(config)
        hashes = {name: content.get(name) or "" for name in ("model_sha256", "dataset_sha256")}
        for name, value in hashes.items():
            if value and not _is_hash(value):
                raise ConfigError(f"{path}: {name} is {value!r}; it must be 64 hexadecimal digits: promote again")
        return cls(config, **{name: value.lower() for name, value in hashes.items()})

    def check_model(self, sha256: str) -> None:
        """Refuse a model that is not the one that the settings were promoted for.

        Parameters
        ----------
        sha256 : str, of the model that is loaded, as `Classifier.sha256`

        Raises
        ------
        ConfigError
            It is another model.
        """
        if self.model_sha256 and self.model_sha256 != sha256.lower():
            raise ConfigError(
                f"these settings were promoted for the model {self.model_sha256[:12]}, and the model is {sha256[:12]}; "
                "give the model that they were tuned for, or tune and promote again with this model"
            )

    def to_tfvars(self) -> str:
        """Return the JSON that Terraform loads."""
        content = json.loads(self.config.to_tfvars())
        named = {"model_sha256": self.model_sha256, "dataset_sha256": self.dataset_sha256}
        return json.dumps(content | {name: value for name, value in named.items() if value}, indent=2) + "\n"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file, whole or not at all.

        Parameters
        ----------
        path : path of a ``.tfvars.json`` file

        Returns
        -------
        path : pathlib.Path
        """
        return write_text(path, self.to_tfvars())


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value.lower()) <= set("0123456789abcdef")
