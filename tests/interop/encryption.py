"""What encrypts everything that was ever written to a bucket with versions, as boto3 reads it.

    encryption.py ENDPOINT BUCKET

Prints a JSON array of objects with `key`, `parts` (how many it was uploaded in; none for one that was put at once),
`method` and `kms_key`.
"""

import json
import sys

import boto3


def main() -> None:
    """Ask for each version."""
    endpoint, bucket = sys.argv[1:]
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="stores",
        aws_secret_access_key="stores",
    )
    written = []
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in page.get("Versions", []):
            key = version["Key"]
            head = client.head_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])
            _, _, parts = head["ETag"].strip('"').partition("-")
            written.append(
                {
                    "key": key,
                    "parts": int(parts) if parts else None,
                    "method": head.get("ServerSideEncryption"),
                    "kms_key": head.get("SSEKMSKeyId"),
                }
            )
    json.dump(written, sys.stdout)


main()
