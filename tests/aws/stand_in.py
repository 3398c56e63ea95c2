"""A function that answers as `analyse_batch` does; the batch says how many items it has, or that it fails."""

import json

import boto3


def handler(event, context):
    """Do two of a batch's items in each call, and note that it was made."""
    s3, place = boto3.client("s3"), {"Bucket": event["bucket"], "Key": event["key"]}
    batch = json.loads(s3.get_object(**place)["Body"].read())
    if batch["fails"]:
        raise ValueError(f"no item of {event['key']} could be analysed")
    number = event["key"].rsplit("/", 1)[1].removesuffix(".json")
    result = {"Bucket": event["bucket"], "Key": f"{event['results']}{number}.zip"}
    try:
        calls = json.loads(s3.get_object(**result)["Body"].read())
    except s3.exceptions.NoSuchKey:
        calls = []
    done = min(batch["items"], 2 * (len(calls) + 1))
    answer = {"batch": event["key"], "done": done, "left": batch["items"] - done, "failed": 0}
    s3.put_object(**result, Body=json.dumps([*calls, answer]).encode())
    return answer
