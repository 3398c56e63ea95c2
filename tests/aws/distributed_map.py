"""What moto's Distributed Map lacks: all pages of a listing, tolerated failures, and files of what became of the items.

What differs from AWS still: items run as part of their parent's execution and have no executions of their own, and too
many failures are found when all items have run, where AWS stops the others.
"""

import copy
import json
import re
import uuid
from contextlib import suppress
from datetime import datetime


def complete_distributed_map() -> None:
    """Complete moto's Distributed Map, as far as that can be done from here."""
    _parse_whole_percentages()
    _read_every_page()
    _remember_how_items_ended()
    _write_what_became_of_items()


def _parse_whole_percentages() -> None:
    """The grammar knows a percentage with a fraction alone, 50.0 but not 50."""
    from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

    parse = AmazonStateLanguageParser.parse

    def parse_definition(definition):
        return parse(re.sub(r'("ToleratedFailurePercentage"\s*:\s*\d+)(?![.\d])', r"\1.0", definition))

    AmazonStateLanguageParser.parse = staticmethod(parse_definition)


def _read_every_page() -> None:
    """S3 lists a thousand objects at a time, and none at all where there are none."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.eval import resource_eval_s3

    reader = resource_eval_s3.ResourceEvalS3

    def list_objects(env, resource_runtime_part, state_credentials):
        client = reader._get_s3_client(resource_runtime_part, state_credentials)
        pages = client.get_paginator("list_objects_v2").paginate(**env.stack.pop())
        env.stack.append(
            [
                {
                    "Etag": item["ETag"],
                    "Key": item["Key"],
                    "LastModified": int(item["LastModified"].timestamp()),
                    "Size": item["Size"],
                    "StorageClass": item["StorageClass"],
                }
                for page in pages
                for item in page.get("Contents", ())
            ]
        )

    reader._handle_list_objects_v2 = staticmethod(list_objects)


def _remember_how_items_ended() -> None:
    """Keep the input of each item, and its output or its error."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import (
        distributed_item_processor_worker as workers,
    )
    from moto.stepfunctions.parser.asl.eval.program_state import ProgramError

    worker = workers.DistributedItemProcessorWorker
    evaluate, select = worker._eval_job, worker._eval_input

    def select_input(self, env_frame):
        select(self, env_frame)
        self.selected = copy.deepcopy(env_frame.states.get_input())

    def evaluate_job(self, env, job):
        started = datetime.now()
        evaluate(self, env, job)
        state, error = env.program_state(), {}
        failed = isinstance(state, ProgramError) or job.job_output is None
        if failed:
            with suppress(AttributeError):
                error = {name.capitalize(): state.error[name] for name in ("error", "cause") if name in state.error}
        record = self._map_run_record
        name = str(uuid.uuid4())
        if not hasattr(record, "ended"):
            record.ended = []
        record.ended.append(
            {
                "ExecutionArn": f"{record.map_state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}",
                "Input": json.dumps(self.selected),
                "InputDetails": {"Included": True},
                "Name": name,
                "StartDate": started.isoformat(),
                "StateMachineArn": record.map_state_machine_arn,
                "Status": "FAILED" if failed else "SUCCEEDED",
                "StopDate": datetime.now().isoformat(),
                **(error if failed else {"Output": json.dumps(job.job_output), "OutputDetails": {"Included": True}}),
            }
        )

    worker._eval_job, worker._eval_input = evaluate_job, select_input


def _fail_beyond_tolerance(env, record) -> None:
    """More failures than may be fail the state, with the error of AWS."""
    from moto.stepfunctions.parser.api import ExecutionFailedEventDetails, HistoryEventType
    from moto.stepfunctions.parser.asl.component.common.error_name import failure_event, states_error_name
    from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
    from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

    ended = getattr(record, "ended", [])
    failed = sum(item["Status"] == "FAILED" for item in ended)
    if failed * 100 <= record.tolerated_failure_percentage * len(ended):
        return
    kind = StatesErrorNameType.StatesExceedToleratedFailureThreshold
    details = ExecutionFailedEventDetails(
        error=kind.to_name(), cause="The specified tolerated failure threshold was exceeded"
    )
    raise failure_event.FailureEventException(
        failure_event.FailureEvent(
            env=env,
            error_name=states_error_name.StatesErrorName(typ=kind),
            event_type=HistoryEventType.ExecutionFailed,
            event_details=EventDetails(executionFailedEventDetails=details),
        )
    )


def _write_what_became_of_items() -> None:
    """One file of those that succeeded, one of those that failed, and the manifest that names them."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.resource_eval import (
        resource_eval_s3,
    )
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.result_writer_decl import (
        ResultWriter,
    )

    writer = resource_eval_s3.ResourceEvalS3

    def evaluate_parameters(self, env):  # of the input of the state, where moto takes the results
        env.stack.append(copy.deepcopy(env.states.get_input()))
        self.parargs.eval(env=env)
        self.resource_eval.eval_resource(env=env)
        _fail_beyond_tolerance(env, env.map_run_record_pool_manager.get_all()[-1])

    def put_results(env, resource_runtime_part, state_credentials):
        place = env.stack.pop()
        del env.stack[-2:]  # the input, and the results as moto has them
        client = writer._get_s3_client(resource_runtime_part, state_credentials)
        record = env.map_run_record_pool_manager.get_all()[-1]
        prefix = f"{place['Prefix'].rstrip('/')}/{record.map_run_arn.split(':')[-1]}"
        files = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
        for status, listed in files.items():
            items = [item for item in getattr(record, "ended", []) if item["Status"] == status]
            if items:
                key, body = f"{prefix}/{status}_0.json", json.dumps(items).encode()
                client.put_object(Bucket=place["Bucket"], Key=key, Body=body)
                listed.append({"Key": key, "Size": len(body)})
        manifest = {"DestinationBucket": place["Bucket"], "MapRunArn": record.map_run_arn, "ResultFiles": files}
        key = f"{prefix}/manifest.json"
        client.put_object(Bucket=place["Bucket"], Key=key, Body=json.dumps(manifest).encode())
        details = {"Bucket": place["Bucket"], "Key": key}
        env.stack.append({"MapRunArn": record.map_run_arn, "ResultWriterDetails": details})

    writer._handle_put_object = staticmethod(put_results)
    ResultWriter._eval_body = evaluate_parameters
