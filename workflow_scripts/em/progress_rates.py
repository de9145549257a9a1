"""EM rates of a study that still runs: of each run the first and the latest checkpoint that is judged."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.em.files import read_jsonl
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.stats.counts import count
from workflow_scripts.em.stats.definitions import parse
from workflow_scripts.em.stats.rates import rate_rows

Trained = tuple[str, int]  # organism, training seed


class Standing(NamedTuple):
    """Where an organism of a training seed stands: its latest judged checkpoint, of a stage of so many steps.

    `first` (the stage's step 0) and `latest` are rows as `rate_rows` gives them, without a rate where the definition
    counts no response; None where nothing was judged or read yet, or no question is in scope.
    """

    organism: str
    seed: int
    stage: str
    step: int
    steps: int
    when: float  # it was judged, seconds since 1970
    first: dict | None
    latest: dict | None


class Rates:
    """The headline rate, as the figures show it: `figures`' definition and scope, the first judge of alignment.

    Of the conditions and question sets the first that has a rate. Judgments are read where they lie, each file once:
    tables of scores come later, when all checkpoints of an organism are judged.
    """

    def __init__(self, plan: Plan, flat: Callable[[dict, list[str]], dict]):
        """`flat`: (judgment, domains) to a row of a scores table."""
        self.plan, self._flat = plan, flat
        shown, judges = plan.config.figures, plan.config.evaluation.judges
        self.judge = next((name for name in judges if "alignment" in plan.metrics[name]), None)
        self.definition, self.scope = shown.definition, shown.scope
        self._known: dict[Path, tuple[int, dict | None]] = {}
        self._at: dict[Trained, list[tuple[str, int]]] = {}
        self._places: dict[str, tuple[Trained, int]] = {}  # log of a judge's job -> of which run, which of its steps
        self._judged: dict[Trained, set[int]] = {}
        self._changed: dict[Trained, float] = {}
        for organism in plan.config.organisms if self.judge else ():
            for at in plan.unsteered(organism):
                steps = self._at.setdefault(at[:2], [])
                self._places[self._log(at)] = at[:2], len(steps)
                steps.append(at[2:])
                with suppress(FileNotFoundError):
                    self._note(*self._places[self._log(at)], self._file(at).stat().st_mtime)

    def _file(self, at: tuple[str, int, str, int]) -> Path:
        return Path(self.plan.judgments(self.judge, at))

    def _log(self, at: tuple[str, int, str, int]) -> str:
        head, _, rest = self.plan.judgments(self.judge, at).partition("/judgments/")
        return f"{head}/logs/judge/{rest.removesuffix('.jsonl')}.log"

    def _note(self, run: Trained, place: int, when: float) -> None:
        self._judged.setdefault(run, set()).add(place)
        self._changed[run] = max(when, self._changed.get(run, 0.0))

    def note(self, logs: Iterable[str | None]) -> None:
        """Of jobs that have ended since, by their log files: what was judged is looked at again."""
        for log in logs:
            if log in self._places:
                self._note(*self._places[log], time.time())

    def __len__(self) -> int:
        """How many organisms (of training seeds) have been judged."""
        return len(self._judged)

    def standings(self, most: int, seconds: float) -> list[Standing]:
        """Those that changed last, at most so many, in the config's order; reading takes about so many `seconds`.

        What it had no time for is read when it is asked again.
        """
        end = time.monotonic() + seconds
        latest = sorted(self._judged, key=self._changed.__getitem__, reverse=True)[:most]
        return [self._standing(run, end) for run in sorted(latest, key=list(self._at).index)]

    def _standing(self, run: Trained, end: float) -> Standing:
        steps, judged = self._at[run], self._judged[run]
        stage, step = steps[max(judged)]
        ends = [number for name, number in steps if name == stage]
        latest = self._row((*run, stage, step), end)
        before = (stage, 0) in steps and steps.index((stage, 0)) in judged
        first = self._row((*run, stage, 0), end) if before else None
        return Standing(*run, stage, step, ends[-1], self._changed[run], first, latest)

    def _row(self, at: tuple[str, int, str, int], end: float) -> dict | None:
        path = self._file(at)
        try:
            written = path.stat().st_mtime_ns
            if self._known.get(path, (0,))[0] != written:
                if time.monotonic() > end:
                    return None
                self._known[path] = written, self._read(path, self.plan.domains(at[0]))
        except FileNotFoundError:  # it is being judged again
            return None
        return self._known[path][1]

    def _read(self, path: Path, domains: list[str]) -> dict | None:
        rows = (self._flat(row, domains) for row in read_jsonl(path))
        texts = (row | {name: str(row[name]) for name in ("seed", "step", "in_domain")} for row in rows)
        rule = parse(self.definition, self.plan.config.em_definitions[self.definition].plain())
        found = rate_rows(count(texts, {self.definition: rule}), {self.definition: rule})
        rows = [row for row in found if row["scope"] == self.scope]
        return next((row for row in rows if row["em_rate"] is not None), rows[0] if rows else None)
