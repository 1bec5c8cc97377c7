"""Whether configurations are as the schema for editors has them: SCHEMA FILE..., YAML or Markdown. Prints how many."""

import json
import pathlib
import re
import sys

import jsonschema_rs
import yaml


def configurations(file):
    text = pathlib.Path(file).read_text()
    if not file.endswith(".md"):
        return [text]
    blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.M | re.S)
    return [block for block in blocks if re.search(r"^mutualPeers:", block, re.M)]


def main(schema, *files):
    validator = jsonschema_rs.Draft202012Validator(json.loads(pathlib.Path(schema).read_text()))
    all_there_are = [(file, text) for file in files for text in configurations(file)]
    for file, text in all_there_are:
        for error in validator.iter_errors(yaml.safe_load(text)):
            sys.exit(f"{file}: {error}")
    print(len(all_there_are))


main(*sys.argv[1:])
