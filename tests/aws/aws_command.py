"""The calls of the AWS command line that ``terraform/rollout.sh`` makes, by boto3: ``aws SERVICE OPERATION --…``.

The command itself is no package of this project; its grammar is regular: an option for each parameter, JSON where it is
no plain value, `--query` in JMESPath, and for `invoke` a file that takes the answer. The calls are made by the process
of the tests: a rollout makes a dozen, and each would import boto3 otherwise.
"""

import json
import socketserver
import sys
import threading
from pathlib import Path

import jmespath
from botocore import xform_name

#: The command: it hands over what it was called with, says what the answer says, and ends with its code.
COMMAND = """#!{python} -IS
import json, socket, sys
with socket.create_connection({address}) as server:
    server.sendall(json.dumps(sys.argv[1:]).encode())
    server.shutdown(socket.SHUT_WR)
    code, said = json.load(server.makefile())
print(said, file=sys.stderr if code else sys.stdout)
sys.exit(code)
"""


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        try:
            answer = 0, make_call(self.server.client, *json.loads(self.rfile.read()))
        except Exception as error:  # noqa: BLE001 whatever it is, the command says it
            answer = 254, f"{type(error).__name__}: {error}"
        self.wfile.write(json.dumps(answer).encode())


class AwsCommand(socketserver.ThreadingTCPServer):
    """Makes a program `aws` in a folder, and the calls that it is told.

    Parameters
    ----------
    folder : where the program is put
    client : gives a client of boto3 by the name of a service
    """

    daemon_threads = True

    def __init__(self, folder: Path, client) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.client = client
        program = folder / "aws"
        program.write_text(COMMAND.format(python=sys.executable, address=self.server_address), encoding="utf-8")
        program.chmod(0o755)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self.shutdown()
        self.server_close()


def make_call(client_of, service: str, operation: str, *words: str) -> str:
    """Make one call; return what the command prints."""
    client = client_of(service)
    method = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    parameters = {xform_name(name, "-"): name for name in shape.members}
    arguments, query, file, rest = {}, "@", None, list(words)
    while rest:
        if not rest[0].startswith("--"):
            file = rest.pop(0)
            continue
        option, values = rest.pop(0)[2:], []
        while rest and not rest[0].startswith("--") and (not values or option.endswith("s")):
            values.append(rest.pop(0))
        if option == "query":
            query = values[0]
        elif option in parameters:
            member = shape.members[parameters[option]]
            if member.type_name == "list":
                arguments[parameters[option]] = values
            else:
                arguments[parameters[option]] = json.loads(values[0]) if member.type_name == "structure" else values[0]
    answer = getattr(client, method)(**arguments)
    if file:
        with open(file, "wb") as taken:
            taken.write(answer["Payload"].read())
    found = jmespath.search(query, answer)
    return "\t".join(found) if isinstance(found, list) else str(found)
