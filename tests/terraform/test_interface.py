"""The configuration of the detector means the same in Python and in Terraform, and the interface is documented."""

import re
from types import SimpleNamespace

import pytest

from anemone_lib.config import InferenceConfig
from anemone_lib.service.app import create_app
from anemone_lib.service.engine import Engine
from anemone_lib.service.incoming import BODY_TYPES
from anemone_lib.service.openapi import AUDIO_TYPES
from anemone_lib.service.settings import Settings
from tests.terraform import costs
from tests.terraform.interface import TERRAFORM, attributes, outputs, passed, settings, variables
from tests.terraform.readme import MODULES, PARTS, README, completed

ENVIRONMENTS = ("environments/dev", "environments/prod")
#: Variables of the environments that say whether there is a module at all, or which image it gets.
SWITCHES = {"ecr_repository_name", "enable_archive", "lambda_image_uri"}
DECLARED_IN = ("modules/inference", *ENVIRONMENTS)
SHIPPED = [TERRAFORM / root / "inference_config.auto.tfvars.json" for root in ENVIRONMENTS]
MODULE_VARIABLES = {
    "environment": "test",
    "model_s3_bucket": "models",
    "lambda": {"image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0"},
    "cors_allowed_origins": ["*"],
    "enable_api_key": False,
    "inference_config_fingerprint": "0" * 64,
}


@pytest.mark.parametrize("root", DECLARED_IN)
def test_terraform_and_python_have_the_same_settings_with_the_same_defaults(root):
    declared = {name: default and default.strip('"') for name, default in settings(root).items()}
    assert declared.keys() == InferenceConfig.model_fields.keys()
    python = {name: None if value is None else str(value) for name, value in InferenceConfig().model_dump().items()}
    numbers = {name for name, value in InferenceConfig().model_dump().items() if isinstance(value, int | float)}
    assert {name: declared[name] for name in declared.keys() - numbers} == {
        name: python[name] for name in python.keys() - numbers
    }
    assert {name: float(declared[name]) for name in numbers} == {name: float(python[name]) for name in numbers}


def test_terraform_and_python_allow_the_same_ranges():
    table = variables("modules/inference")["inference_config"].validations[0]
    allowed = {
        name: (float(low), float(high))
        for name, low, high in re.findall(r"^\s+(\w+)\s+= \[(\S+), (\S+)\]$", table, flags=re.MULTILINE)
    }
    schema = InferenceConfig.model_json_schema()["properties"]
    expected = {}
    for name, field in schema.items():
        field = field.get("anyOf", [field])[0]
        if "minimum" in field:
            expected[name] = (float(field["minimum"]), float(field["maximum"]))
    expected["hop_length"] = (1.0, expected["n_fft"][1])  # in Python between 1 and n_fft, whatever that is
    assert allowed == expected


