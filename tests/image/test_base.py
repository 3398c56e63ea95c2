"""The stand-in for the base image: where its packages come from."""

import os
import subprocess
from pathlib import Path

import pytest

SOURCES = "Types: deb\nURIs: http://mirror.example.org/{}\nSuites: any\nComponents: main\n"


@pytest.fixture
def make_base(tmp_path):
    """Run the script on a machine of a distribution; give the mirror that it asks, `none` for mmdebstrap's own."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "buildah").write_text("#!/bin/sh\n[ $1 != inspect ]\n")
    (programs / "mmdebstrap").write_text('#!/bin/sh\nfor last; do :; done; echo "$last" >"$MADE"; exit 1\n')
    for program in programs.iterdir():
        program.chmod(0o755)

    def run(distribution, **environ):
        etc = tmp_path / distribution
        (etc / "apt/sources.list.d").mkdir(parents=True, exist_ok=True)
        (etc / "os-release").write_text(f"NAME=any\nID={distribution}\nID_LIKE=debian\n")
        (etc / f"apt/sources.list.d/{distribution}.sources").write_text(SOURCES.format(distribution))
        made = tmp_path / "made"
        subprocess.run(
            ["bash", Path(__file__).parent / "base.sh", "base"],
            env={"PATH": f"{programs}:{os.environ['PATH']}", "ETC": str(etc), "MADE": str(made), **environ},
            check=False,
        )
        said = made.read_text().strip()
        return "none" if said.endswith("base.tar") else said

    return run


def test_a_debian_asks_its_own_mirror_and_an_ubuntu_does_not_ask_ubuntus(make_base):
    assert make_base("debian") == "http://mirror.example.org/debian"
    assert make_base("ubuntu") == "none"
    assert make_base("ubuntu", DEBIAN_MIRROR="http://other.example.org/debian") == "http://other.example.org/debian"
