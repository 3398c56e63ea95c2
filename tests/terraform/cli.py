"""Terraform as the tests call it: the plain command, on a copy, so that the checkout stays clean."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

TERRAFORM = Path(__file__).parents[2] / "terraform"
ROOTS = ("bootstrap", "modules/archive", "modules/ecr", "modules/inference", "environments/dev", "environments/prod")


class Terraform:
    """Commands in one copy of ``terraform/``.

    Parameters
    ----------
    folder : path of a folder that does not exist yet
    environment : additional environment variables of every command, such as where AWS is
    """

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        shutil.copytree(
            TERRAFORM, folder, ignore=shutil.ignore_patterns(".terraform", "*.tfstate*", "*.tfplan", "*.tfvars")
        )
        # Every command loads the provider's large schema; to collect garbage less often takes a quarter off its time.
        settings = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "GOGC": "400"}
        self.environment = {**os.environ, **settings, **(environment or {})}
        if "TF_CLI_CONFIG_FILE" not in os.environ:  # several roots, one download
            cache = folder.parent / "providers"
            cache.mkdir(exist_ok=True)
            self.environment.setdefault("TF_PLUGIN_CACHE_DIR", str(cache))
        self._ready: set[str] = set()
        self._providers: list[subprocess.Popen] = []
        self._attached: dict[str, str] = {}

    def __call__(self, root: str, *arguments: str, stdin: str = "", accept: tuple[int, ...] = (0,)) -> str:
        """Run a command in a folder of the copy; return what it printed, or fail with it."""
        result = subprocess.run(
            ["terraform", *arguments],
            cwd=self.folder / root,
            env=self.environment_of(root) if arguments[0] != "init" else self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        said = f"{result.stdout}{result.stderr}"
        assert result.returncode in accept, f"terraform {' '.join(arguments)} in {root}:\n{said}"
        return result.stdout if result.returncode == 0 else said

    def environment_of(self, root: str) -> dict[str, str]:
        """The environment variables of a command in a folder: it finds the provider that runs already, if one does."""
        attached = self._attached.get(root) or self._attached.get("")
        return self.environment | ({"TF_REATTACH_PROVIDERS": attached} if attached else {})

    def start_provider(self, root: str, *, for_all: bool = False) -> None:
        """Start the provider of a folder, and let the commands there (or in all folders) use this one process.

        Each command would start a provider for every step otherwise, three or four, and each works out its schema.
        """
        self.init(root)
        [program] = (self.folder / root / ".terraform/providers").glob("*/*/*/*/*/terraform-provider-*")
        settings = {**self.environment, "TMPDIR": str(self.folder)}  # where its socket is
        settings.pop("AWS_CA_BUNDLE", None)  # with it a provider can be configured only once
        process = subprocess.Popen(
            [program, "-debug"], env=settings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._providers.append(process)
        for line in process.stdout:
            if address := re.search(r"TF_REATTACH_PROVIDERS='(.*)'", line):
                self._attached["" if for_all else root] = address[1]
                return
        raise AssertionError(f"{program} ended with {process.wait()}")

    def close(self) -> None:
        """End the providers."""
        for process in self._providers:
            process.kill()
            process.wait()
            process.stdout.close()

    def init(self, root: str) -> None:
        """Initialise a folder, once; where the provider cannot be had, the test says so."""
        if root in self._ready:
            return
        said = self(root, "init", "-backend=false", "-input=false", "-no-color", accept=(0, 1))
        if "successfully initialized" not in said:
            reason = next((line for line in said.splitlines() if line.startswith("Error: ")), said)
            missing(f"terraform init cannot get the AWS provider ({reason})")
        self._ready.add(root)

    def console(self, root: str, expression: str, variables: dict[str, object]) -> object:
        """The value of an expression, with these variables."""
        self.init(root)
        file = self.folder / root / "console.tfvars.json"
        file.write_text(json.dumps(variables), encoding="utf-8")
        said = self(root, "console", "-no-color", f"-var-file={file.name}", stdin=f"jsonencode({expression})\n")
        return json.loads(json.loads(said.splitlines()[-1]))  # a warning may come before it


def terraform_in(folder: Path, environment: dict[str, str] | None = None) -> Terraform:
    """Terraform on a copy in a folder; where it is not installed, the test says so."""
    if shutil.which("terraform") is None:
        missing("terraform is not installed (https://developer.hashicorp.com/terraform/install)")
    return Terraform(folder, environment)


def missing(message: str) -> NoReturn:
    """Skip a test that lacks something; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