def test_dev_and_prod_declare_the_same_variables_except_for_what_prod_asks_in_addition():
    dev, prod = (variables(root) for root in ENVIRONMENTS)
    assert list(dev) == list(prod)
    stricter = {name for name in dev if dev[name].validations != prod[name].validations}
    assert stricter == {"cors_allowed_origins", "lambda_image_uri"}
    assert {name: dev[name].type for name in dev} == {name: prod[name].type for name in prod}
    described = {name for name in dev if dev[name].description != prod[name].description}
    assert described <= stricter
    assert {name for name in dev if dev[name].default != prod[name].default} - stricter == {
        *("enable_api_key", "enable_canary", "environment", "force_destroy", "image_tag_mutability"),
        *("log_retention_days", "max_image_count"),
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_the_shipped_settings_are_as_python_writes_them_and_have_their_fingerprint(path):
    config = InferenceConfig.load(path)
    assert path.read_text(encoding="utf-8") == config.to_tfvars()


AWKWARD = InferenceConfig(
    fmax_hz=1234.5,
    target_sr=48000,
    confidence_threshold=1e-05,
    stride_duration=0.1,
    window_duration=0.30000000000000004,
    model_classes="noise,Amphiprion ocellaris,ünïcode",
    target_class="Amphiprion ocellaris",
    min_gap_duration=1 / 3,
)


@pytest.mark.parametrize("config", sorted({*map(InferenceConfig.load, SHIPPED), AWKWARD}, key=repr), ids=str)
def test_the_functions_environment_is_what_python_writes_and_reads_back(terraform, config):
    settings = terraform.console(
        "modules/inference", "local.settings", {**MODULE_VARIABLES, "inference_config": config.model_dump()}
    )
    assert settings == config.to_env()
    assert InferenceConfig.from_env(settings).fingerprint == config.fingerprint


def test_the_environments_give_everything_the_modules_take_from_variables_of_the_same_type():
    for root in ENVIRONMENTS:
        own, used = variables(root), {"tags", *SWITCHES}
        assert passed(root).keys() == set(MODULES)
        for module, arguments in passed(root).items():
            taken = {}
            for name, variable in variables(module).items():
                whole = name in arguments  # or attribute by attribute
                taken |= {name: variable.type} if whole else {f"{name}.{a.name}": a.type for a in attributes(variable)}
            assert arguments.keys() == taken.keys()
            mine = {name: variable for name, variable in arguments.items() if variable}
            assert {name: own[variable].type for name, variable in mine.items()} == {name: taken[name] for name in mine}
            used |= set(mine.values())
        assert own.keys() == used


@pytest.mark.parametrize("root", [*MODULES, *ENVIRONMENTS])
def test_every_variable_and_output_is_described_and_variables_are_in_order(root):
    declared = variables(root)
    assert list(declared) == sorted(declared)
    assert all(variable.description.endswith(".") and variable.type for variable in declared.values())
    for variable in declared.values():
        grouped = attributes(variable)
        assert all(one.description.endswith(".") for one in grouped)
        if variable.type.startswith("object") and variable.name != "inference_config":
            assert len(grouped) == variable.type.count("\n") - 1, f"{variable.name}: describe each attribute beside it"
    names = re.findall(r'^output "(\w+)"', (TERRAFORM / root / "outputs.tf").read_text(), flags=re.MULTILINE)
    assert list(outputs(root)) == names


@pytest.mark.parametrize("module", MODULES)
def test_every_bounded_variable_of_a_module_is_validated(module):
    free = [variable.type for variable in variables(module).values() if not variable.validations]
    assert set(free) <= {"bool"}


def test_every_validation_of_prod_is_expected_to_fail_once():
    declared = {name: len(v.validations) for name, v in variables("environments/prod").items() if v.validations}
    tests = (TERRAFORM / "environments/prod/tests/prod.tftest.hcl").read_text(encoding="utf-8")
    expected = re.findall(r"^\s+var\.(\w+),$", tests, flags=re.MULTILINE)
    assert {name: expected.count(name) for name in expected} == declared


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.parent.name)
def test_a_readme_has_the_variables_the_outputs_and_the_costs_of_the_files(path):
    readme = path.read_text(encoding="utf-8")
    assert readme == completed(path), "write them again: python -m tests.terraform.readme"
    if path == README:
        assert f"${costs.month():.2f} a month" in readme
        assert f"{3600 / InferenceConfig().stride_duration:,.0f} windows" in readme


@pytest.mark.parametrize("root", ENVIRONMENTS)
def test_settings_that_stand_in_two_files_are_refused(terraform, root):
    tfvars = terraform.folder / root / "terraform.tfvars"
    tfvars.write_text("inference_config = { n_fft = 512 }\n", encoding="utf-8")
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0"
    needed = {"model_s3_bucket": "models", "lambda_image_uri": image, "cors_allowed_origins": ["https://reef.example"]}
    try:
        assert terraform.console(root, "local.given_twice", needed) == ["inference_config"]
    finally:
        tfvars.unlink()
    assert terraform.console(root, "local.given_twice", needed) == []
    text = (TERRAFORM / root / "outputs.tf").read_text(encoding="utf-8")
    assert "condition     = length(local.given_twice) == 0" in text  # and a plan is refused where it is not empty


def test_the_routes_of_the_api_are_those_of_the_service(terraform):
    routes = terraform.console("modules/inference", "keys(local.routes)", MODULE_VARIABLES)
    jobs = SimpleNamespace(recordings=None)  # on AWS: no routes that take parts or give files, S3 does that
    app = create_app(Engine(Settings()), jobs)
    paths = app.openapi()["paths"]
    described = {
        f"{method.upper()} {path.replace('job_id', 'id')}" for path, methods in paths.items() for method in methods
    }
    assert set(routes) == described | {"GET /"}  # the page is no part of the interface


def test_the_gateway_passes_every_type_that_the_service_accepts_and_no_other():
    text = (TERRAFORM / "modules/inference/api.tf").read_text(encoding="utf-8")
    listed = re.findall(r'"([^"]+)"', re.search(r"binary_media_types = \[(.*?)\]", text, flags=re.DOTALL)[1])
    assert sorted(listed) == sorted([*BODY_TYPES, "multipart/form-data"])
    assert set(AUDIO_TYPES) <= set(BODY_TYPES)
