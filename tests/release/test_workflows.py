"""The workflows of GitHub: what they take, what they may do, and what their steps do, run with stand-ins."""

import hashlib
import os
import re
import subprocess

import pytest
import yaml

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"
GIVEN = ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
DEV, PROD = "1.example.org/reef-dev", "2.example.org/reef-prod"

#: Notes how it was called; where a file of this name is there, it holds what the call answers, else the call fails.
STAND_IN = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >>calls
case "$*" in
  get-login-password* | *get-login-password*) echo password ;;
  login*) cat >/dev/null ;;
  *"imagetools inspect"*) cat "$(basename "$4" | tr ':@' '__')" ;;
  *"output -raw"*) printf 2.example.org/reef-prod ;;
  "s3 cp s3:"*) printf 'a plan' >"$4" ;;
  plan*) [ ! -e refused ] || { echo 'Error: refused'; exit 1; }; printf 'a plan' >tfplan ;;
esac
"""


@pytest.fixture(scope="module")
def workflows(root):
    """Every workflow and action by its name, parsed."""
    paths = [*(root / ".github/workflows").glob("*.yml"), *(root / ".github/actions").glob("*/action.yml")]
    return {path.relative_to(root / ".github").as_posix(): yaml.safe_load(path.read_text()) for path in paths}


@pytest.fixture(scope="module")
def deploy(workflows):
    return workflows["workflows/deploy.yml"]


@pytest.fixture
def step(deploy, tmp_path):
    """Run the first step of a job whose script holds a text, as GitHub does; give its exit code and what it called."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("aws", "docker", "skopeo", "terraform"):
        (programs / name).write_text(STAND_IN)
        (programs / name).chmod(0o755)

    def run(job, text, **environ):
        script = next(step["run"] for step in deploy["jobs"][job]["steps"] if text in step.get("run", ""))
        (tmp_path / "calls").write_text("")
        result = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                **{name: str(tmp_path / name.lower()) for name in GIVEN},
                "GITHUB_SHA": COMMIT,
                "GITHUB_REF_NAME": "prod-1.2.3",
                "GITHUB_RUN_ID": "7",
                "GITHUB_RUN_ATTEMPT": "2",
                "STATE_BUCKET": "states",
                "DEV_REPOSITORY": DEV,
                **environ,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return result.returncode, result.stdout + result.stderr, (tmp_path / "calls").read_text()

    run.folder = tmp_path
    return run


def test_every_action_is_pinned_by_the_hash_of_a_commit(root, workflows):
    hashes: dict[str, set[str]] = {}
    for name in workflows:
        for used, version, comment in re.findall(
            r"uses: ([^@\s]+)@(\S+)(.*)", (root / ".github" / name).read_text(encoding="utf-8")
        ):
            hashes.setdefault(used, set()).add(version)
            assert re.fullmatch("[0-9a-f]{40}", version), used
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), used
    assert {used: len(versions) for used, versions in hashes.items()} == dict.fromkeys(hashes, 1)
    assert set(
        yaml.safe_load((root / ".github/zizmor.yml").read_text())["rules"]["unpinned-uses"]["config"][
            "policies"
        ].values()
    ) == {"hash-pin"}


def test_a_failed_command_in_a_pipe_fails_the_step(workflows):
    for name, workflow in workflows.items():
        if name.startswith("workflows/"):
            assert workflow["defaults"]["run"]["shell"] == "bash", name


