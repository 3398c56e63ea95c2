"""The real provider applies dev and prod, finds nothing left to do, and notices what changed."""

import pytest

from anemone_lib.config import InferenceConfig
from tests.aws.conftest import DEV_REPOSITORY, MODEL_BUCKET, push
from tests.terraform.cli import TERRAFORM

ENVIRONMENTS = ["dev", "prod"]


def test_the_repository_can_be_made_before_there_is_an_image(aws):
    parts = ("repository", "repository_policy", "lifecycle_policy")
    repository = {f"module.ecr[0].aws_ecr_{part}.this" for part in parts}
    read = {name for name in aws["prod"].before_the_image if "data" in name.split(".")}
    assert set(aws["prod"].before_the_image) - read == repository


def test_a_repository_that_was_made_by_hand_is_taken_over_and_its_latest_image_runs(aws):
    (repository,) = aws.admin.client("ecr").describe_repositories(repositoryNames=[DEV_REPOSITORY])["repositories"]
    assert repository["imageScanningConfiguration"] == {
        "scanOnPush": True
    }  # as the module wants it, not as it was made
    described = aws.admin.client("ecr").describe_images(
        repositoryName=DEV_REPOSITORY, imageIds=[{"imageTag": "latest"}]
    )
    digest = described["imageDetails"][0]["imageDigest"]
    function = aws.admin.client("lambda").get_function(FunctionName=aws["dev"].outputs["lambda_function_name"])
    assert function["Code"]["ImageUri"] == f"{repository['repositoryUri']}@{digest}"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_second_plan_is_empty(aws, name):
    deployment = aws[name]
    said = deployment.terraform(deployment.root, "plan", "-detailed-exitcode", "-input=false", "-no-color")
    assert "No changes." in said


def test_a_change_of_a_gateway_response_makes_a_new_deployment_of_the_api(aws):
    deployment = aws["dev"]
    said = deployment.terraform(
        deployment.root,
        "plan",
        "-input=false",
        "-no-color",
        "-refresh=false",
        '-var=cors_allowed_origins=["https://reef.example.org"]',
        "-target=module.inference.aws_api_gateway_deployment.this",
    )
    assert "module.inference.aws_api_gateway_deployment.this must be replaced" in said


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_functions_environment_is_the_promoted_settings_and_what_the_service_reads(aws, name):
    outputs = aws[name].outputs
    function = aws.admin.client("lambda").get_function_configuration(
        FunctionName=outputs["lambda_function_name"], Qualifier="live"
    )
    environ = function["Environment"]["Variables"]
    config = InferenceConfig.load(TERRAFORM / "environments" / name / "inference_config.auto.tfvars.json")
    settings = {setting.upper() for setting in InferenceConfig.model_fields}
    assert {key: value for key, value in environ.items() if key in settings} == config.to_env()
    assert {key: value for key, value in environ.items() if key not in settings} == {
        "CORS_ALLOWED_ORIGINS": "*" if name == "dev" else "https://reef.example.org,https://fish.example.org",
        "INFERENCE_CONFIG_FINGERPRINT": config.fingerprint,
        "LOG_LEVEL": "INFO" if name == "dev" else "DEBUG",
        "MODEL_VERSION": "v1.0",
        "POWERTOOLS_METRICS_NAMESPACE": outputs["lambda_function_name"],
        "POWERTOOLS_SERVICE_NAME": outputs["lambda_function_name"],
        "S3_INPUT_BUCKET": outputs["s3_input_bucket"],
        "S3_MODEL_BUCKET": MODEL_BUCKET,
        "S3_MODEL_KEY": "models/v1.0/best_model.keras",
        "S3_OUTPUT_BUCKET": outputs["s3_output_bucket"],
        "STATE_MACHINE_ARN": outputs["state_machine_arn"],
    }
    assert (function["MemorySize"], function["Timeout"], function["TracingConfig"]) == (3008, 900, {"Mode": "Active"})


def test_the_api_key_is_in_secrets_manager_where_that_was_asked_for(aws):
    secret = aws.admin.client("secretsmanager").get_secret_value(SecretId="anemonefish-inference-prod-api-key")
    assert secret["SecretString"] == aws["prod"].outputs["api_key_value"]
    assert "api_key_value" not in aws["dev"].outputs


def test_the_function_and_its_log_are_where_the_guide_looks_for_them(aws):
    for name in ENVIRONMENTS:
        function = f"anemonefish-inference-{name}-inference"
        assert aws[name].outputs["lambda_function_name"] == function
        groups = aws.admin.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{function}")["logGroups"]
        assert [group["logGroupName"] for group in groups] == [f"/aws/lambda/{function}"]


def test_an_image_that_is_pushed_as_latest_is_what_the_next_apply_brings(aws):
    deployment = aws["dev"]
    digest = push(aws.admin.client("ecr"), DEV_REPOSITORY, "the second")
    said = deployment.terraform(
        deployment.root, "plan", "-input=false", "-no-color", "-target=module.inference.aws_lambda_function.this"
    )
    assert digest in said
    assert "0 to destroy" in said
