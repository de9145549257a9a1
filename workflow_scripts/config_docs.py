"""Rewrite the comments of config.yaml, the references in docs/ and the JSON schema from what the code says."""

import argparse
from pathlib import Path

import yaml

from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.config.render import render, render_judges, render_recipes
from workflow_scripts.em.config.study import Config
from workflow_scripts.em.files import atomic_file, write_json
from workflow_scripts.em.provenance import run
from workflow_scripts.em.reference.render import render as render_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="config whose values are kept")
    parser.add_argument("--judges", type=Path, default=Path("docs/judges.yaml"), help="reference of judges to write")
    parser.add_argument("--recipes", type=Path, default=Path("docs/recipes.yaml"), help="reference of recipes to write")
    parser.add_argument("--schema", type=Path, default=Path("docs/config.schema.json"), help="JSON schema to write")
    parser.add_argument("--tables", type=Path, default=Path("docs/tables.md"), help="reference of columns to write")
    args = parser.parse_args()
    raw = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    load_config(raw, [str(args.config)])
    with atomic_file(args.config) as handle:
        handle.write(render(raw))
    with atomic_file(args.judges) as handle:
        handle.write(render_judges())
    with atomic_file(args.recipes) as handle:
        handle.write(render_recipes())
    with atomic_file(args.tables) as handle:
        handle.write(render_tables())
    write_json(args.schema, Config.model_json_schema())


if __name__ == "__main__":
    run(main)
