"""HTTP for a REST API that was deployed to the local AWS: what API Gateway does between a client and a function.

All it knows it reads from the deployed API: resources, methods, integrations, binary media types, gateway responses,
usage plans and throttles, and the function's own policy. Not in it: access logs, quotas, caches, mapping templates.
"""

import base64
import json
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

MAX_BODY_BYTES = 10 << 20
MAX_EVENT_BYTES = 6_291_556  # what the function takes
INTEGRATION_TIMEOUT_S = 29
#: The answers that API Gateway gives itself: type → status, message.
RESPONSES = {
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "INVALID_API_KEY": (403, "Forbidden"),
    "THROTTLED": (429, "Too Many Requests"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
    "INTEGRATION_FAILURE": (504, "Internal server error"),
    "API_CONFIGURATION_ERROR": (500, "Internal server error"),
    "DEFAULT_5XX": (502, "Internal server error"),
}


class TokenBucket:
    """Lets through `burst` requests at once and `rate` a second."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._level = rate, burst, burst
        self._at, self._lock = time.monotonic(), threading.Lock()

    def take(self) -> bool:
        """Tell whether a request may pass."""
        with self._lock:
            now = time.monotonic()
            self._level = min(self._burst, self._level + (now - self._at) * self._rate)
            self._at = now
            if self._level < 1:
                return False
            self._level -= 1
            return True


class DeployedApi:
    """One stage of a REST API, as it was deployed.

    Parameters
    ----------
    session : boto3.Session
    api_id, stage : str
    """

    def __init__(self, session, api_id: str, stage: str) -> None:
        gateway = session.client("apigateway")
        self.id, self.stage = api_id, gateway.get_stage(restApiId=api_id, stageName=stage)
        api = gateway.get_rest_api(restApiId=api_id)
        self._binary = api.get("binaryMediaTypes", [])
        self._routes = []
        for resource in gateway.get_resources(restApiId=api_id, limit=500)["items"]:
            pattern = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(resource["path"])))
            for verb in resource.get("resourceMethods", {}):
                method = gateway.get_method(restApiId=api_id, resourceId=resource["id"], httpMethod=verb)
                self._routes.append((verb, pattern, resource, method))
        self._responses = {r["responseType"]: r for r in gateway.get_gateway_responses(restApiId=api_id)["items"]}
        self._keys: dict[str, tuple[str, TokenBucket | None]] = {}
        for plan in gateway.get_usage_plans()["items"]:
            if {"apiId": api_id, "stage": stage}.items() <= dict(*plan["apiStages"] or [{}]).items():
                throttle = plan.get("throttle")
                for key in gateway.get_usage_plan_keys(usagePlanId=plan["id"])["items"]:
                    value = gateway.get_api_key(apiKey=key["id"], includeValue=True)["value"]
                    limit = TokenBucket(throttle["rateLimit"], throttle["burstLimit"]) if throttle else None
                    self._keys[value] = (key["id"], limit)
        throttle = self.stage.get("methodSettings", {}).get("*/*", {})
        self._limit = None
        if throttle.get("throttlingRateLimit", -1) >= 0:
            self._limit = TokenBucket(throttle["throttlingRateLimit"], throttle["throttlingBurstLimit"])
        self._functions = session.client(
            "lambda", config=Config(read_timeout=INTEGRATION_TIMEOUT_S, retries={"total_max_attempts": 1})
        )
        self._allowed: dict[str, list[str]] = {}

    def find(self, verb: str, path: str):
        """The method of a route, with the parameters in its path; none if there is no such route."""
        for known, pattern, resource, method in self._routes:
            if known == verb and (match := pattern.fullmatch(path)):
                return resource, method, {name: unquote(value) for name, value in match.groupdict().items()}
        return None

    def admit(self, method, given_key: str) -> str | None:
        """Tell which gateway response stops a request; none lets it pass."""
        if method.get("apiKeyRequired"):
            if given_key not in self._keys:
                return "INVALID_API_KEY"
            limit = self._keys[given_key][1]
            if limit and not limit.take():
                return "THROTTLED"
        return "THROTTLED" if self._limit and not self._limit.take() else None

    def key_id(self, given_key: str) -> str | None:
        """The id of an API key."""
        return self._keys.get(given_key, (None,))[0]

    def is_binary(self, media_type: str | None) -> bool:
        """Whether a body of this type travels in base64; of an Accept header the first type counts."""
        media_type = (media_type or "").split(";")[0].split(",")[0].strip().lower()
        return media_type in self._binary or "*/*" in self._binary

    def may_invoke(self, function: str, source: str) -> bool:
        """Whether the function's policy lets this method of this API call it."""
        if function not in self._allowed:
            arn, _, qualifier = function.rpartition(":")
            try:
                policy = json.loads(self._functions.get_policy(FunctionName=arn, Qualifier=qualifier)["Policy"])
            except self._functions.exceptions.ResourceNotFoundException:
                policy = {"Statement": []}
            self._allowed[function] = [
                statement["Condition"]["ArnLike"]["AWS:SourceArn"].replace("*", ".*")
                for statement in policy["Statement"]
                if statement["Principal"] == {"Service": "apigateway.amazonaws.com"}
                and statement["Resource"] == function
            ]
        return any(re.fullmatch(pattern, source) for pattern in self._allowed[function])

    def invoke(self, function: str, event: dict) -> tuple[str | None, dict]:
        """The function's answer, or the gateway response in its place."""
        payload = json.dumps(event).encode()
        if len(payload) > MAX_EVENT_BYTES:
            return "REQUEST_TOO_LARGE", {}
        try:
            answer = self._functions.invoke(FunctionName=function, Payload=payload)
        except ReadTimeoutError:
            return "INTEGRATION_TIMEOUT", {}
        except ClientError:
            return "INTEGRATION_FAILURE", {}
        content = json.loads(answer["Payload"].read())
        known = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
        if answer.get("FunctionError") or not isinstance(content, dict) or not content.keys() <= known:
            return "DEFAULT_5XX", {}
        return None, content

    def response(self, kind: str, request_id: str) -> tuple[int, bytes, list[tuple[str, str]]]:
        """Status, body and headers of an answer that API Gateway gives itself."""
        status, message = RESPONSES[kind]
        made = self._responses.get(kind) or self._responses.get(f"DEFAULT_{status // 100}XX") or {}
        context = {
            "error.responseType": kind,
            "error.message": message,
            "error.messageString": json.dumps(message),
            "requestId": request_id,
        }
        template = (made.get("responseTemplates") or {}).get(
            "application/json", '{"message":$context.error.messageString}'
        )
        body = re.sub(r"\$context\.([A-Za-z.]+[A-Za-z])", lambda match: context[match[1]], template)
        headers = [
            (name.rpartition(".header.")[2], value.strip("'"))
            for name, value in (made.get("responseParameters") or {}).items()
        ]
        return int(made.get("statusCode") or status), body.encode(), [("Content-Type", "application/json"), *headers]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    api: DeployedApi

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes, headers: list[tuple[str, str]]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("x-amzn-RequestId", self._request_id)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _serve(self) -> None:
        self._request_id, api, url = str(uuid.uuid4()), self.api, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        base = f"/{api.stage['stageName']}"
        path = url.path.removeprefix(base) or "/"
        found = api.find(self.command, path) if url.path.startswith(base) else None
        if found is None:
            return self._refuse("MISSING_AUTHENTICATION_TOKEN")
        resource, method, parameters = found
        given_key = self.headers.get("x-api-key", "")
        if refusal := api.admit(method, given_key):
            return self._refuse(refusal)
        if len(body) > MAX_BODY_BYTES:
            return self._refuse("REQUEST_TOO_LARGE")
        function = re.search(r"/functions/(.*)/invocations$", method["methodIntegration"]["uri"])[1]
        region, account = function.split(":")[3:5]
        stage = api.stage["stageName"]
        source = f"arn:aws:execute-api:{region}:{account}:{api.id}/{stage}/{self.command}{resource['path']}"
        if not api.may_invoke(function, source):
            return self._refuse("API_CONFIGURATION_ERROR")
        query = parse_qsl(url.query, keep_blank_values=True)
        binary = api.is_binary(self.headers.get("Content-Type"))
        event = {
            "resource": resource["path"],
            "path": path,
            "httpMethod": self.command,
            "headers": dict(self.headers.items()),
            "multiValueHeaders": {name: self.headers.get_all(name) for name in self.headers},
            "queryStringParameters": dict(query) or None,
            "multiValueQueryStringParameters": {n: [v for m, v in query if m == n] for n, _ in query} or None,
            "pathParameters": parameters or None,
            "stageVariables": api.stage.get("variables"),
            "isBase64Encoded": binary and bool(body),
            "body": (base64.b64encode(body).decode() if binary else body.decode("utf-8", "replace")) or None,
            "requestContext": {
                "accountId": account,
                "apiId": api.id,
                "httpMethod": self.command,
                "identity": {
                    "apiKey": given_key or None,
                    "apiKeyId": api.key_id(given_key),
                    "sourceIp": self.client_address[0],
                    "userAgent": self.headers.get("User-Agent"),
                },
                "path": f"{base}{path}",
                "protocol": "HTTP/1.1",
                "requestId": self._request_id,
                "requestTimeEpoch": int(time.time() * 1000),
                "resourceId": resource["id"],
                "resourcePath": resource["path"],
                "stage": stage,
            },
        }
        refusal, answer = api.invoke(function, event)
        if refusal:
            return self._refuse(refusal)
        content = (answer.get("body") or "").encode()
        if answer.get("isBase64Encoded") and api.is_binary(self.headers.get("Accept")):
            content = base64.b64decode(content)
        headers = {name.lower(): [str(value)] for name, value in (answer.get("headers") or {}).items()}
        headers |= {name.lower(): values for name, values in (answer.get("multiValueHeaders") or {}).items()}
        headers.setdefault("content-type", ["application/json"])
        headers.pop("content-length", None)
        pairs = [(name, value) for name, values in headers.items() for value in values]
        return self._answer(int(answer["statusCode"]), content, pairs)

    def _refuse(self, kind: str) -> None:
        status, body, headers = self.api.response(kind, self._request_id)
        self._answer(status, body, [*headers, ("x-amzn-ErrorType", kind)])

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_HEAD = do_PATCH = _serve


class Front(ThreadingHTTPServer):
    """Serves one deployed API on a port of its own until it is closed."""

    daemon_threads = True

    def __init__(self, session, api_id: str, stage: str) -> None:
        handler = type("Handler", (_Handler,), {"api": DeployedApi(session, api_id, stage)})
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/{stage}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self.shutdown()
        self.server_close()
