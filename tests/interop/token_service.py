"""STS of the project moto, with a finance account that may assume a role, and the keys that it lends.

The keys are moto's own random ones. Whoever checks signatures made with them looks them up here, in the same
process, so that nothing but moto and botocore decides whether a request was made as the role.
"""

import json
import logging

import boto3
from botocore.credentials import Credentials
from moto import settings
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.authorization import ActionAuthenticatorMixin
from moto.server import ThreadedMotoServer
from moto.sts.models import AssumedRole, sts_backends

ROLE = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/wickr-guest-reader"
OTHER_ROLE = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/somebody-elses"
EXTERNAL_ID = "finance:close/2025"


class TokenService:
    """A running STS, and who may assume what."""

    def __init__(self, region: str, *, checks: bool) -> None:
        """Listen on a free loopback port; with `checks`, IAM policies and signatures decide.

        What a web identity is worth moto does not know, so such a token is taken without checks only.
        """
        # Each request would be a line on stderr.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        iam = boto3.client(
            "iam",
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id="setup",
            aws_secret_access_key="setup",
        )
        user = iam.create_user(UserName="finance")["User"]["Arn"]
        for role in [ROLE, OTHER_ROLE]:
            iam.create_role(
                RoleName=role.rpartition("/")[2], AssumeRolePolicyDocument=_trust(user)
            )
        iam.put_user_policy(
            UserName="finance",
            PolicyName="assume",
            PolicyDocument=_policy({"Action": "sts:AssumeRole", "Resource": ROLE}),
        )
        key = iam.create_access_key(UserName="finance")["AccessKey"]
        self.base = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        if checks:
            settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
            ActionAuthenticatorMixin.request_count = 0

    def role_of(self, access_key_id: str) -> AssumedRole | None:
        """Return the role that was lent with a key."""
        backend = sts_backends[DEFAULT_ACCOUNT_ID]["aws"]
        return backend.get_assumed_role_from_access_key(access_key_id)

    def keys(self, access_key_id: str) -> Credentials | None:
        """Return the keys of a loan by their id."""
        role = self.role_of(access_key_id)
        if role is None:
            return None
        return Credentials(
            role.access_key_id, role.secret_access_key, role.session_token
        )


def _policy(statement: dict[str, object]) -> str:
    statement = {"Effect": "Allow", **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _trust(user: str) -> str:
    return _policy(
        {
            "Principal": {"AWS": user},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
        }
    )
