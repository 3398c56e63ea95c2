"""AWS on this machine with dev and prod in it, applied once; whoever asks for them gets the same."""

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from anemone_lib.scoring.bundle import DEMONSTRATION_MODEL
from tests.aws.front import Front
from tests.terraform.cli import Terraform, terraform_in

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto")

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
#: What the image runs.
HANDLER = re.search(r'^CMD \["(.+)"\]', (ROOT / "docker/Dockerfile.inference").read_text(), flags=re.MULTILINE)[1]
#: An origin whose pages may call the deployed service.
REEF = "https://reef.example.org"
MODEL_BUCKET = "our-models"
#: Holds the recordings of an archive.
SOURCE_BUCKET = "our-recordings"
DEV_REPOSITORY = "anemonefish-inference-dev"
#: What a deployment applies before there is an image.
TARGETS = re.findall(r"-target=\S+", (ROOT / "terraform/deploy.sh").read_text(encoding="utf-8"))
FORBIDDEN = {"AccessDenied", "AccessDeniedException", "403"}
#: What a person would write into terraform.tfvars; the rest is as shipped. Two chunks at once are enough for two cores.
VARIABLES = {
    "environments/dev": {
        "model_s3_bucket": MODEL_BUCKET,
        "job_max_concurrency": 2,
        "enable_archive": True,
        "archive_source_buckets": [SOURCE_BUCKET],
        "archive_max_concurrency": 2,
        "manage_api_gateway_account": True,  # nothing was applied before; both environments are in one account here
    },
    "environments/prod": {
        "model_s3_bucket": MODEL_BUCKET,
        "lambda_image_uri": f"123456789012.dkr.ecr.{REGION}.amazonaws.com/anemone@sha256:{'0' * 64}",
        "cors_allowed_origins": ["https://reef.example.org", "https://fish.example.org"],
        "store_api_key_in_secrets_manager": True,
        "alarm_email": "reef@example.org",
        "invocations_per_hour_alarm": 1000,
        "api_key_rate_limit": 0.2,
        "api_key_burst_limit": 8,
        "canary_minutes": 1,
        "log_level": "DEBUG",
    },
}


@dataclass(frozen=True)
class Identity:
    """Who calls the local AWS."""

    url: str
    access_key: str = "testing"
    secret_key: str = "testing"
    token: str | None = None

    def client(self, service: str, **options):
        """A boto3 client."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.token,
            **options,
        )

    def environment(self) -> dict[str, str]:
        """What Terraform's provider needs to be this identity."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
            "AWS_MAX_ATTEMPTS": "3",  # a server that has ended is not waited for
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@dataclass(frozen=True)
class Deployment:
    """One environment as applied."""

    terraform: Terraform
    root: str
    outputs: dict[str, object]
    before_the_image: tuple[str, ...]

    @property
    def api(self) -> tuple[str, str]:
        """Id and stage of the REST API."""
        return re.match(r"https://(\w+)\.execute-api\.[^/]+/(\w+)/predict$", self.outputs["api_endpoint"]).groups()

    @property
    def headers(self) -> dict[str, str]:
        """What a client with a key sends."""
        key = self.outputs["api_key_value"]
        return {"x-api-key": key} if key else {}


@dataclass(frozen=True)
class LocalAws:
    """The server, and those who may call it once everything is applied."""

    admin: Identity
    roles: dict[str, Identity]
    deployments: dict[str, Deployment]
    logs: Path

    def __getitem__(self, name: str) -> Deployment:
        return self.deployments[f"environments/{name}"]


