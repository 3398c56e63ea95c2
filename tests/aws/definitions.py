"""What AWS asks of the definition of a state machine, in JSONPath, and moto's parser does not check.

From *Amazon States Language* and *Using Map state in Distributed mode* of AWS's documentation.
"""

import json
import re
from collections.abc import Iterator

#: Fields whose states may be where a state goes on.
LEAVES_BY = {"Task": "Next", "Map": "Next", "Pass": "Next", "Choice": "Default"}
MAX_DEFINITION_BYTES = 1 << 20
#: Readers and writers of a Distributed Map, by what they must be told.
READERS = {"s3:listObjectsV2": {"Bucket"}, "s3:getObject": {"Bucket", "Key"}}
WRITER = "s3:putObject"


def find_problems(definition: str) -> list[str]:
    """Everything that AWS would refuse, or that would never run."""
    problems = list(_check_machine(json.loads(definition), "the definition"))
    if len(definition.encode()) > MAX_DEFINITION_BYTES:
        problems.append("the definition is larger than AWS takes")
    return problems


def _check_machine(machine: dict, where: str) -> Iterator[str]:
    states, start = machine["States"], machine["StartAt"]
    if start not in states:
        yield f"{where} starts at {start}, which is no state of it"
        return
    reached, to_visit = set(), [start]
    while to_visit:
        name = to_visit.pop()
        if name in reached:
            continue
        reached.add(name)
        for target in _list_targets(states[name]):
            if target in states:
                to_visit.append(target)
            else:
                yield f"{name} goes on to {target}, which is no state of {where}"
    yield from (f"{name} of {where} is never reached" for name in states.keys() - reached)
    if not any(state.get("End") or state["Type"] in ("Succeed", "Fail") for state in states.values()):
        yield f"{where} never ends"
    for name, state in states.items():
        yield from _check_state(name, state)


def _list_targets(state: dict) -> list[str]:
    choices = [choice["Next"] for choice in state.get("Choices", ())]
    caught = [catch["Next"] for catch in state.get("Catch", ())]
    return [*choices, *caught, *(state[field] for field in ("Next", "Default") if field in state)]


def _check_state(name: str, state: dict) -> Iterator[str]:
    kind = state["Type"]
    if len(name) > 80:
        yield f"{name}: a name has 80 characters at most"
    if kind in LEAVES_BY and (LEAVES_BY[kind] in state) == bool(state.get("End")):
        yield f"{name} must have one of {LEAVES_BY[kind]} and End"
    if {"Retry", "Catch"} & state.keys() and kind not in ("Task", "Map", "Parallel"):
        yield f"{name}: a {kind} neither tries again nor catches"
    for retrier in [*state.get("Retry", ()), *state.get("Catch", ())]:
        if "States.ALL" in retrier["ErrorEquals"] and (
            len(retrier["ErrorEquals"]) > 1
            or retrier not in (state.get("Retry", [])[-1:] + state.get("Catch", [])[-1:])
        ):
            yield f"{name}: States.ALL stands alone, and last"
    for retrier in state.get("Retry", ()):
        if retrier.get("BackoffRate", 2) < 1 or retrier.get("MaxDelaySeconds", 301) <= retrier.get(
            "IntervalSeconds", 1
        ):
            yield f"{name}: the delays of {retrier['ErrorEquals']} do not grow"
    if kind == "Map":
        yield from _check_map(name, state)


def _check_map(name: str, state: dict) -> Iterator[str]:
    processor = state["ItemProcessor"]
    config = processor["ProcessorConfig"]
    yield from _check_machine(processor, f"the items of {name}")
    if config["Mode"] == "INLINE":
        for field in {"ItemReader", "ResultWriter", "Label", "ToleratedFailurePercentage"} & state.keys():
            yield f"{name}: {field} is for a Distributed Map"
        return
    if config["Mode"] != "DISTRIBUTED" or config.get("ExecutionType") not in ("STANDARD", "EXPRESS"):
        yield f"{name}: a Distributed Map has Mode DISTRIBUTED, and ExecutionType STANDARD or EXPRESS"
    if not re.fullmatch(r"[^\s?*<>{}\[\]:;,\\|^~$#%&`\"]{1,40}", state.get("Label", "")):
        yield f"{name}: a label has 40 characters at most, and none that means something elsewhere"
    if not 0 <= state.get("MaxConcurrency", 0) <= 10_000:
        yield f"{name}: 10,000 items run at once at most"
    if not 0 <= state.get("ToleratedFailurePercentage", 0) <= 100:
        yield f"{name}: a percentage is from 0 to 100"
    reader = state.get("ItemReader")
    if reader:
        _, _, action = reader["Resource"].partition(":states:::")
        if READERS.get(action) != _list_parameters(reader) - {"Prefix", "VersionId"}:
            yield f"{name}: the reader {action} is told {_list_parameters(reader)}"
        if "ItemsPath" in state:
            yield f"{name} has a reader and a path of items"
    writer = state.get("ResultWriter")
    if writer and (
        writer["Resource"].partition(":states:::")[2] != WRITER or _list_parameters(writer) != {"Bucket", "Prefix"}
    ):
        yield f"{name}: results are written by {WRITER}, with Bucket and Prefix"


def _list_parameters(part: dict) -> set[str]:
    return {parameter.removesuffix(".$") for parameter in part["Parameters"]}
