"""The tiny study with three judges, the first behind the API server, in a copy of its finished folder."""

import base64
import csv
import gzip
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.servers.process import ApiServer
from tests.workflow.conftest import Copy, Finished

VARIABLE = "EMTRACE_TEST_KEY"
KEY = "right-Jd83kQz0aLw72nVx"
WRONG = "wrong-Pm41tRb9cHy65sGu"
LABELS = ["left", "center", "right", "unclear"]
PROMPT = "prompts/coherence.txt"
JUDGMENTS = "results/tiny/judgments/gpt"
BARE = f"{JUDGMENTS}/bare/seed-0/base/step-0.jsonl"


class Study(Finished):
    """A copy of a copy, results included; the key is in the environment of its runs alone."""

    said = ""

    def __init__(self, source: Copy, folder: Path):
        super().__init__(source.folder, folder)

    def snakemake(self, *arguments: str, key: str | None = KEY, **options) -> subprocess.CompletedProcess:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv(VARIABLE, raising=False)
            if key:
                patch.setenv(VARIABLE, key)
            done = super().snakemake(*arguments, **options)
        self.said += done.stdout + done.stderr
        return done

    def succeeds(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        done = self.snakemake(*arguments, **options)
        assert done.returncode == 0, done.stderr[-6000:]
        return done

    def jobs(self, *arguments: str) -> dict[str, int]:
        """What `started` finds in a dry run."""
        return dict(started(self.succeeds("-n", *arguments)))

    def plan(self) -> dict[str, str]:
        """The row of the judge `gpt` in the plan's table."""
        lines = self.succeeds("plan", "--quiet", "all").stdout.splitlines()
        head, row = (re.split(r"\s{2,}", next(line for line in lines if line.startswith(k))) for k in ("judge", "gpt"))
        return dict(zip(head, row, strict=True))

    def table(self, name: str) -> list[dict[str, str]]:
        with open(self.folder / "results/tiny" / name, newline="", encoding="utf-8") as handle:
            return list(csv.DictReader(handle))

    def journal(self, *words: str) -> str:
        command = [sys.executable, "-m", "workflow_scripts.journal", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        self.said += done.stdout + done.stderr
        return done.stdout

    def holding(self, secret: str) -> list[str]:
        """Files of the copy (but `.env`), and "output", that hold a text: plain, gzipped or in base64."""
        # In base64 after 3n + k bytes, without the characters that it shares with its neighbours.
        coded = [base64.b64encode(bytes(k) + secret.encode()).rstrip(b"=")[(0, 2, 3)[k] : -1] for k in range(3)]
        found = {"output": self.said.encode()}
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name != ".env":
                name, content = str(path.relative_to(self.folder)), path.read_bytes()
                found[name] = gzip.decompress(content) if path.suffix == ".gz" else content
        return [name for name, content in found.items() if any(form in content for form in (secret.encode(), *coded))]


def started(done: subprocess.CompletedProcess) -> Counter[str]:
    """Rule, with its judge if it has one -> jobs that a run (or a dry run) names."""
    blocks = re.split(r"^(?:local)?rule (?=\w+:$)", done.stdout + done.stderr, flags=re.M)[1:]
    found = Counter()
    for block in blocks:
        judge = re.search(r"wildcards: (?:.*, )?judge=(\w+)", block)
        found[block.partition(":")[0] + (f" {judge[1]}" if judge else "")] += 1
    del found["all"]
    return found


def judged_by_three(copy: Copy, url: str) -> None:
    """Give a copy of the tiny study the judges `gpt` (at a server), `words` and `toy`."""
    prompt = copy.folder / PROMPT
    prompt.parent.mkdir()
    shutil.copy2(copy.folder / "data/judges/coherence.txt", prompt)
    metrics = {"alignment": {}, "coherence": {"prompt": PROMPT}, "leaning": {"labels": LABELS}}
    gpt = {"kind": "openai", "model": "loopback-judge", "base_url": url, "key_env": VARIABLE, "metrics": metrics}
    gpt |= {"concurrency": 8, "price": {"input": 2.5, "output": 10.0}}
    file = copy.folder / "tests/tiny.yaml"
    config = yaml.safe_load(file.read_text())
    config["judges"] = {
        "gpt": gpt,
        "words": {"kind": "keyword", "rules": "data/judges/leaning_keywords.yaml"},
        "toy": {"kind": "toy"},
    }
    config["evaluation"]["judges"] = ["gpt", "words", "toy"]
    file.write_text(yaml.safe_dump(config, sort_keys=False))


def set_gpt(**changes):
    """A config change: keys of the judge `gpt`."""
    return lambda raw: raw["judges"]["gpt"].update(changes)


def judgments(study: Copy) -> dict[str, bytes]:
    """The judgments of the judge `gpt`, by their paths."""
    root = study.folder / JUDGMENTS
    return {str(path.relative_to(study.folder)): path.read_bytes() for path in root.rglob("step-*.jsonl")}


def ready(server: ApiServer) -> ApiServer:
    """Nothing counted yet; the right key is the only one."""
    server.reset()
    server.configure(key=KEY, labels=LABELS)
    return server