class Cloud:
    """The server with both environments applied, made in the background while other tests run."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="anemone-aws-")
        self._folder, self._process, self._terraform = Path(self._temporary.name), None, None
        self._made = ThreadPoolExecutor(1).submit(self._make)

    def result(self) -> LocalAws:
        """Wait until everything is applied."""
        return self._made.result()

    def close(self) -> None:
        """End the server, whatever is under way."""
        if self._terraform:
            self._terraform.close()
        if self._process:
            self._process.terminate()
            self._process.wait(30)
        self._made.exception()
        self._temporary.cleanup()

    def _make(self) -> LocalAws:
        logs = self._folder / "functions"
        logs.mkdir()
        self._terraform = terraform = terraform_in(self._folder / "terraform")
        anyone = self._serve(logs)
        admin = make_operator(anyone)
        terraform.environment.update(admin.environment())
        put_model(anyone.client("s3"))
        anyone.client("ecr").create_repository(repositoryName=DEV_REPOSITORY)  # by hand, before anything is applied
        push(anyone.client("ecr"), DEV_REPOSITORY, "the first")
        with ThreadPoolExecutor() as pool:  # most of it is waiting
            deployments = dict(zip(VARIABLES, pool.map(partial(apply, terraform), VARIABLES), strict=True))
        roles = assume_roles(anyone)
        enforce(anyone.url)
        return LocalAws(admin, roles, deployments, logs)

    def _serve(self, logs: Path) -> Identity:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "tests.aws.local_aws", "--port", str(port)]
        with (logs / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--handler", HANDLER, "--logs", str(logs)], cwd=ROOT, stdout=log, stderr=log
            )
        for _ in range(3000):  # minutes, where others use the processors too
            assert self._process.poll() is None, (logs / "server.log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return Identity(f"http://127.0.0.1:{port}")
            time.sleep(0.1)
        raise AssertionError((logs / "server.log").read_text())


def put_model(s3) -> None:
    """Put the demonstration model into a bucket, as somebody did who deploys."""
    s3.create_bucket(Bucket=MODEL_BUCKET)
    s3.create_bucket(Bucket=SOURCE_BUCKET)
    for file in DEMONSTRATION_MODEL.glob("best_model.*"):
        s3.upload_file(str(file), MODEL_BUCKET, f"models/v1.0/{file.name}")
    s3.put_object(Bucket=MODEL_BUCKET, Key="models/secret.txt", Body=b"another's")


def push(ecr, name: str, content: str, tag: str = "latest") -> str:
    """Push an image to a repository, as far as ECR knows of it; return its digest."""
    config = {"digest": f"sha256:{sha256(content.encode()).hexdigest()}", "size": len(content)}
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": []})
    digest = f"sha256:{sha256(manifest.encode()).hexdigest()}"
    ecr.put_image(repositoryName=name, imageManifest=manifest, imageTag=tag, imageDigest=digest)
    return digest


def apply(terraform: Terraform, root: str) -> Deployment:
    """Apply one environment with the real provider: the repository first in prod; in dev it is there, with an image."""
    variables = terraform.folder / root / "terraform.tfvars.json"
    variables.write_text(json.dumps(VARIABLES[root]), encoding="utf-8")
    terraform.start_provider(root)
    before_the_image = ()
    if root.endswith("prod"):
        terraform(root, "apply", "-auto-approve", "-input=false", "-no-color", *TARGETS)
        before_the_image = tuple(terraform(root, "state", "list").split())
    terraform(root, "apply", "-auto-approve", "-input=false", "-no-color")
    outputs = json.loads(terraform(root, "output", "-json"))
    values = {name: output["value"] for name, output in outputs.items()}
    return Deployment(terraform, root, values, before_the_image)


def make_operator(anyone: Identity) -> Identity:
    """Somebody who may do everything."""
    iam = anyone.client("iam")
    iam.create_user(UserName="operator")
    iam.attach_user_policy(UserName="operator", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    return Identity(anyone.url, key["AccessKeyId"], key["SecretAccessKey"])


def assume_roles(anyone: Identity) -> dict[str, Identity]:
    """Every role that was applied."""
    iam, sts = anyone.client("iam"), anyone.client("sts")
    roles = {}
    for role in iam.list_roles()["Roles"]:
        credentials = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="test")["Credentials"]
        keys = credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
        roles[role["RoleName"]] = Identity(anyone.url, *keys)
    return roles


def enforce(url: str) -> None:
    """From now on no call is let through without a permission."""
    import requests

    requests.post(f"{url}/moto-api/reset-auth", data="0", timeout=10).raise_for_status()


def pytest_collection_modifyitems(items):
    """What needs the environments comes after what does not, and what needs them destroyed comes last."""
    items.sort(key=lambda item: ["aws" in names_of(item), "destroyed" in names_of(item)])


def names_of(item) -> list[str]:
    """The fixtures of a test of this folder."""
    return getattr(item, "fixturenames", []) if Path(__file__).parent in item.path.parents else []


@pytest.fixture(scope="session")
def aws(cloud):
    """Dev and prod, applied; from then on every call is held to its caller's policies."""
    return cloud.result()


@pytest.fixture
def front(aws):
    """Serve a deployed API by HTTP; its throttles begin full."""
    fronts = []

    def serve(name: str) -> Front:
        fronts.append(Front(aws.admin, *aws[name].api))
        return fronts[-1]

    yield serve
    for served in fronts:
        served.close()


@pytest.fixture(scope="session")
def destroyed(aws):
    """Both environments after `destroy`; whoever asks for it runs last."""
    empty(aws.admin.client("s3"), aws["prod"].outputs)  # prod's buckets are not destroyed with what is in them

    def destroy(deployment: Deployment) -> None:
        deployment.terraform(deployment.root, "destroy", "-auto-approve", "-input=false", "-no-color")

    with ThreadPoolExecutor() as pool:
        list(pool.map(destroy, aws.deployments.values()))
    return aws


def empty(s3, outputs) -> None:
    """Delete every version of every object in both buckets."""
    for bucket in (outputs["s3_input_bucket"], outputs["s3_output_bucket"]):
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])


def allowed(call, /, **arguments) -> bool:
    """Whether a call is let through; another problem than permission counts as let through."""
    from botocore.exceptions import ClientError

    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"] not in FORBIDDEN
    return True


def without_time(result):
    """A result but for what differs between two runs."""
    metadata = {name: value for name, value in result["metadata"].items() if name != "processing_time"}
    return {**result, "metadata": metadata}
