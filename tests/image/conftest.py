"""A recording for the image."""

import pytest


@pytest.fixture
def wav(write_wav, noise):
    """Ten seconds with pulse trains, and a time in the name."""
    return write_wav(noise(10), name="20230210_000001.wav")
