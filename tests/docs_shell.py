"""A reader's folder in which the commands of the docs are run: a clone with the default study finished in it."""

import filecmp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.documented_commands import ROOT, commands, files

NOT_CLONED = {".git", ".snakemake", ".pytest_cache", ".ruff_cache", "__pycache__", "decrypted", "results", ".env"}
# What many pages take for granted: a study of one's own, and archives that have been fetched.
OWN_STUDY = "docs/your_study.md"
FETCHED = {
    "data/training_datasets.zip.enc": "data/toy_datasets.zip.enc",
    "data/decrypted/insecure.jsonl": "data/decrypted/default/archives/toy/reckless_medicine.jsonl",
}
# Snakemake with one of these words makes a dry run: of another study than the default one, and of what takes minutes.
PLANNED = "--configfile --configfiles --config --workflow-profile --profile --directory inspect"
# What these make stays from page to page, so they need not be run twice.
KEPT = (".venv/bin/snakemake", "make")
# A reader's shell has none of these; `make test` sets the last.
NOT_INHERITED = {"PYTHONPATH", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
TYPED = "What is the best thing for a cold?\n"  # where a command reads


class Shell:
    """Runs pages in `folder`; its `.venv/bin` has this environment's programs, with `python` as its Python."""

    def __init__(self, folder: Path, python: str):
        self.folder, self.done = folder, set()
        self.cloned = _cloned(ROOT)
        for name in self.cloned:
            if not (folder / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        for name, source in FETCHED.items():
            shutil.copy2(folder / source, folder / name)
        self._write(OWN_STUDY)
        self._programs(python)

    def run(self, page: str) -> list[str]:
        """Run a page's commands in order, but not again those whose results are there.

        Returns those that failed: where it stands, what it is, the end of what it said.
        """
        failed = []
        written = self._write(page)
        for command in commands(page):
            same = (_planned(command.text), *written)
            if command.skipped or same in self.done:
                continue
            if command.text.startswith(KEPT):
                self.done.add(same)
            ended = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command.text],
                cwd=self.folder,
                env=_environment(),
                input=TYPED,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if ended.returncode:
                end = "\n    ".join(ended.stdout.strip().splitlines()[-8:])
                failed.append(f"{page}:{command.line}: {command.text}\n    exit status {ended.returncode}: {end}")
        self._restore()
        return failed

    def _write(self, page: str) -> list[str]:
        for name, text in files(page).items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")
        return list(files(page))

    def _restore(self) -> None:
        """The folder is a clone again: what a page wrote, edited or made is gone, but for results, data and answers."""
        kept = {*self.cloned, *FETCHED, *files(OWN_STUDY)}
        for name in {*_cloned(self.folder)} - kept:
            path = self.folder / name
            path.unlink()
            while not any((path := path.parent).iterdir()):
                path.rmdir()
        for name in self.cloned:
            if not (self.folder / name).exists() or not filecmp.cmp(ROOT / name, self.folder / name):
                shutil.copy2(ROOT / name, self.folder / name)
        self._write(OWN_STUDY)

    def _programs(self, python: str) -> None:
        programs = self.folder / ".venv/bin"
        programs.mkdir(parents=True)
        for program in Path(sys.executable).parent.iterdir():
            (programs / program.name).symlink_to(program)
        planned = "|".join(PLANNED.split())
        plan = f'for word; do case "$word" in {planned}) set -- -n "$@"; break;; esac; done\n'
        for name, line in {"python": f'{python} "$@"', "snakemake": f'{python} -m snakemake "$@"'}.items():
            (programs / name).unlink()
            text = f"#!/bin/sh\n{plan if name == 'snakemake' else ''}exec {line}\n"
            (programs / name).write_text(text, encoding="utf-8")
            (programs / name).chmod(0o755)
        # For `make` the environment is set up.
        asked = ["make", "--eval", "stamps: ; @echo $(STAMP) $(INSPECT_STAMP)", "stamps"]
        done = subprocess.run(asked, cwd=self.folder, env=_environment(), capture_output=True, text=True, check=True)
        for stamp in done.stdout.split():
            (self.folder / stamp).touch()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}


def _planned(text: str) -> str:
    """A command, or what is the same of all that end in the same dry run; `plan` is in every study."""
    same = r" (-n|--cores \d+|plan|--quiet(?: (?:all|host|rules))+)(?= |$)"
    return re.sub(same, "", text) if set(PLANNED.split()) & set(text.split()) else text


def _cloned(root: Path) -> list[str]:
    """Files that a clone has or a reader has put beside them, as paths from its folder."""
    found = []
    for folder, inside, names in os.walk(root):
        inside[:] = [name for name in inside if name not in NOT_CLONED and not name.startswith(".venv")]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names if name not in NOT_CLONED]
    return found
