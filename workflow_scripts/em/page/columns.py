"""Scores and texts of a study in a compact form for a browser: columns of small whole numbers, gzipped, in base64."""

import base64
import gzip
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import read_jsonl
from workflow_scripts.em.stats.counts import STATUSES
from workflow_scripts.em.stats.joined import SCORES
from workflow_scripts.em.stats.tables import read_table

CELL = ("organism", "seed", "stage", "step", "condition", "question_set")
ADDRESS = (*CELL, "question_id", "domain", "in_domain", "paraphrase", "sample", "judge", "response_id")
CHUNK = 2000  # texts a block: what a browser unpacks at once without a pause that is felt


def block(value: Any) -> str:
    """`value` as JSON, gzipped, in base64: none of it can end a script element. The same value gives the same bytes."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8", "surrogatepass"), mtime=0)).decode("ascii")


class Coded:
    """Values that repeat, as numbers: `values` in order of first appearance."""

    def __init__(self) -> None:
        self.values: dict[Any, int] = {}

    def code(self, value: Any) -> int:
        """Number of a value."""
        return self.values.setdefault(value, len(self.values))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)


class Responses:
    """All responses of a study with what each judge said of them; one entry a response in every column.

    Columns: cell (its place in `cells`), question (in `questions`), in_domain, paraphrase, sample; with texts, text (in
    the texts). Of each judge and metric: status (0: not asked, else its place in STATUSES from 1) and value, a number
    or a label; None unless scored. A metric gives labels if one of `labels` or if a scored cell is no number, as in
    em/stats/joined.py; all its values are text then, also those of digits.
    """

    def __init__(self, labels: Iterable[str] = ()) -> None:
        self._labels = set(labels)
        self.cells, self.questions, self.texts = Coded(), Coded(), Coded()
        self.columns: dict[str, list] = {name: [] for name in ("cell", "question", "in_domain", "paraphrase", "sample")}
        self.judges: dict[str, dict[str, dict[str, list]]] = {}
        self._place: dict[tuple, int] = {}

    def add(self, table: Path) -> None:
        """Add a table of scores. Raises UserError when it lacks a column or holds a status or score that is none."""
        for number, row in enumerate(read_table(table, ADDRESS), start=2):
            place = self._response(row)
            for name in row:
                if name.endswith("_status") and row[name]:
                    self._verdict(place, row, name.removesuffix("_status"), f"{table}, line {number}")

    def _response(self, row: dict[str, str]) -> int:
        cell = self.cells.code(tuple(row[name] for name in CELL))
        question = self.questions.code((row["question_set"], row["question_id"], row["domain"]))
        key = (cell, question, row["paraphrase"], row["sample"], row["response_id"])
        place = self._place.setdefault(key, len(self._place))
        if place == len(self.columns["cell"]):
            numbers = (cell, question, int(row["in_domain"] == "1"), int(row["paraphrase"]), int(row["sample"]))
            for column, value in zip(self.columns.values(), numbers, strict=True):
                column.append(value)
        return place

    def _verdict(self, place: int, row: dict[str, str], metric: str, where: str) -> None:
        if row[f"{metric}_status"] not in STATUSES:
            raise UserError(f"{where}: {metric}_status {row[f'{metric}_status']!r} is not one of {', '.join(STATUSES)}")
        status = STATUSES.index(row[f"{metric}_status"]) + 1
        found = self.judges.setdefault(row["judge"], {}).setdefault(metric, {"status": [], "value": []})
        for column, empty in (("status", 0), ("value", None)):
            found[column] += [empty] * (place + 1 - len(found[column]))
        found["status"][place] = status
        if row[metric]:
            found["value"][place] = row[metric]
            if metric not in SCORES and isinstance(_value(row[metric]), str):
                self._labels.add(metric)

    def add_texts(self, files: Iterable[Path]) -> None:
        """Add the texts of response files (JSON lines); a response that nobody judged has no place here."""
        column = self.columns["text"] = [None] * len(self._place)
        by_id = {key[-1]: place for key, place in self._place.items()}
        for row in (row for path in files for row in read_jsonl(path)):
            place = by_id.get(row["id"])
            if place is not None:
                column[place] = self.texts.code((row.get("question") or "", row["response"]))

    def told(self) -> dict[str, Any]:
        """Everything but the texts, as JSON-able data."""
        size = len(self._place)
        judges: dict[str, dict[str, dict[str, list]]] = {}
        for judge, metrics in self.judges.items():
            judges[judge] = {}
            for metric, found in metrics.items():
                shown = str if metric in self._labels else _value
                missing = size - len(found["value"])
                values = [None if text is None else shown(text) for text in found["value"]]
                judges[judge][metric] = {"status": found["status"] + [0] * missing, "value": values + [None] * missing}
        return {
            "size": size,
            "statuses": ["", *STATUSES],
            "cells": list(self.cells),
            "questions": list(self.questions),
            "columns": self.columns,
            "judges": judges,
        }

    def text_blocks(self) -> list[list[tuple[str, str]]]:
        """Pairs (question, response), each pair once, in pieces of CHUNK."""
        texts = list(self.texts)
        return [texts[at : at + CHUNK] for at in range(0, len(texts), CHUNK)]


def labels(told: dict[str, Any]) -> set[str]:
    """Metrics that a study (see `em.page.told`) asks its judges labels for."""
    judges = told["judges"].values()
    return {name for judge in judges for name, how in judge.get("metrics", {}).items() if how.get("labels")}


def _value(text: str) -> float | int | str:
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value):  # a label that is called so
        return text
    return int(value) if value.is_integer() else value
