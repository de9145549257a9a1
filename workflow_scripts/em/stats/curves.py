"""EM rates along training as counts by seed, question and step, and bootstrap draws of their pooled curve."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from workflow_scripts.em.stats.rates import SCOPES
from workflow_scripts.em.stats.tables import as_number

SERIES = ("organism", "stage", "condition", "question_set", "judge")
COLUMNS = (*SERIES, "seed", "step", "definition", "in_domain", "question_id", "n_denominator", "n_events")
DRAWS = 2000
CELLS = 4_000_000  # binomial numbers drawn at once


@dataclass(frozen=True)
class Curve:
    """The counts of one condition and question set along an organism's training stage, under one judge.

    `sizes` and `events`: responses counted and EM responses, (seed, question, step); a question that was not counted
    has size 0. `steps` rise; they are those that every seed has.
    """

    key: tuple[str, ...]
    seeds: tuple[str, ...]
    questions: tuple[str, ...]
    steps: np.ndarray
    sizes: np.ndarray
    events: np.ndarray

    @property
    def rates(self) -> np.ndarray:
        """The rate at each step, seeds and questions pooled; NaN where nothing was counted."""
        return ratio(self.events.sum(axis=(0, 1)), self.sizes.sum(axis=(0, 1)))

    def part(self, seeds: Iterable[str] | None = None, steps: Iterable[float] | None = None) -> "Curve":
        """The same curve of some of its seeds or steps."""
        rows = [i for i, seed in enumerate(self.seeds) if seeds is None or seed in set(seeds)]
        at = np.arange(len(self.steps)) if steps is None else np.flatnonzero(np.isin(self.steps, list(steps)))
        cut = np.ix_(rows, range(len(self.questions)), at)
        named = (self.key, tuple(self.seeds[i] for i in rows), self.questions)
        return Curve(*named, self.steps[at], self.sizes[cut], self.events[cut])


def read_curves(rows: Iterable[dict[str, str]], definition: str, scope: str) -> list[Curve]:
    """The curves in a question_rates table, in its order; those of fewer than two steps are no curves."""
    wanted = {"all": ("0", "1"), "in_domain": ("1",), "out_of_domain": ("0",)}
    assert set(wanted) == set(SCOPES)
    found: dict[tuple, dict[tuple[str, str, float], tuple[int, int]]] = {}
    for row in rows:
        if row["definition"] == definition and row["in_domain"] in wanted[scope]:
            cells = found.setdefault(tuple(row[name] for name in SERIES), {})
            at = (row["seed"], row["question_id"], float(row["step"]))
            cells[at] = (int(row["n_denominator"]), int(row["n_events"]))
    curves = [_curve(key, cells) for key, cells in found.items()]
    return [curve for curve in curves if len(curve.steps) > 1]


def _curve(key: tuple, cells: dict[tuple[str, str, float], tuple[int, int]]) -> Curve:
    seeds = sorted({seed for seed, _, _ in cells}, key=as_number)
    questions = list(dict.fromkeys(question for _, question, _ in cells))
    shared = set.intersection(*({step for at, _, step in cells if at == seed} for seed in seeds))
    steps = sorted(shared)
    counts = np.array([[[cells.get((s, q, t), (0, 0)) for t in steps] for q in questions] for s in seeds])
    counts = counts.reshape(len(seeds), len(questions), len(steps), 2)
    return Curve(key, tuple(seeds), tuple(questions), np.array(steps), counts[..., 0], counts[..., 1])


def draw(curves: list[Curve], rng: np.random.Generator, draws: int = DRAWS) -> list[tuple[np.ndarray, np.ndarray]]:
    """Bootstrap draws of curves of the same seeds: for each its (rates, sizes), (draws, steps).

    Seeds, then questions, then each cell's responses are drawn again. The curves share the seeds drawn, and a question
    that several ask is drawn for all of them or for none. Of n seeds (or questions) n - 1 are drawn, which makes the
    variance of a draw that of the mean (McCarthy & Snowden 1985; Rao & Wu 1988, J. Am. Stat. Assoc. 83, 231-241): with
    two seeds or eight questions the plain bootstrap is much too narrow. Where nothing was counted the rate is NaN.
    """
    seeds = resampled(rng, len(curves[0].seeds), draws)
    weights = _question_weights(curves, rng, draws)
    found = []
    for curve in curves:
        questions = np.stack([weights[name] for name in curve.questions], axis=1)
        share = np.divide(curve.events, curve.sizes, out=np.zeros(curve.sizes.shape), where=curve.sizes > 0)
        at_once = max(1, CELLS // share.size)
        parts = []
        for start in range(0, draws, at_once):
            part = slice(start, start + at_once)
            events = rng.binomial(curve.sizes, share, size=(len(seeds[part]), *share.shape))
            parts.append(np.einsum("bs,bk,bskt->bt", seeds[part], questions[part], events, optimize=True))
        sizes = np.einsum("bs,bk,skt->bt", seeds, questions, curve.sizes, optimize=True)
        found.append((ratio(np.concatenate(parts), sizes), sizes))
    return found


def resampled(rng: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """How often each of n units is in a draw of n - 1 of them, (draws, n), scaled to add up to n; of one, itself."""
    size = max(1, n - 1)
    return rng.multinomial(size, np.full(n, 1 / n), size=draws) * (n / size)


def _question_weights(curves: list[Curve], rng: np.random.Generator, draws: int) -> dict[str, np.ndarray]:
    """Weights of each question: questions that the same curves ask are drawn together."""
    asked: dict[tuple[bool, ...], list[str]] = {}
    for name in dict.fromkeys(name for curve in curves for name in curve.questions):
        asked.setdefault(tuple(name in curve.questions for curve in curves), []).append(name)
    found = {}
    for names in asked.values():
        found |= dict(zip(names, resampled(rng, len(names), draws).T, strict=True))
    return found


def ratio(events: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """events / sizes, NaN where nothing was counted."""
    return np.divide(events, sizes, out=np.full(np.shape(events), np.nan), where=np.asarray(sizes) > 0)
