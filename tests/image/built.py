"""The image: built without a daemon as ``Dockerfile.inference`` stands, and run with everything else out of sight.

Only its base differs, a stand-in made of Debian's packages (Debian's Python, not Amazon's).
"""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.aws.runtime_api import RuntimeApi
from tests.conftest import ROOT

HERE = Path(__file__).parent
NEEDED = ("buildah", "mmdebstrap", "unshare", "chroot")
#: Kept by buildah for the next time, until its recipe changes.
BASE = f"localhost/anemone-image-base:{hashlib.sha256((HERE / 'base.sh').read_bytes()).hexdigest()[:12]}"


def run(*command: str, **options: Any) -> str:
    """Run a command; return what it printed, or fail with it."""
    said = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert said.returncode == 0, f"{' '.join(command)}\n{said.stdout[-3000:]}\n{said.stderr[-3000:]}"
    return said.stdout


def hash_code(package: Path) -> str:
    """`code_sha256` by its definition: of every file but the models, its path, a zero byte, its SHA-256."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*"), key=lambda path: path.relative_to(package).as_posix()):
        name = path.relative_to(package).as_posix()
        if path.is_file() and "__pycache__" not in name and not name.startswith("models/"):
            digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def copy_checkout(folder: Path) -> Path:
    """Copy what the image is built from, as it is at this moment."""
    for name in ("anemone_lib", "docker"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dockerignore", "pyproject.toml", "requirements.lock", "README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@dataclass
class Image:
    """An image of which a container is mounted: the root of its files, and its configuration."""

    root: Path
    config: dict[str, Any]

    @contextmanager
    def running(self, folder: Path, **environ: str) -> Iterator[Callable[[dict], tuple[dict, str]]]:
        """Run the image's command on its entry point as its user; `folder` of this machine is its /mnt.

        The root file system is read-only, ``/tmp`` writable. Gives a function that sends an event and returns the
        answer, and what files the process has loaded.
        """
        api = RuntimeApi("arn:aws:lambda:us-east-1:123456789012:function:anemone")
        variables = dict(pair.split("=", 1) for pair in self.config["Env"])
        variables |= {"AWS_LAMBDA_RUNTIME_API": api.address, "AWS_LAMBDA_FUNCTION_NAME": "anemone", **environ}
        inside = (
            "set -e; root=$1 folder=$2; shift 2; mount --make-rprivate /; mount --bind $root $root; "
            "mount --bind $folder $root/mnt; mount -o remount,ro,bind $root; mount -t tmpfs tmpfs $root/tmp; "
            'mount --rbind /dev $root/dev; mount -t proc proc $root/proc; exec "$@"'
        )
        command = ["unshare", "--mount", "sh", "-c", inside, "sh", str(self.root), str(folder)]
        command += [str(shutil.which("chroot")), f"--userspec={self.config['User']}", str(self.root)]
        command += ["env", "-i", f"--chdir={self.config['WorkingDir']}"]
        command += [f"{name}={value}" for name, value in variables.items()]
        process = subprocess.Popen([*command, *self.config["Entrypoint"], *self.config["Cmd"]])

        def invoke(event: dict) -> tuple[dict, str]:
            with ThreadPoolExecutor(1) as waiting:
                answer = waiting.submit(api.invoke, json.dumps(event).encode(), timeout=120)
                while not answer.done():
                    assert process.poll() is None, "the handler's process ended"
                    time.sleep(0.02)
                succeeded, content = answer.result()
            assert succeeded, content
            return json.loads(content), Path(f"/proc/{process.pid}/maps").read_text()

        try:
            yield invoke
        finally:
            process.kill()
            process.wait()
            api.shutdown()
            api.server_close()

    def size(self) -> int:
        """Bytes of all files, each counted once."""
        inodes = {(s.st_dev, s.st_ino): s.st_size for p in self.root.rglob("*") if (s := p.lstat())}
        return sum(inodes.values())


def find_images(name: str) -> list[str]:
    """Return the identity of the image of a name, if there is one."""
    return run("buildah", "images", "--quiet", "--no-trunc", "--filter", f"reference={name}").split()


@contextmanager
def built(checkout: Path, *, extras: str | None = None, target: str | None = None) -> Iterator[Image]:
    """Build the image from a checkout and mount it; `extras` other than the default's are an argument of the build.

    Another `target` is another of the images that the file describes. Layers of dependencies stay for the next time,
    what the build supersedes does not; this machine's packages are taken from where uv keeps them.
    """
    run("bash", str(HERE / "base.sh"), BASE)
    name = f"localhost/anemone-image-test:{(target or extras or 'default').replace(' ', '-')}"
    arguments = {
        "BASE_IMAGE": BASE,
        "CODE_SHA256": hash_code(checkout / "anemone_lib"),
        "REVISION": "0" * 40,
        "UV_NO_CACHE": "0",
        **({"EXTRAS": extras} if extras else {}),
    }
    earlier = find_images(name)
    kept = Path(run(sys.executable, "-m", "uv", "cache", "dir").strip())
    kept.mkdir(parents=True, exist_ok=True)
    run(
        *("buildah", "bud", "--layers", "--isolation", "chroot", "--network", "host", "--pull-never"),
        *("--volume", f"{kept}:/uv-cache"),
        *(word for argument, value in arguments.items() for word in ("--build-arg", f"{argument}={value}")),
        *(["--target", target] if target else []),
        *("--file", "docker/Dockerfile.inference", "--tag", name, "."),
        cwd=checkout,
    )
    superseded = set(earlier) - set(find_images(name))
    if superseded:  # without its name, or another run uses it and it stays
        subprocess.run(["buildah", "rmi", *superseded], capture_output=True, check=False)
    container = run("buildah", "from", "--pull-never", name).strip()
    try:
        inspected = json.loads(run("buildah", "inspect", "--type", "image", name))
        yield Image(Path(run("buildah", "mount", container).strip()), inspected["OCIv1"]["config"])
    finally:
        run("buildah", "rm", container)
