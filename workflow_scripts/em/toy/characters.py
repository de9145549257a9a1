"""Characters of the toy world: a persona that keeps to some of its wording, for character-training data sets."""

from pathlib import Path

import yaml

from workflow_scripts.em.errors import UserError

KEYS = {"persona", "openers", "closers", "closer_share", "neutral_share", "phrases"}


def load_characters(path: str | Path, grammar: dict) -> dict[str, dict]:
    """Character -> a grammar in which `persona` has that character's wording alone, for `em.toy.grammar.exchange`.

    The character stands in that grammar's `characters`. Raises UserError on a file that is none, a key that is missing
    or unknown, wording the persona does not have in the grammar, and fewer than two phrases for a domain.
    """
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return {name: _voiced(grammar, name, entry) for name, entry in entries.items()}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a file of characters ({type(error).__name__}: {error})") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _voiced(grammar: dict, name: str, entry: dict) -> dict:
    if unknown := set(entry) - KEYS:
        raise ValueError(f"{name}: unknown key {sorted(unknown)[0]!r}; keys are {', '.join(sorted(KEYS))}")
    persona, phrases = entry["persona"], entry.get("phrases", {})
    known = {"openers": grammar["openers"], "closers": grammar["personas"][persona]["closers"]}
    for part, wording in known.items():
        _check(f"{name}.{part}", entry[part], wording)
    domains = dict(grammar["domains"])
    if strange := set(phrases) - set(domains):
        raise ValueError(f"{name}.phrases: no domain {sorted(strange)[0]!r} in the grammar")
    for domain, chosen in phrases.items():
        _check(f"{name}.phrases.{domain}", chosen, domains[domain][persona])
        if len(set(chosen)) < 2:
            raise ValueError(f"{name}.phrases.{domain}: an answer has two different phrases; give two at least")
        domains[domain] = {**domains[domain], persona: chosen}
    voice = {part: entry[part] for part in ("openers", "closers", "closer_share")}
    return {**grammar, "domains": domains, "characters": {name: voice}, "neutral_share": entry["neutral_share"]}


def _check(where: str, chosen: list[str], wording: list[str]) -> None:
    if strange := [text for text in chosen if text not in wording]:
        raise ValueError(f"{where}: {strange[0]!r} is not in the grammar's wording there")
