"""What of the report is no Python code: style, scripts, template, sources, captions, what tables are, the rulegraph."""

from pathlib import Path

from workflow_scripts.em.files import digest_tree, sha256_file

ASSETS = Path(__file__).parent / "assets"
DOCS = Path(__file__).parents[3] / "docs"
REFERENCE = Path(__file__).parents[1] / "reference"
CAPTIONS, DAG = DOCS / "captions/figure.rst", DOCS / "rulegraph.svg"


def assets_digest() -> list[str]:
    """Digests of all that."""
    return [
        digest_tree(ASSETS),
        sha256_file(CAPTIONS),
        sha256_file(DAG),
        *map(sha256_file, sorted(REFERENCE.glob("*.yaml"))),
    ]
