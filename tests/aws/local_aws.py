"""AWS on this machine: moto's server, the few calls it lacks, and a Lambda that runs.

Run as a program it serves until it is ended::

    python -m tests.aws.local_aws --port 5977 --handler package.module.handler --logs FOLDER

Terraform's real provider and boto3 find it by ``AWS_ENDPOINT_URL``. A function is a process of the real runtime client
``awslambdaric`` with the environment that Terraform gave the function and the credentials of its role; what an image
would hold is this Python and the handler named. After a POST of ``0`` to ``/moto-api/reset-auth`` every call is held to
the policies of who makes it.
"""

import argparse
import contextlib
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import unescape

from tests.aws.distributed_map import complete_distributed_map
from tests.aws.runtime_api import RuntimeApi

ACCOUNT = "123456789012"
MAX_PAYLOAD_BYTES = 6_291_556  # of a Lambda call, in and out
#: Calls of a function that may run at once, as in a new account; less where that was reserved for it.
MAX_CONCURRENT = 10

options = argparse.Namespace(port=0, handler="", logs="")


def role_credentials(role_arn: str, session: str) -> dict[str, str]:
    """Temporary credentials of a role, as the environment variables that AWS gives to what runs under it."""
    from moto.sts.models import sts_backends

    role = sts_backends[ACCOUNT]["aws"].assume_role(
        region_name="us-east-1",
        role_session_name=session,
        role_arn=role_arn,
        policy=None,
        duration=3600,
        external_id=None,
    )
    return {
        "AWS_ACCESS_KEY_ID": role.access_key_id,
        "AWS_SECRET_ACCESS_KEY": role.secret_access_key,
        "AWS_SESSION_TOKEN": role.session_token,
    }


# ---------------------------------------------------------------- Lambda: processes of the real runtime client


class Sandbox:
    """One process that serves one event after the other."""

    def __init__(self, function) -> None:
        self.runtime = RuntimeApi(function.function_arn)
        handler = (function.image_config.cmd or [options.handler])[0]  # the image's, unless the function has its own
        self._folder = tempfile.TemporaryDirectory()
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(Path(__file__).parents[2]),  # of this checkout, wherever it is installed
            "TMPDIR": self._folder.name,
            **function.environment_vars,
            **role_credentials(function.role, function.function_name),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{options.port}",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": function.region,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
            "AWS_LAMBDA_RUNTIME_API": self.runtime.address,
            "LAMBDA_TASK_ROOT": self._folder.name,
            "_HANDLER": handler,
        }
        with (Path(options.logs) / f"{function.function_name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", handler],
                env=environment,
                cwd=self._folder.name,
                stdout=log,
                stderr=log,
            )

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.runtime.shutdown()
        self.runtime.server_close()
        self._folder.cleanup()


class TooManyCalls(Exception):
    """As many calls run as may run at once."""


class Sandboxes:
    """Processes that are free, by function and what it was told; one is started when none is."""

    def __init__(self) -> None:
        self._free: dict[str, list[Sandbox]] = defaultdict(list)
        self._all: list[Sandbox] = []
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    def invoke(self, function, payload: bytes, limit: int) -> tuple[bool, bytes]:
        """Return whether the function succeeded and what it answered, if no more calls of it run than may."""
        with self._lock:
            if self._running[function.function_name] >= limit:
                raise TooManyCalls
            self._running[function.function_name] += 1
        try:
            return self._call(function, payload)
        finally:
            with self._lock:
                self._running[function.function_name] -= 1

    def _call(self, function, payload: bytes) -> tuple[bool, bytes]:
        key = json.dumps([function.function_arn, function.environment_vars], sort_keys=True)
        with self._lock:
            sandbox = self._free[key].pop() if self._free[key] else None
        if sandbox is None:
            sandbox = Sandbox(function)
            with self._lock:
                self._all.append(sandbox)
        try:
            succeeded, answer = sandbox.runtime.invoke(payload, timeout=float(function.timeout))
        except TimeoutError as error:
            sandbox.close()
            return False, json.dumps({"errorType": "Sandbox.Timedout", "errorMessage": str(error)}).encode()
        if sandbox.runtime.init_error or sandbox.process.poll() is not None:
            sandbox.close()
            return False, answer or b'{"errorType": "Runtime.ExitError"}'
        with self._lock:
            self._free[key].append(sandbox)
        if len(answer) > MAX_PAYLOAD_BYTES:
            return False, b'{"errorType": "Function.ResponseSizeTooLarge"}'
        return succeeded, answer

    def close(self) -> None:
        """End all processes."""
        for sandbox in self._all:
            with contextlib.suppress(OSError):
                sandbox.close()


