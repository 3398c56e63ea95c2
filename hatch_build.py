"""The README as it is shown where packages are listed: its links and pictures lead to the repository at the release."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)(\[[^\]]*\])\((?!https?://|#)([^)\s]+)\)")


class ReadmeMetadataHook(MetadataHookInterface):
    """Replace relative links by addresses of the repository, which `project.urls` names."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the readme of the package."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        code = (Path(self.root) / "anemone_lib" / "provenance.py").read_text(encoding="utf-8")
        version = code.partition('__version__ = "')[2].partition('"')[0]
        source = metadata["urls"]["Source"]

        def lead(link: re.Match[str]) -> str:
            kind = "raw" if link[1] else "blob"
            return f"{link[1]}{link[2]}({source}/{kind}/v{version}/{link[3]})"

        metadata["readme"] = {"content-type": "text/markdown", "text": LINK.sub(lead, text)}
