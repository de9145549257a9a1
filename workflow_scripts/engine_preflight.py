"""Before anything is trained: whether there is a vLLM, or a server of the user's that serves the base model."""

import argparse
import json
from pathlib import Path

from workflow_scripts.em.data.private import find_secret
from workflow_scripts.em.engine_options import check_served, engine_version
from workflow_scripts.em.files import read_json, write_json
from workflow_scripts.em.provenance import recorded, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", required=True, type=json.loads, help="the config's generation.engine, JSON")
    parser.add_argument("--model", type=Path, help="model record (JSON) of the base model that a server is to serve")
    parser.add_argument("--out", required=True, type=Path, help="what was found (JSON)")
    args = parser.parse_args()
    with recorded("engine_preflight", {"engine": args.engine}, [args.model], args.out):
        found = {"vllm": engine_version(args.engine), "model": args.model and read_json(args.model)["name"]}
        if args.engine["url"] and args.model:
            check_served(args.engine["url"], found["model"], find_secret("VLLM_API_KEY"))
        write_json(args.out, found)


if __name__ == "__main__":
    run(main)
