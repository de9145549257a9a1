"""A methods section with a study's exact numbers, in sentences that can be pasted into a paper."""

from collections import Counter, defaultdict
from typing import Any

from workflow_scripts.em.page.columns import Responses
from workflow_scripts.em.page.methods_training import listed, training

SCOPES = {
    "all": "all questions",
    "in_domain": "questions of the domain an organism was trained on",
    "out_of_domain": "questions outside the domain an organism was trained on",
}
OVER = {
    "coherent": "among responses with an alignment score that pass the coherence gate",
    "scored": "among responses that have every score the definition reads",
    "all": "among all responses, those without a score counting as not misaligned",
}
STATISTICS = (
    "Rates are pooled over questions. Intervals are 95%. For the same questions (fresh samples) they are Wilson's "
    "score interval. For other questions like these the question is the unit: a cluster-robust t interval on the "
    "logit scale (K - 1 degrees of freedom for K questions, variance not below the binomial one), widened to the "
    "profile-likelihood interval of the mean rate in a binomial-normal model where that reaches further; with no or "
    "only events, an exact bound for questions that differ by a standard deviation of 1.5 logits. They speak of "
    "single training runs"
)
OVER_SEEDS = "; over training seeds a t interval on the logit scale is given"


def methods(
    told: dict[str, Any], models: dict[str, dict], runs: list[dict], found: Responses, tools: dict[str, list[str]]
) -> list[tuple[str, list[str]]]:
    """Headings with paragraphs. `runs` are those of `em.training_details.read_run` with organism, stage and seed.

    `models` are the base models' records by name, `tools` the versions by package.
    """
    software = [f"{name} {listed(each)}" for name, each in tools.items()]
    sections = [
        ("Models and training", [*training(told, models, runs), *_others(told)]),
        ("Questions and responses", _questions(told, found)),
        ("Judging", _judging(told, found)),
        ("Definition of emergent misalignment", _definitions(told) if has_alignment(found) else []),
        ("Statistics", [_statistics(found)] if has_alignment(found) else []),
        ("Software", [f"Made with emtrace: {listed(software)}."] if software else []),
    ]
    return [(title, paragraphs) for title, paragraphs in sections if paragraphs]


def _statistics(found: Responses) -> str:
    runs = {cell[:2] for cell in found.cells}  # (organism, training seed)
    several = len(runs) > len({organism for organism, _ in runs})
    return f"{STATISTICS}{OVER_SEEDS if several else ''}."


def has_alignment(found: Responses) -> bool:
    """Whether any judge gave scores of alignment: without them there is no EM rate."""
    return any("alignment" in metrics for metrics in found.judges.values())


def _others(told: dict[str, Any]) -> list[str]:
    asked = [f"{name} ({entry['api']})" for name, entry in told["organisms"].items() if "api" in entry]
    said = [f"Asked behind a server, not trained: {listed(asked)}."] if asked else []
    bare = [n for n, entry in told["organisms"].items() if not entry.get("stages") and "api" not in entry]
    said += [f"Evaluated as they are, not trained here: {listed(bare)}."] if bare else []
    if told["tables"]:
        said.append(f"Judged tables of other pipelines were read as they are: {listed(told['tables'])}.")
    return said


def _questions(told: dict[str, Any], found: Responses) -> list[str]:
    said, questions, cells = [], list(found.questions), list(found.cells)
    counts: dict[str, Counter] = defaultdict(Counter)
    for cell, question in zip(found.columns["cell"], found.columns["question"], strict=True):
        counts[cells[cell][-1]][cell, question] += 1
    for name, each in counts.items():
        asked = told["question_sets"].get(name, {})
        samples = sorted(set(each.values()))
        how = f"{samples[0]}" if len(samples) == 1 else f"{samples[0]} to {samples[-1]}"
        n = len({question for question in questions if question[0] == name})
        sampling = (
            f", temperature {asked['temperature']:g}, top-p {asked['top_p']:g}, up to {asked['max_new_tokens']} tokens"
            if asked
            else ""
        )
        said.append(
            f"Question set {name}: {n} questions x {how} responses for each model state and condition{sampling}; "
            f"{sum(each.values()):,} judged responses in all."
        )
    at: dict[tuple, list[str]] = defaultdict(list)  # steps -> whose
    for name, entry in told["organisms"].items():
        steps: dict[str, list[str]] = defaultdict(list)
        for stage, step in entry.get("evaluated", ()):
            steps[stage].append(str(step))
        for stage, own in steps.items():
            at[tuple(own)].append(f"{name} (stage {stage})")
    said += [f"Evaluated at steps {listed([*own])}: {listed(whose)}." for own, whose in at.items() if len(own) > 1]
    shown = [f"{name} ({_condition(how)})" for name, how in told["conditions"].items()]
    return said + ([f"Conditions: {'; '.join(shown)}."] if told["organisms"] else [])


def _condition(how: dict[str, Any]) -> str:
    parts = [f"mode {how['mode']}", f'system prompt "{how["system"]}"' if how["system"] else "no system prompt"]
    parts += [f'prefill "{how["prefill"]}"'] if how.get("prefill") else []
    if steering := how.get("steering"):
        parts += [f"steered along {steering['direction']}"]
    return ", ".join(parts)


def _judging(told: dict[str, Any], found: Responses) -> list[str]:
    said = []
    for name, metrics in found.judges.items():
        judge = told["judges"].get(name)
        gave = listed(list(metrics))
        if judge is None:
            said.append(f"Judge {name}: {gave}, as the tables give them.")
            continue
        model = judge.get("model") or judge.get("base_model")
        how = [f"kind {judge['kind']}", f"model {model}" if model else ""]
        how += [f"method {judge['method']}"] if judge.get("method") else []
        how += [f"temperature {judge['temperature']:g}"] if judge.get("temperature") is not None else []
        said.append(f"Judge {name} ({', '.join(filter(None, how))}) gave {gave}.")
    missing = "A missing score (refusal, code, unparseable, failed call) is never replaced by a number."
    return [*said, missing] if said else []


def _definitions(told: dict[str, Any]) -> list[str]:
    main = told["definition"]
    each = [f"{name}: {definition(rule)}" for name, rule in told["definitions"].items() if name != main]
    said = [f"Main definition, {main}: {definition(told['definitions'][main])}; over {SCOPES[told['scope']]}."]
    return said + ([f"Also reported: {'; '.join(each)}."] if each else [])


def definition(rule: dict[str, Any]) -> str:
    """An EM definition in words."""
    event = f"alignment {'<=' if rule['alignment_inclusive'] else '<'} {rule['alignment']:g}"
    if rule["coherence"] is not None:
        event += f" and coherence {'>=' if rule['coherence_inclusive'] else '>'} {rule['coherence']:g}"
    least = f", questions with fewer than {rule['min_coherent']} such left out" if rule["min_coherent"] else ""
    return f"{event}, {OVER[rule['denominator']]}{least}"
