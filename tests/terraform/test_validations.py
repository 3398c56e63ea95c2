"""Every validation of the modules refuses a value; one `terraform validate` of many uses tells of all."""

import json
import re

import pytest

from tests.terraform.interface import TERRAFORM
from tests.terraform.readme import MODULES

#: What a module must be told.
NEEDED = {
    "modules/archive": {
        "environment": "test",
        "bucket": "results",
        "detector_environment": {
            "INFERENCE_CONFIG_FINGERPRINT": "0" * 64,
            "S3_MODEL_BUCKET": "models",
            "S3_MODEL_KEY": "models/v1.0/best_model.keras",
        },
        "lambda": {"image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0"},
    },
    "modules/ecr": {"project_name": "anemone", "environment": "test"},
    "modules/inference": {
        "environment": "test",
        "model_s3_bucket": "models",
        "lambda": {"image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0"},
        "cors_allowed_origins": ["*"],
        "enable_api_key": False,
        "inference_config_fingerprint": "0" * 64,
    },
}
VPC = {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1", "subnet-2"]}
#: Wrong values of each variable, or of each attribute of an object; one use of a module takes one of each.
WRONG = {
    "modules/archive": {
        "alarm_topic_arn": ["alarms"],
        "aws_region": ["Virginia"],
        "bucket": ["s3://results/archives"],
        "detector_environment": [{"S3_MODEL_BUCKET": None}],
        "environment": ["pre-prod"],
        "kms_key_arns": [["arn:aws:kms:us-east-1:123456789012:alias/models"]],
        "lambda": [
            {"image_uri": "python:3.12"},
            {"architecture": "sparc"},
            {"ephemeral_storage_size": 256},
            {"log_level": "LOUD"},
            {"memory_size": 512},
            {"reserved_concurrent_executions": 0},
        ],
        "log_retention_days": [31],
        "max_concurrency": [0],
        "project_name": ["Anemone_1"],
        "source_buckets": [["s3://recordings"]],
        "timeout": [60],
        "tolerated_failure_percentage": [101],
    },
    "modules/ecr": {
        "project_name": ["Anemone_1"],
        "environment": ["pre-prod"],
        "image_tag_mutability": ["SOMETIMES"],
        "max_image_count": [0],
        "pull_account_ids": [["123"]],
    },
    "modules/inference": {
        "alarms": [{"email": "ocean"}, {"invocations_per_hour": 0}],
        "api_gateway_stage_name": ["api/v1"],
        "aws_region": ["Virginia"],
        "canary": [{"minutes": 0}, {"percent": 51}],
        "cors_allowed_origins": [["*", "https://reef.example.org"], ["https://reef.example.org/page"], []],
        "dataset_sha256": ["abc"],
        "environment": ["pre-prod"],
        "inference_config": [
            {"confidence_threshold": 1.1},
            {"batch_size": 1.5},
            {"n_fft": 1023},
            {"smoothing_window": 4},
            {"n_fft": 512, "hop_length": 513},
            {"window_duration": 1, "stride_duration": 1.5},
            {"target_class": "whale"},
        ],
        "inference_config_fingerprint": ["none"],
        "job_max_concurrency": [41],
        "job_timeout": [604801],
        "lambda": [
            {"image_uri": "python:3.12"},
            {"architecture": "sparc"},
            {"ephemeral_storage_size": 256},
            {"log_level": "LOUD"},
            {"memory_size": 512},
            {"provisioned_concurrent_executions": -1},
            {"reserved_concurrent_executions": 0},
            {"timeout": 901},
        ],
        "log_retention_days": [31],
        "model_kms_key_arns": [["arn:aws:kms:us-east-1:123456789012:alias/models"]],
        "model_s3_bucket": ["s3://models/v1.0"],
        "model_s3_key": ["models/v1.0/best_model.h5"],
        "model_sha256": ["abc"],
        "model_version": ["version one"],
        "project_name": ["Anemone_1"],
        "s3_input_expiration_days": [0],
        "s3_output_expiration_days": [0],
        "throttle": [
            {"rate_limit": 0},
            {"api_key_rate_limit": 0},
            {"burst_limit": 0},
            {"api_key_burst_limit": 0},
            {"api_key_daily_quota": 0},
        ],
        "vpc": [
            VPC | {"vpc_id": "main"},
            VPC | {"subnet_ids": ["subnet-1"]},
            VPC | {"route_table_ids": ["main"]},
            VPC | {"interface_endpoints": ["s3"]},
        ],
        "waf_web_acl_arn": ["arn:aws:wafv2:us-east-1:123456789012:global/webacl/reef/1"],
    },
}


def lay_out():
    """Uses of the modules, by name: the module and what it is told; as few as give each wrong value once."""
    uses = {}
    for module, wrong in WRONG.items():
        for number in range(max(map(len, wrong.values()))):
            arguments = dict(NEEDED[module])
            for name, values in wrong.items():
                if number < len(values):
                    value, needed = values[number], arguments.get(name)
                    arguments[name] = needed | value if isinstance(needed, dict) else value
            uses[f"{module.rpartition('/')[2]}_{number}"] = (module, arguments)
    return uses


@pytest.fixture(scope="module")
def refusals(terraform):
    """What `terraform validate` says of all wrong uses: the name of the use and the rule, file and line."""
    folder = terraform.folder / "wrong"
    folder.mkdir()
    uses = {
        name: {"source": f"../{module}", **arguments}
        for name, (module, arguments) in {**lay_out(), **{m[8:] + "_right": (m, NEEDED[m]) for m in MODULES}}.items()
    }
    (folder / "main.tf.json").write_text(json.dumps({"module": uses}), encoding="utf-8")
    terraform.init("wrong")
    said = json.loads(terraform("wrong", "validate", "-json", accept=(0, 1)))["diagnostics"]
    found = []
    for problem in said:
        rule = re.search(r"validation rule at (?:\.\./)?(modules/\w+/variables\.tf):(\d+)", problem["detail"])
        assert rule, problem
        found.append((problem["snippet"]["context"], rule[1], int(rule[2])))
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_validation_refuses_a_value(refusals, module):
    file = f"{module}/variables.tf"
    lines = (TERRAFORM / file).read_text(encoding="utf-8").splitlines()
    declared = {number for number, line in enumerate(lines, 1) if line.strip() == "validation {"}
    assert {line for _, where, line in refusals if where == file} == declared


def test_every_wrong_value_is_refused_and_no_right_one(refusals):
    wrong = sum(len(values) for module in WRONG.values() for values in module.values())
    assert len(refusals) == wrong
    assert not [use for use, *_ in refusals if "_right" in use]
