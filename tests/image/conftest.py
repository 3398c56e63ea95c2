"""The images, built once, and a recording for them."""

import json
import os
import shutil

import pytest

from tests.image.built import NEEDED, built, copy_checkout


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """What the images are built from, as it is at this moment."""
    missing = [tool for tool in NEEDED if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"building the image needs root and {', '.join(missing) or 'its tools'}: apt-get install buildah mmdebstrap"
        )
    return copy_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def image(checkout):
    """The image as it is by default."""
    with built(checkout) as image:
        yield image


@pytest.fixture(scope="session")
def image_with_tensorflow(image, checkout):
    """The image for models that are a lone ``.keras``; it takes what the default one has brought."""
    with built(checkout, extras="serve keras") as image:
        yield image


@pytest.fixture(scope="session")
def listing(image, checkout):
    """What is in the image, as CycloneDX; it takes the layers that the image has brought."""
    with built(checkout, target="sbom") as listed:
        return json.loads((listed.root / "sbom.cdx.json").read_text(encoding="utf-8"))


@pytest.fixture
def wav(write_wav, noise):
    """Ten seconds with pulse trains, and a time in the name; the image's user may read it."""
    path = write_wav(noise(10), name="20230210_000001.wav")
    path.parent.chmod(0o755)
    return path
