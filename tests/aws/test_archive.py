"""A run of an archive as applied: the Distributed Map calls the function for each batch until nothing of it is left."""

import json
import time

import pytest

from tests.aws.conftest import SOURCE_BUCKET, allowed
from tests.aws.definitions import find_problems

WAIT_S = 120
RUN = "20240229-abc"


@pytest.fixture
def dev(aws):
    return aws["dev"].outputs


@pytest.fixture(autouse=True)
def leave_nothing(aws, dev):
    """Remove what a test has left of the run."""
    yield
    s3, bucket = aws.admin.client("s3"), dev["s3_output_bucket"]
    for item in s3.list_objects_v2(Bucket=bucket, Prefix=f"archives/{RUN}/").get("Contents", ()):
        s3.delete_object(Bucket=bucket, Key=item["Key"])


@pytest.fixture
def stand_in(aws, dev):
    """The state machine as applied, but that it calls a function which only counts."""
    states, functions, iam = (aws.admin.client(name) for name in ("stepfunctions", "lambda", "iam"))
    machine = states.describe_state_machine(stateMachineArn=dev["archive_state_machine_arn"])
    live = functions.get_alias(FunctionName="anemonefish-inference-dev-archive", Name="live")["AliasArn"]
    applied = functions.get_function_configuration(FunctionName="anemonefish-inference-dev-archive")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}]}
    role = iam.create_role(RoleName="stand-in", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.attach_role_policy(RoleName="stand-in", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    image = functions.get_function(FunctionName="anemonefish-inference-dev-archive")["Code"]["ImageUri"]
    function = functions.create_function(
        FunctionName="stand-in",
        Role=applied["Role"],  # what it reads and writes is held to the rights of the function as applied
        PackageType="Image",
        Code={"ImageUri": image},
        ImageConfig={"Command": ["tests.aws.stand_in.handler"]},
        Timeout=60,  # AWS gives 3 s, which a busy machine needs to start it
    )["FunctionArn"]
    copy = states.create_state_machine(
        name="stand-in", definition=machine["definition"].replace(live, function), roleArn=role
    )["stateMachineArn"]
    yield copy
    states.delete_state_machine(stateMachineArn=copy)
    functions.delete_function(FunctionName="stand-in")
    iam.detach_role_policy(RoleName="stand-in", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.delete_role(RoleName="stand-in")


def run(aws, dev, machine, batches):
    """Hand batches over and wait for the end; return the execution, and how the calls of each batch were answered."""
    s3, states, bucket = aws.admin.client("s3"), aws.admin.client("stepfunctions"), dev["s3_output_bucket"]
    place = {name: f"archives/{RUN}/{name}/" for name in ("batches", "results")}
    for number, batch in enumerate(batches):
        s3.put_object(Bucket=bucket, Key=f"{place['batches']}{number:05d}.json", Body=json.dumps(batch))
    places = {"bucket": bucket, "prefix": place["batches"], "results": place["results"], "run": RUN}
    arn = states.start_execution(stateMachineArn=machine, input=json.dumps(places))["executionArn"]
    deadline = time.monotonic() + WAIT_S
    while (execution := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, execution
        time.sleep(0.1)
    answers = {}
    for item in s3.list_objects_v2(Bucket=bucket, Prefix=place["results"]).get("Contents", ()):
        answers[item["Key"]] = json.loads(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
    return execution, answers


def read_items(aws, execution, status):
    """What the map wrote of the items that ended so."""
    s3, where = aws.admin.client("s3"), json.loads(execution["output"])["ResultWriterDetails"]
    manifest = json.loads(s3.get_object(Bucket=where["Bucket"], Key=where["Key"])["Body"].read())
    files = [file["Key"] for file in manifest["ResultFiles"][status]]
    return [item for key in files for item in json.loads(s3.get_object(Bucket=where["Bucket"], Key=key)["Body"].read())]


@pytest.mark.parametrize("output", ["state_machine_arn", "archive_state_machine_arn"])
def test_the_definition_is_one_that_aws_takes(aws, dev, output):
    machine = aws.admin.client("stepfunctions").describe_state_machine(stateMachineArn=dev[output])
    assert find_problems(machine["definition"]) == []


def test_a_definition_that_aws_refuses_is_found(aws, dev):
    machine = aws.admin.client("stepfunctions").describe_state_machine(stateMachineArn=dev["archive_state_machine_arn"])
    for right, wrong in {
        '"Next":"CountCall"': '"Next":"BatchDone"',  # two states are never reached
        '"Label":"Batches"': '"Label":"The batches"',
        '"ExecutionType":"STANDARD",': "",
        '"Prefix.$":"$.map"': '"Key.$":"$.map"',
        '"Default":"AnalyseBatch"': '"Default":"Analyse"',
        '"MaxConcurrency":2': '"MaxConcurrency":20000',
    }.items():
        assert right in machine["definition"]
        assert find_problems(machine["definition"].replace(right, wrong)), wrong


def test_every_batch_is_called_until_nothing_of_it_is_left(aws, dev, stand_in):
    execution, answers = run(aws, dev, stand_in, [{"fails": False, "items": items} for items in (1, 5, 4)])
    assert execution["status"] == "SUCCEEDED", execution
    assert {key.rsplit("/", 1)[1]: [answer["left"] for answer in calls] for key, calls in answers.items()} == {
        "00000.zip": [0],
        "00001.zip": [3, 1, 0],
        "00002.zip": [2, 0],
    }
    ended = [json.loads(item["Output"]) for item in read_items(aws, execution, "SUCCEEDED")]
    assert sorted(ended, key=lambda answer: answer["batch"]) == [answers[key][-1] for key in sorted(answers)]


def test_a_batch_that_fails_is_named_with_its_reason_and_the_others_are_done(aws, dev, stand_in):
    execution, answers = run(aws, dev, stand_in, [{"fails": number == 1, "items": 2} for number in range(3)])
    assert execution["status"] == "SUCCEEDED", execution
    assert len(answers) == 2
    (failed,) = read_items(aws, execution, "FAILED")
    assert json.loads(failed["Input"])["key"] == f"archives/{RUN}/batches/00001.json"
    assert failed["Error"] == "ValueError"
    assert "no item of" in failed["Cause"]


def test_what_is_the_same_at_the_next_call_is_not_tried_again(aws, dev, stand_in):
    refusals = ["ModelError", "ConfigError", "ScoresError"]
    execution, answers = run(aws, dev, stand_in, [{"refusal": one} for one in refusals] + [{"items": 1}] * 3)
    assert execution["status"] == "SUCCEEDED", execution
    tried = [len(calls) for key, calls in sorted(answers.items())[:3]]
    assert tried == [1, 1, 3]
    failed = {item["Input"]: item["Error"] for item in read_items(aws, execution, "FAILED")}
    assert [failed[batch] for batch in sorted(failed)] == refusals


def test_a_run_of_which_most_batches_fail_fails_and_what_is_done_is_kept(aws, dev, stand_in):
    execution, answers = run(aws, dev, stand_in, [{"fails": number > 0, "items": 2} for number in range(3)])
    assert (execution["status"], execution["error"]) == ("FAILED", "States.ExceedToleratedFailureThreshold")
    assert len(answers) == 1
    kept = aws.admin.client("s3").list_objects_v2(Bucket=dev["s3_output_bucket"], Prefix=f"archives/{RUN}/map/")
    assert any(item["Key"].endswith("/FAILED_0.json") for item in kept["Contents"])


def test_a_run_without_batches_is_done(aws, dev, stand_in):
    execution, answers = run(aws, dev, stand_in, [])
    assert (execution["status"], answers) == ("SUCCEEDED", {})


def test_an_input_that_lacks_a_field_fails_at_once(aws, dev):
    states = aws.admin.client("stepfunctions")
    arn = states.start_execution(stateMachineArn=dev["archive_state_machine_arn"], input='{"bucket": "b"}')[
        "executionArn"
    ]
    deadline = time.monotonic() + WAIT_S
    while (execution := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert execution["status"] == "FAILED"


def test_the_archives_function_reads_sources_and_batches_and_writes_results_alone(aws, dev):
    s3, bucket = aws.roles["anemonefish-inference-dev-archive-us-east-1"].client("s3"), dev["s3_output_bucket"]
    place = {"Bucket": bucket, "Body": b"1"}
    assert allowed(s3.get_object, Bucket=SOURCE_BUCKET, Key="reef.wav")
    assert not allowed(s3.put_object, Bucket=SOURCE_BUCKET, Key="reef.wav", Body=b"1")
    assert allowed(s3.get_object, Bucket=bucket, Key=f"archives/{RUN}/batches/00000.json")
    assert not allowed(s3.put_object, Key=f"archives/{RUN}/batches/00000.json", **place)
    assert allowed(s3.put_object, Key=f"archives/{RUN}/results/00000.zip", **place)
    assert not allowed(s3.put_object, Key="jobs/1/result.json", **place)
    assert not allowed(s3.delete_object, Bucket=bucket, Key=f"archives/{RUN}/results/00000.zip")


def test_the_archives_state_machine_calls_its_function_and_writes_what_became_of_batches_alone(aws, dev):
    role, bucket = aws.roles["anemonefish-inference-dev-batches-us-east-1"], dev["s3_output_bucket"]
    s3, functions = role.client("s3"), role.client("lambda")
    arn = "arn:aws:lambda:us-east-1:123456789012:function:anemonefish-inference-dev"
    assert allowed(functions.invoke, FunctionName=f"{arn}-archive:live", Payload=b"{}")
    assert not allowed(functions.invoke, FunctionName=f"{arn}-inference:live", Payload=b"{}")
    assert allowed(s3.put_object, Bucket=bucket, Key=f"archives/{RUN}/map/1/manifest.json", Body=b"{}")
    assert not allowed(s3.put_object, Bucket=bucket, Key=f"archives/{RUN}/results/00000.zip", Body=b"")
    states, machine = role.client("stepfunctions"), dev["archive_state_machine_arn"]
    assert allowed(states.start_execution, stateMachineArn=machine, input="{}")
    assert not allowed(states.start_execution, stateMachineArn=dev["state_machine_arn"], input="{}")
