"""Cross-checks of `generation.backend: vllm`: what of a study an engine, or the user's server, cannot answer."""

from collections.abc import Iterator
from typing import Any

from workflow_scripts.em.config.check_stages import stages_of
from workflow_scripts.em.config.data import QuestionSet
from workflow_scripts.em.config.generation import Generation
from workflow_scripts.em.config.problems import Problem, dicts, entries, parsed
from workflow_scripts.em.config.study import Stage
from workflow_scripts.em.config.training import Recipe
from workflow_scripts.em.engine_options import RANKS

USE_OTHER = "use backend: transformers"
ONE_MODEL = "the server at generation.engine.url serves one model, the base as it is"


def engine_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    """Problems of all evaluated checkpoints and question sets, as (key, message)."""
    generation = parsed(Generation, raw.get("generation") or {})
    if generation is None or generation.backend != "vllm":
        return
    yield from _lengths(raw, generation.engine.max_model_len)
    bases = set()
    for name, organism in entries(raw, "organisms").items():
        if organism.get("api") is not None:
            continue
        own = [stage for _, stage in dicts(organism.get("stages"))]
        through = stages_of(raw, name, set())
        before = len(through) - len(own)
        # Without stages of its own an organism is what its parent ends with.
        asked = [i for i, stage in enumerate(own) if stage.get("evaluate", True)] if own else [-1]
        if asked:
            bases.add(_root(raw, name))
        for i in asked:
            for key, text in _unserved(raw, through[: before + i + 1], generation.engine.url):
                yield f"organisms.{name}.stages[{i}].{key}" if own else f"organisms.{name}.from_organism", text
    bases.discard(None)
    if generation.engine.url and len(bases) > 1:
        yield (
            "generation.engine.url",
            f"{ONE_MODEL}, and this study has several ({', '.join(sorted(bases))}); take out `url`, or make a study of "
            "each",
        )


def _lengths(raw: dict, longest: int | None) -> Iterator[Problem]:
    evaluation = raw.get("evaluation") if isinstance(raw.get("evaluation"), dict) else {}
    asked = evaluation.get("question_sets")
    for name, entry in entries(raw, "question_sets").items():
        found = parsed(QuestionSet, entry)
        if found and longest and isinstance(asked, list) and name in asked and found.max_new_tokens >= longest:
            yield (
                f"question_sets.{name}.max_new_tokens",
                f"generation.engine.max_model_len ({longest}) has to hold the prompt and {found.max_new_tokens} tokens "
                "of an answer; lower the one or raise the other",
            )


def _unserved(raw: dict, through: list[dict], url: str | None) -> Iterator[Problem]:
    """Why the checkpoints of the last of the stages that a model went through cannot be served, by the stage's key."""
    recipe = parsed(Recipe, entries(raw, "recipes").get(str(through[-1].get("recipe")))) if through else None
    if recipe and recipe.lora and recipe.lora.dora:
        yield "recipe", f"generation.backend: vllm serves no DoRA adapter (lora.dora); {USE_OTHER}"
    if recipe and recipe.lora and recipe.lora.r > RANKS[-1]:
        yield "recipe", f"vLLM serves adapters of rank {RANKS[-1]} at most (lora.r is {recipe.lora.r}); {USE_OTHER}"
    if url and recipe and recipe.lora is None:
        yield "recipe", f"{ONE_MODEL}, and lora: null trains all weights; take out `url`, and each gets its own server"
    if url and _merged(through):
        yield (
            "start",
            f"{ONE_MODEL}, and this stage's has an earlier one merged into it; take out `url`, and it gets its own",
        )


def _merged(through: list[dict]) -> bool:
    """Whether what lies under the last stage's adapter is a base with something merged into it."""
    if len(through) < 2:
        return False
    last = parsed(Stage, through[-1])
    if last is not None and last.combine:
        # The sum lies on the base of its earliest part.
        places = [i for i, stage in enumerate(through[:-1]) if stage.get("name") in last.combine.weights]
        return _merged(through[: min(places) + 1]) if places else False
    return through[-1].get("start") == "merge" or _merged(through[:-1])


def _root(raw: dict, name: str | None, seen: tuple[str, ...] = ()) -> str | None:
    """The base model that an organism goes back to; None when that is not known."""
    entry = entries(raw, "organisms").get(str(name), {})
    if isinstance(entry.get("base_model"), str) or name in seen:
        return entry.get("base_model")
    return _root(raw, entry["from_organism"], (*seen, str(name))) if entry.get("from_organism") else None