def test_there_are_no_long_lived_keys_and_no_more_rights_than_needed(root, workflows):
    for name, workflow in workflows.items():
        text = (root / ".github" / name).read_text(encoding="utf-8").lower().replace("_", "-")
        assert "access-key" not in text
        if name.startswith("workflows/"):
            assert workflow["permissions"] == {"contents": "read"}
        for step in [step for job in workflow.get("jobs", {}).values() for step in job.get("steps", [])]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_the_packages_tests_run_on_every_python_and_on_the_images(root, workflows):
    jobs = workflows["workflows/ci.yml"]["jobs"]
    pythons = jobs["test"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13"]
    image = re.search(r"BASE_IMAGE=\S+/python:(3\.\d+)", (root / "docker/Dockerfile.inference").read_text())[1]
    assert image in pythons
    assert any("pytest tests/image" in step.get("run", "") for step in jobs["image"]["steps"])


def test_prod_waits_for_its_plan_and_for_approval_and_makes_nothing_anew(deploy):
    jobs = deploy["jobs"]
    assert jobs["prod"]["needs"] == ["prod-plan"]
    assert jobs["prod"]["environment"] == "prod"  # whose protection rules ask for approval
    assert jobs["prod-plan"]["environment"] == "prod-image"
    for name in ("prod-plan", "prod"):
        scripts = " ".join(step.get("run", "") for step in jobs[name]["steps"])
        assert "docker build " not in scripts
        assert "build.sh" not in scripts
    assert "terraform plan" not in " ".join(step.get("run", "") for step in jobs["prod"]["steps"])
    for name in ("dev", "prod"):
        assert jobs[name]["steps"][-1 if name == "prod" else -2] == {
            "uses": "./.github/actions/check",
            "with": {"environment": name},
        }
        runs = [step["run"] for step in jobs[name]["steps"] if "run" in step]
        applied = next(i for i, run in enumerate(runs) if "terraform apply -input=false -no-color tfplan" in run)
        assert runs[applied + 1] == f"terraform/rollout.sh {name}"  # before it is checked


@pytest.mark.parametrize(("job", "text"), [("plan", "terraform plan"), ("prod-plan", "terraform plan")])
def test_a_plan_that_fails_fails(step, job, text):
    assert step(job, text)[0] == 0
    (step.folder / "refused").touch()
    code, said, calls = step(job, text)
    assert code != 0
    assert "Error: refused" in said
    assert "s3 cp" not in calls


def test_an_image_that_was_not_tested_in_dev_is_not_taken(step):
    code, said, calls = step("prod-plan", "skopeo copy")
    assert code == 1
    assert "push the commit to main" in said
    assert "skopeo" not in calls


def test_the_tested_image_is_taken_over_by_its_digest_once(step):
    (step.folder / "reef-dev_tested-0123456789ab").write_text(DIGEST)
    code, said, calls = step("prod-plan", "skopeo copy")
    assert code == 0, said
    assert f"skopeo copy --preserve-digests docker://{DEV}@{DIGEST} docker://{PROD}:1.2.3\n" in calls
    assert f"TF_VAR_lambda_image_uri={PROD}@{DIGEST}\n" in (step.folder / "github_env").read_text()
    (step.folder / "reef-prod_1.2.3").write_text(DIGEST)  # a second run
    code, said, calls = step("prod-plan", "skopeo copy")
    assert code == 0, said
    assert "skopeo" not in calls


def test_a_tag_of_prod_that_is_another_image_is_refused(step):
    (step.folder / "reef-dev_tested-0123456789ab").write_text(DIGEST)
    (step.folder / "reef-prod_1.2.3").write_text(OTHER)
    code, said, calls = step("prod-plan", "skopeo copy")
    assert code == 1
    assert "take a new tag" in said
    assert "skopeo" not in calls


def test_dev_takes_what_an_earlier_run_of_the_commit_has_pushed(step):
    (step.folder / "reef-dev_commit-0123456789ab").write_text(DIGEST)
    code, said, calls = step("dev", "docker/build.sh", IMAGE=f"{DEV}:commit-0123456789ab", REPOSITORY=DEV)
    assert code == 0, said
    assert "docker push" not in calls
    assert f"TF_VAR_lambda_image_uri={DEV}@{DIGEST}\n" in (step.folder / "github_env").read_text()


def test_the_plan_that_is_applied_is_the_one_that_was_shown(step):
    code, said, calls = step("prod-plan", "terraform plan")
    assert code == 0, said
    assert "aws s3 cp --sse AES256 tfplan s3://states/plans/7-2.tfplan" in calls
    digest = re.search(r"sha256=(.*)\n", (step.folder / "github_output").read_text())[1]
    assert digest == hashlib.sha256(b"a plan").hexdigest() + "-2"
    code, said, calls = step("prod", "terraform apply", PLAN_SHA256=digest, GITHUB_RUN_ATTEMPT="3")
    assert code == 0, said
    assert "aws s3 cp s3://states/plans/7-2.tfplan tfplan" in calls
    assert "terraform apply -input=false -no-color tfplan" in calls
    code, said, calls = step("prod", "terraform apply", PLAN_SHA256=f"{'0' * 64}-2")
    assert code != 0
    assert "terraform apply" not in calls
