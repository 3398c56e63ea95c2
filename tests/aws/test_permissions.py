"""The roles as applied may do what they need and nothing else: allowed calls are allowed, denied calls are denied."""

import json

import pytest

from tests.aws.conftest import MODEL_BUCKET, allowed


@pytest.fixture
def function(aws):
    return aws.roles["anemonefish-inference-dev-function-us-east-1"]


@pytest.fixture
def jobs(aws):
    return aws.roles["anemonefish-inference-dev-jobs-us-east-1"]


@pytest.fixture
def dev(aws):
    return aws["dev"].outputs


def test_the_function_reads_the_model_and_nothing_else_in_its_bucket(aws, function):
    s3 = function.client("s3")
    assert allowed(s3.get_object, Bucket=MODEL_BUCKET, Key="models/v1.0/best_model.json")
    assert allowed(s3.list_objects_v2, Bucket=MODEL_BUCKET)
    assert not allowed(s3.get_object, Bucket=MODEL_BUCKET, Key="models/secret.txt")
    assert not allowed(s3.put_object, Bucket=MODEL_BUCKET, Key="models/v1.0/best_model.keras", Body=b"")
    assert not allowed(s3.delete_object, Bucket=MODEL_BUCKET, Key="models/v1.0/best_model.keras")


@pytest.mark.parametrize("output", ["s3_input_bucket", "s3_output_bucket"])
def test_the_function_reads_and_writes_its_buckets_and_deletes_jobs_alone(function, dev, output):
    s3, bucket = function.client("s3"), dev[output]
    assert allowed(s3.put_object, Bucket=bucket, Key="permission", Body=b"1")
    assert s3.get_object(Bucket=bucket, Key="permission")["Body"].read() == b"1"
    assert allowed(s3.list_objects_v2, Bucket=bucket)
    assert not allowed(s3.delete_object, Bucket=bucket, Key="permission")
    assert allowed(s3.delete_object, Bucket=bucket, Key="jobs/permission")
    assert not allowed(s3.put_bucket_policy, Bucket=bucket, Policy="{}")


def test_the_function_does_not_reach_the_other_environment(aws, function):
    prod = aws["prod"].outputs
    s3 = function.client("s3")
    for bucket in (prod["s3_input_bucket"], prod["s3_output_bucket"]):
        assert not allowed(s3.list_objects_v2, Bucket=bucket)
        assert not allowed(s3.put_object, Bucket=bucket, Key="permission", Body=b"1")
    states = function.client("stepfunctions")
    assert not allowed(states.start_execution, stateMachineArn=prod["state_machine_arn"], input="{}")


def test_the_function_starts_its_state_machine_and_may_not_change_it(aws, function, dev):
    states = function.client("stepfunctions")
    arn = dev["state_machine_arn"]
    assert not allowed(states.update_state_machine, stateMachineArn=arn, definition="{}")
    assert not allowed(states.delete_state_machine, stateMachineArn=arn)
    # a machine of that name in another region: the permission is for one address
    assert not allowed(states.start_execution, stateMachineArn=arn.replace("us-east-1", "eu-west-1"), input="{}")


def test_the_function_touches_neither_functions_nor_topics_nor_roles(function, dev):
    assert not allowed(function.client("lambda").invoke, FunctionName=dev["lambda_function_name"], Payload=b"{}")
    assert not allowed(function.client("sns").publish, TopicArn=dev["alarm_topic_arn"], Message="x")
    assert not allowed(function.client("iam").list_roles)
    assert not allowed(function.client("secretsmanager").list_secrets)


def test_the_state_machine_calls_the_live_function_and_the_topic_and_nothing_else(aws, jobs, dev):
    functions, topics = jobs.client("lambda"), jobs.client("sns")
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{dev['lambda_function_name']}"
    assert allowed(functions.invoke, FunctionName=f"{arn}:live", Payload=json.dumps({}).encode())
    assert not allowed(functions.invoke, FunctionName=arn.replace("-dev", "-prod") + ":live", Payload=b"{}")
    assert allowed(topics.publish, TopicArn=dev["alarm_topic_arn"], Message="a test")
    assert not allowed(topics.publish, TopicArn=aws["prod"].outputs["alarm_topic_arn"], Message="a test")
    assert not allowed(jobs.client("s3").list_objects_v2, Bucket=dev["s3_input_bucket"])
    assert not allowed(jobs.client("stepfunctions").start_execution, stateMachineArn=dev["state_machine_arn"])