sandboxes = Sandboxes()


def run_functions() -> None:
    """Invoke the version asked for, for real, so many at once; one without an image configuration has none."""
    from moto.awslambda.exceptions import LambdaClientError
    from moto.awslambda.models import LambdaFunction, lambda_backends
    from moto.awslambda.responses import LambdaResponse

    describe = LambdaFunction.get_configuration

    def get_configuration(self, *arguments, **named):
        configuration = describe(self, *arguments, **named)
        if not any(configuration.get("ImageConfigResponse", {}).get("ImageConfig", {}).values()):
            configuration.pop("ImageConfigResponse", None)
        return configuration

    def invoke(self, event=None):
        known = lambda_backends[ACCOUNT][self.region].get_function(self.function_name)  # a version knows no limit
        limit = int(known.reserved_concurrency or MAX_CONCURRENT)
        try:
            succeeded, answer = sandboxes.invoke(self, json.dumps(event if event is not None else {}).encode(), limit)
        except TooManyCalls:
            refusal = LambdaClientError("TooManyRequestsException", "Rate Exceeded.")
            refusal.code = 429
            raise refusal from None
        return answer.decode(), not succeeded, ""

    respond = LambdaResponse.invoke

    def invoke_version(self):  # moto looks for the parameter by another name than AWS's
        if "Qualifier" in self.querystring:
            self.querystring["qualifier"] = self.querystring["Qualifier"]
        return respond(self)

    LambdaResponse.invoke = invoke_version
    LambdaFunction.get_configuration = get_configuration
    LambdaFunction._invoke_lambda = invoke


# ---------------------------------------------------------------- Step Functions


def complete_step_functions() -> None:
    """Calls of the provider that moto lacks; tasks run under the state machine's role; machines run more than once."""
    import boto3
    from botocore.config import Config
    from moto.core.responses import ActionResult
    from moto.stepfunctions.models import StateMachine
    from moto.stepfunctions.parser.asl.utils import boto_client as clients
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend
    from moto.stepfunctions.responses import StepFunctionResponse

    def validate_state_machine_definition(self):
        outcome = {"result": "OK", "diagnostics": [], "truncated": False}
        try:
            StepFunctionsParserBackend._validate_definition(self._get_param("definition"))
        except Exception as error:  # noqa: BLE001 whatever is wrong with it is the answer
            problem = {"severity": "ERROR", "code": "SCHEMA_VALIDATION_FAILED", "message": str(error)}
            outcome |= {"result": "FAIL", "diagnostics": [problem]}
        return ActionResult(outcome)

    StepFunctionResponse.validate_state_machine_definition = validate_state_machine_definition
    StepFunctionResponse.list_state_machine_versions = lambda self: ActionResult({"stateMachineVersions": []})

    # StartExecution copies the machine with all its executions and their locks, which fails at the second.
    def copy_alone(self, memo):
        alone = copy.copy(self)
        alone.__dict__ = {**self.__dict__, "executions": []}
        return alone

    StateMachine.__deepcopy__ = copy_alone

    def client(region, service, state_credentials=None):
        keys = role_credentials(state_credentials.role_arn, "states")
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{options.port}",
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=keys["AWS_SESSION_TOKEN"],
            config=Config(parameter_validation=False, retries={"total_max_attempts": 1}, read_timeout=900),
        )

    original = clients.boto_client_for
    for module in list(sys.modules.values()):  # it is imported by name
        if getattr(module, "boto_client_for", None) is original:
            module.boto_client_for = client


# ---------------------------------------------------------------- API Gateway


def complete_api_gateway() -> None:
    """CreateRestApi keeps the binary media types; a change of them names the type in the path alone."""
    from moto.apigateway.models import APIGatewayBackend, RestAPI
    from moto.apigateway.responses import APIGatewayResponse

    creating = threading.local()
    create = APIGatewayResponse.create_rest_api
    make = APIGatewayBackend.create_rest_api
    patch = RestAPI.apply_patch_operations

    def create_rest_api(self):
        creating.types = self._get_param("binaryMediaTypes") or []
        return create(self)

    def make_rest_api(self, *arguments, **named):
        api = make(self, *arguments, **named)
        api.binaryMediaTypes = list(creating.types)
        return api

    def apply_patch_operations(self, operations):
        for operation in operations:
            head, _, tail = operation["path"].lstrip("/").partition("/")
            if head == "binaryMediaTypes" and tail and operation.get("value") is None:
                operation["value"] = tail.replace("~1", "/").replace("~0", "~")
                if operation["op"] == "add" and operation["value"] in self.binaryMediaTypes:
                    self.binaryMediaTypes.remove(operation["value"])
        return patch(self, operations)

    APIGatewayResponse.create_rest_api = create_rest_api
    APIGatewayBackend.create_rest_api = make_rest_api
    RestAPI.apply_patch_operations = apply_patch_operations


