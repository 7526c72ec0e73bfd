"""An S3 server of the project moto, in memory, with one bucket.

    s3_server.py BUCKET

Prints its endpoint on a line and serves until its standard input ends.
"""

import sys

import boto3
from moto.server import ThreadedMotoServer


def main() -> None:
    """Serve."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="stores",
        aws_secret_access_key="stores",
    )
    client.create_bucket(Bucket=sys.argv[1])
    print(endpoint, flush=True)
    sys.stdin.read()
    server.stop()


main()
