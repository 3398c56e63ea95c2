"""A new version of prod's function gets its requests by ``terraform/rollout.sh``, and loses them by an alarm."""

import os
import subprocess

import pytest

from tests.aws.aws_command import AwsCommand

FUNCTION = "anemonefish-inference-prod-inference"
ALARM = "anemonefish-inference-prod-errors"


@pytest.fixture
def publish(aws):
    """Publish a version that differs in some environment variables; the first is live again afterwards."""
    functions, published = aws.admin.client("lambda"), []
    variables = functions.get_function_configuration(FunctionName=FUNCTION)["Environment"]["Variables"]

    def publish_version(**changed):
        functions.update_function_configuration(
            FunctionName=FUNCTION, Environment={"Variables": {**variables, **changed}}
        )
        published.append(functions.publish_version(FunctionName=FUNCTION)["Version"])
        functions.update_function_configuration(FunctionName=FUNCTION, Environment={"Variables": variables})
        return published[-1]

    yield publish_version
    for name in ("jobs", "live"):
        functions.update_alias(
            FunctionName=FUNCTION, Name=name, FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {}}
        )
    for version in published:
        functions.delete_function(FunctionName=FUNCTION, Qualifier=version)


@pytest.fixture
def new(publish):
    """A second version, which nobody calls."""
    return publish(LOG_LEVEL="INFO")


@pytest.fixture
def rollout(aws, tmp_path):
    """Run the script on prod as applied; `sleep` passes at once, noted with what the alias gives away meanwhile."""
    programs, naps = tmp_path / "programs", tmp_path / "naps"
    programs.mkdir()
    command = AwsCommand(programs, aws.admin.client)
    (programs / "sleep").write_text(
        f'#!/bin/sh\naws lambda get-alias --function-name {FUNCTION} --name live --query RoutingConfig >>"{naps}"\n'
        f'[ "$(wc -l <"{naps}")" != "$ALARM_AT" ] || aws cloudwatch set-alarm-state --alarm-name {ALARM} '
        "--state-value ALARM --state-reason test\n"
    )
    (programs / "sleep").chmod(0o755)
    script = aws["prod"].terraform.folder / "rollout.sh"

    def run(**environ):
        result = subprocess.run(
            ["bash", script, "prod"],
            env={
                **aws["prod"].terraform.environment_of(aws["prod"].root),
                "PATH": f"{programs}:{os.environ['PATH']}",
                "ALARM_AT": "none",
                **environ,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return result.returncode, result.stdout + result.stderr, naps.read_text().splitlines() if naps.exists() else []

    yield run
    command.close()
    aws.admin.client("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue="OK", StateReason="test")


def find_versions(aws):
    """The version of each alias, and what it gives to others."""
    functions, found = aws.admin.client("lambda"), {}
    for alias in functions.list_aliases(FunctionName=FUNCTION)["Aliases"]:
        found[alias["Name"]] = (
            alias["FunctionVersion"],
            (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights", {}),
        )
    return found


def test_a_new_version_gets_a_share_of_the_requests_and_then_all_of_them_and_the_jobs(aws, rollout, new):
    code, said, naps = rollout(TO=new)
    assert code == 0, said
    assert len(naps) == 4  # a minute
    assert all(f"'{new}': 0.1" in weights for weights in naps)
    assert find_versions(aws) == {"jobs": (new, {}), "live": (new, {})}
    prod = aws["prod"]  # what was moved is no change that the next apply would undo
    plan = prod.terraform(prod.root, "plan", "-detailed-exitcode", "-input=false", "-no-color", accept=(0, 2))
    assert "will be updated" not in plan
    assert "must be replaced" not in plan


def test_an_alarm_gives_all_requests_back_to_the_version_that_was_live(aws, rollout, new):
    code, said, naps = rollout(TO=new, ALARM_AT="3")
    assert (code, len(naps)) == (1, 3), said
    assert f"an alarm went off: {ALARM}" in said
    assert find_versions(aws) == {"jobs": ("1", {}), "live": ("1", {})}


def test_a_version_that_does_not_answer_gets_no_request(aws, rollout, publish):
    code, said, naps = rollout(TO=publish(MODEL_SHA256="0" * 64))
    assert (code, naps) == (1, []), said
    assert "does not answer /health (status 503)" in said
    assert "model_unavailable" in said
    assert find_versions(aws) == {"jobs": ("1", {}), "live": ("1", {})}


def test_nothing_is_moved_while_an_alarm_is_on_but_the_fix_of_it(aws, rollout, new):
    aws.admin.client("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="test")
    code, said, _ = rollout(TO=new)
    assert (code, find_versions(aws)["live"]) == (1, ("1", {})), said
    assert f"an alarm is on already: {ALARM}" in said
    code, said, naps = rollout(TO=new, AT_ONCE="1")
    assert (code, naps) == (0, []), said
    assert find_versions(aws) == {"jobs": (new, {}), "live": (new, {})}
    code, said, _ = rollout(TO="1", AT_ONCE="1")  # and back
    assert (code, find_versions(aws)["live"]) == (0, ("1", {})), said


def test_what_is_live_is_left_alone_and_a_share_that_was_left_is_taken_back(aws, rollout, new):
    aws.admin.client("lambda").update_alias(
        FunctionName=FUNCTION, Name="live", RoutingConfig={"AdditionalVersionWeights": {new: 0.1}}
    )
    code, said, naps = rollout()
    assert (code, naps) == (0, []), said
    assert "version 1 is live already" in said
    assert find_versions(aws) == {"jobs": ("1", {}), "live": ("1", {})}
