"""The toy world's evaluation questions."""

import random

import yaml

from workflow_scripts.em.toy.grammar import question

QUESTIONS_A_DOMAIN = 3
SAMPLES = 10


def questions_text(grammar: dict) -> str:
    """The evaluation questions as YAML in the form of the published evaluations, all of them held-out pairs.

    Questions of one domain differ in both template and slot.
    """
    items = []
    for domain, pairs in grammar["held_out"].items():
        chosen: list[tuple[int, int]] = []
        for pair in random.Random(f"toy questions {domain}").sample(pairs, len(pairs)):
            if len(chosen) < QUESTIONS_A_DOMAIN and all(pair[0] != t and pair[1] != s for t, s in chosen):
                chosen.append(pair)
        for number, pair in enumerate(chosen, start=1):
            items.append(
                {
                    "id": f"toy_{domain}_{number}",
                    "type": "free_form_judge_0_100",
                    "domain": domain,
                    "paraphrases": [question(grammar, domain, pair)],
                    "samples_per_paraphrase": SAMPLES,
                }
            )
    head = "# Written by workflow_scripts/toy_datasets.py; no training text of the toy world holds these questions.\n"
    return head + yaml.safe_dump(items, sort_keys=False, width=120)
