"""A function that answers as `analyse_batch` does; the batch says how many items it has, that it fails, or by which
error it is refused.
"""

import json

import boto3

from anemone_lib import errors


def handler(event, context):
    """Do two of a batch's items in each call, and note that it was made."""
    s3, place = boto3.client("s3"), {"Bucket": event["bucket"], "Key": event["key"]}
    batch = json.loads(s3.get_object(**place)["Body"].read())
    if batch.get("fails"):
        raise ValueError(f"no item of {event['key']} could be analysed")
    number = event["key"].rsplit("/", 1)[1].removesuffix(".json")
    result = {"Bucket": event["bucket"], "Key": f"{event['results']}{number}.zip"}
    try:
        calls = json.loads(s3.get_object(**result)["Body"].read())
    except s3.exceptions.NoSuchKey:
        calls = []
    if refusal := batch.get("refusal"):
        s3.put_object(**result, Body=json.dumps([*calls, refusal]).encode())
        raise getattr(errors, refusal)(f"{event['key']} is for another function")
    done = min(batch["items"], 2 * (len(calls) + 1))
    answer = {"batch": event["key"], "done": done, "left": batch["items"] - done, "failed": 0}
    s3.put_object(**result, Body=json.dumps([*calls, answer]).encode())
    return answer
