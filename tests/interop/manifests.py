"""Reads manifests of Kubernetes and holds them against its schemas, unknown fields included.

    manifests.py schema FILE     validates every document, then prints them all
    manifests.py read FILE       prints every document, of files that are only parts of one

Prints a JSON list of documents.
"""

import json
import sys

import kubernetes_validate
import yaml

# The first one whose API server knows all that the manifests ask for, and the latest one known here.
VERSIONS = ("1.29", "1.37")


def main() -> None:
    """Validate and print."""
    verb, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        documents = list(yaml.safe_load_all(file))
    if verb == "schema":
        for document in documents:
            for version in VERSIONS:
                kubernetes_validate.validate(document, version, strict=True)
    json.dump(documents, sys.stdout)


main()
