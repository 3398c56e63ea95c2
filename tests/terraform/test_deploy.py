"""`make deploy` and `make destroy`: what they run and in which order, with stand-ins for docker, aws and terraform."""

import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:" + "a" * 64

#: Each notes how it was called, and with which image; what it answers depends on what it was asked.
STAND_IN = f"""#!/usr/bin/env bash
echo "${{TF_VAR_lambda_image_uri:-}} $(basename "$0") $*" >>"$CALLS"
case "$*" in
  *get-caller-identity*) echo 123456789012 ;;
  *apigateway*get-account*) [ -e "$CALLS.no-logs" ] && echo None || echo arn:aws:iam::123456789012:role/logs ;;
  *get-login-password*) echo password ;;
  login*) cat >/dev/null ;;
  *imagetools*) echo {DIGEST} ;;
  *environments/dev*"output -raw ecr_repository_url"*) printf 123456789012.dkr.ecr.us-east-1.amazonaws.com/reef-dev ;;
  *"output -raw ecr_repository_url"*) printf 123456789012.dkr.ecr.us-east-1.amazonaws.com/reef-prod ;;
  *imageTag=live-*-7*) exit 1 ;;
  *describe-images*) [ -f "$CALLS.pushed" ] && echo {DIGEST} ;;
  push*) touch "$CALLS.pushed" ;;
  *console*) read -r name; case $name in
    var.aws_region) echo '"us-east-1"' ;; var.project_name) echo '"reef"' ;;
    var.model_s3_bucket) echo '"models"' ;; var.model_s3_key) echo '"models/v1.0/best_model.keras"' ;; esac ;;
  *get-alias*) echo 7 ;;
  *get-function*) echo 123456789012.dkr.ecr.us-east-1.amazonaws.com/reef@{DIGEST} ;;
  *"output -json"*) echo '{{}}' ;;
  *"output -raw api_endpoint"*) printf https://api.example.org/api/predict ;;
  *__version__*) echo 0.1.0 ;;
esac
"""


@pytest.fixture
def deploy(tmp_path):
    """Run the script on a copy of the checkout's parts it needs; return its exit code, what it said and called."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "terraform", checkout / "terraform")
    shutil.copytree(ROOT / "docker", checkout / "docker")
    (checkout / "anemone_lib").mkdir()
    shutil.copy(ROOT / "anemone_lib" / "provenance.py", checkout / "anemone_lib")
    for name in ("dev", "prod"):
        (checkout / "terraform/environments" / name / "terraform.tfvars").touch()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("aws", "docker", "terraform", "python"):
        (programs / name).write_text(STAND_IN, encoding="utf-8")
        (programs / name).chmod(0o755)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(checkout)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "all"], check=True)

    def run(action, environment, *, answer="", **environ):
        calls = tmp_path / "calls"
        calls.unlink(missing_ok=True)
        path = f"{programs}:{os.environ['PATH']}"
        result = subprocess.run(
            [checkout / "terraform/deploy.sh", action, environment],
            env={"PATH": path, "CALLS": str(calls), "ANEMONE_PYTHON": "python", "HOME": str(tmp_path), **environ},
            input=f"{answer}\n",
            capture_output=True,
            text=True,
            check=False,
        )
        said = result.stdout + result.stderr
        return result.returncode, said, calls.read_text().splitlines() if calls.exists() else []

    run.checkout = checkout
    return run


def order(calls, *texts):
    """Where the first call that holds each text is."""
    return [next(i for i, call in enumerate(calls) if text in call) for text in texts]


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_first_deployment_goes_repository_image_plan_question_apply_rollout_smoke_test(deploy, environment):
    code, said, calls = deploy("deploy", environment, answer="yes")
    assert code == 0, said
    steps = order(
        calls, "apply -input=false -auto-approve -target=module.ecr", "docker build ", "docker push", " plan ",
        "apply -input=false deploy.tfplan", "output -json", "papermill notebooks/05_check_deployment.ipynb",
    )  # fmt: skip
    assert steps == sorted(steps)
    image = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/reef-{environment}@{DIGEST}"
    assert calls[steps[3]].startswith(f"{image} terraform")
    assert "endpoint https://api.example.org/api " in calls[steps[6]]
    assert any(call.endswith(":latest") for call in calls) == (environment == "dev")
    build = calls[steps[1]]  # the base by its digest, and labels that name commit and code
    assert f"BASE_IMAGE=public.ecr.aws/lambda/python:3.12@{DIGEST} --build-arg EXTRAS=serve " in build
    assert re.search(r" --build-arg REVISION=[0-9a-f]{40} ", build)
    code = runpy.run_path(str(deploy.checkout / "anemone_lib" / "provenance.py"))["code_sha256"]()
    assert f"--build-arg CODE_SHA256={code} " in build


def test_an_image_that_is_there_is_not_built_again(deploy):
    deploy("deploy", "dev", answer="yes")
    code, said, calls = deploy("deploy", "dev", answer="yes")
    assert code == 0, said
    assert not [call for call in calls if "docker build" in call or "docker push" in call]


def test_nothing_is_applied_without_a_yes(deploy):
    code, said, calls = deploy("deploy", "dev", answer="no")
    assert (code, "nothing more was done" in said) == (2, True)
    assert not [call for call in calls if "deploy.tfplan" in call and " apply " in call]


def test_prod_runs_only_what_is_committed(deploy):
    (deploy.checkout / "terraform/README.md").write_text("changed", encoding="utf-8")
    code, said, calls = deploy("deploy", "prod", answer="yes")
    assert (code, "uncommitted" in said) == (2, True)
    assert not [call for call in calls if "docker build" in call]


def test_destroy_wants_the_name_of_what_is_destroyed(deploy):
    code, _, calls = deploy("destroy", "prod", answer="yes")
    assert code == 2
    assert not [call for call in calls if call.endswith(" destroy")]
    code, said, calls = deploy("destroy", "prod", answer="reef-prod")
    assert code == 0, said
    assert calls[-1].endswith("terraform -chdir=terraform/environments/prod destroy")


def test_without_a_role_for_its_logs_nothing_is_planned(deploy, tmp_path):
    (tmp_path / "calls.no-logs").touch()
    code, said, calls = deploy("deploy", "dev", answer="yes")
    assert (code, "apply terraform/bootstrap" in said) == (2, True)
    assert not [call for call in calls if " plan " in call]


def test_what_is_deployed_can_be_checked_alone(deploy):
    code, said, calls = deploy("check", "prod")
    assert code == 0, said
    assert any("papermill notebooks/05_check_deployment.ipynb" in call for call in calls)
    assert any("put-image --repository-name reef --image-tag live-prod-7 " in call for call in calls)
    assert not [call for call in calls if " apply " in call or "docker " in call]


@pytest.mark.parametrize("action", ["deploy", "destroy"])
def test_a_dry_run_shows_every_step_and_runs_none(deploy, action):
    code, said, calls = deploy(action, "prod", DRY_RUN="1")
    assert (code, calls) == (0, []), said
    for step in ("docker build", "docker push", "plan", "papermill") if action == "deploy" else ("destroy",):
        assert step in said


def test_an_environment_that_is_none_is_refused(deploy):
    code, said, calls = deploy("deploy", "staging")
    assert (code, calls) == (2, [])
    assert "dev or prod" in said


def test_everything_that_checkov_leaves_is_explained():
    lines = (ROOT / "terraform/checkov.yaml").read_text(encoding="utf-8").splitlines()
    left = [line for line in lines if line.strip().startswith("- CKV")]
    assert left
    assert all(" # " in line for line in left)
