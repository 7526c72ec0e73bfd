"""Gives the policies of deploy/ to an IAM and an S3 of the project moto, which refuse what is malformed.

    policies.py DEPLOY

Prints, for each file, what was taken as what.
"""

import json
import sys
from pathlib import Path

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

CREDENTIALS = {"aws_access_key_id": "policies", "aws_secret_access_key": "policies", "region_name": "us-east-1"}


def refused(call, **arguments) -> bool:
    """Say whether a call is refused for what it is given."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"].startswith("Malformed")
    return False


@mock_aws
def main() -> None:
    """Lint."""
    deploy = Path(sys.argv[1])
    iam = boto3.client("iam", **CREDENTIALS)
    s3 = boto3.client("s3", **CREDENTIALS)
    taken = {}
    for path in sorted(deploy.glob("iam/*.json")):
        text = path.read_text(encoding="utf-8")
        if path.stem.startswith("trust-"):
            iam.create_role(RoleName=path.stem, AssumeRolePolicyDocument=text)
            taken[path.name] = "trust"
        else:
            iam.create_policy(PolicyName=path.stem, PolicyDocument=text)
            taken[path.name] = "policy"
    # A lint that took anything would say nothing about the files above.
    wrong = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3GetObject"}]})
    assert refused(iam.create_policy, PolicyName="wrong", PolicyDocument=wrong)

    s3.create_bucket(Bucket="bucket")
    for path in sorted(deploy.glob("storage/*.json")):
        rules = json.loads(path.read_text(encoding="utf-8"))
        s3.put_bucket_lifecycle_configuration(Bucket="bucket", LifecycleConfiguration=rules)
        kept = s3.get_bucket_lifecycle_configuration(Bucket="bucket")["Rules"]
        assert [rule["ID"] for rule in kept] == [rule["ID"] for rule in rules["Rules"]], kept
        taken[path.name] = "lifecycle"
    wrong = {"Rules": [{"ID": "wrong", "Status": "Enabled"}]}
    assert refused(s3.put_bucket_lifecycle_configuration, Bucket="bucket", LifecycleConfiguration=wrong)
    json.dump(taken, sys.stdout)


main()