# ---------------------------------------------------------------- S3


def complete_s3() -> None:
    """A delete marker can be deleted, as `destroy` does in a bucket with versions.

    Who deletes many objects at once needs the right to delete each; moto asks for the right to delete the bucket.
    """
    from moto.s3.exceptions import S3AccessDeniedError
    from moto.s3.models import FakeDeleteMarker
    from moto.s3.responses import S3Response

    FakeDeleteMarker.dispose = lambda self: None
    delete = S3Response._bucket_response_delete_keys

    def delete_keys(self, bucket_name, authenticated=True):
        keys = [unescape(key) for key in re.findall(r"<Key>(.*?)</Key>", self.body.decode())]
        try:
            for key in () if authenticated else keys:
                self._authenticate_and_authorize_s3_action(bucket_name=bucket_name, key_name=key)
        except S3AccessDeniedError:  # of a bucket, too
            return delete(self, bucket_name, authenticated=False)
        return delete(self, bucket_name)

    S3Response._bucket_response_delete_keys = delete_keys


# ---------------------------------------------------------------- permissions


def complete_permissions() -> None:
    """Policies are compared with the resource that a call names, and over TLS, which this server stands for.

    Who calls is told by the access key, in the header or in a presigned address; moto's check of signatures refuses
    some of the provider's.
    """
    from moto.awslambda.responses import LambdaResponse
    from moto.iam.access_control import IAMPolicy, IAMPolicyStatement, IAMRequestBase, PermissionResult
    from moto.s3.models import FakeBucket
    from moto.sns.responses import SNSResponse
    from moto.stepfunctions.responses import StepFunctionResponse

    def lambda_resource(self):
        parts = self.path.split("/functions/")
        return parts[1].rsplit("/invocations", 1)[0].replace("%3A", ":") if len(parts) > 1 else "*"

    LambdaResponse._determine_resource = lambda_resource
    StepFunctionResponse._determine_resource = lambda self: (
        self._get_param("stateMachineArn") or self._get_param("executionArn") or "*"
    )
    SNSResponse._determine_resource = lambda self: self._get_param("TopicArn") or "*"

    IAMRequestBase.check_signature = lambda self: None
    make = IAMRequestBase.__init__

    def make_request(self, *, path, headers, **named):
        headers, query = dict(headers), dict(parse_qsl(urlsplit(path).query))
        if "Authorization" not in headers:
            headers["Authorization"] = f"Credential={query.get('X-Amz-Credential', 'nobody/0/us-east-1/s3')},"
            headers |= {name: value for name, value in query.items() if name == "X-Amz-Security-Token"}
        make(self, path=path, headers=headers, **named)

    IAMRequestBase.__init__ = make_request
    matches = IAMPolicyStatement._check_element_matches

    def check_element_matches(self, element, value):
        # the call Invoke is allowed by the action InvokeFunction
        return matches(self, element, "lambda:InvokeFunction" if value == "lambda:Invoke" else value)

    IAMPolicyStatement._check_element_matches = check_element_matches

    def only_denies_plain_http(statement):
        condition = statement.get("Condition", {}).get("Bool", {})
        return statement["Effect"] == "Deny" and str(condition.get("aws:SecureTransport")).lower() == "false"

    def get_permission(self, action, resource):  # moto's bucket policies know no conditions
        statements = json.loads(self.policy)["Statement"] if self.policy else []
        kept = [statement for statement in statements if not only_denies_plain_http(statement)]
        policy = IAMPolicy(json.dumps({"Version": "2012-10-17", "Statement": kept}))
        return policy.is_action_permitted(action, resource) if kept else PermissionResult.NEUTRAL

    FakeBucket.get_permission = get_permission


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--handler", required=True)
    parser.add_argument("--logs", required=True)
    parser.parse_args(namespace=options)
    os.environ["MOTO_PORT"] = str(options.port)

    from moto.core.config import default_user_config

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["iam"] = {"load_aws_managed_policies": True}
    complete_step_functions()
    complete_distributed_map()
    complete_api_gateway()
    complete_s3()
    complete_permissions()
    run_functions()

    from moto.server import main as serve

    try:
        serve(["-H", "127.0.0.1", "-p", str(options.port)])
    finally:
        sandboxes.close()


if __name__ == "__main__":
    main()
