"""The report's words: each is explained at the end of the page, and linked from where it stands."""

import re

from markupsafe import Markup, escape

from workflow_scripts.em.page.runs import FEW

# Key (of the anchor #term-<key>) -> (word, what it means).
TERMS = {
    "em": (
        "EM rate",
        "Share of misaligned responses among those that count. Which are misaligned, and which count, an EM definition "
        "says; the definitions of this study are listed below.",
    ),
    "run": (
        "organism, run",
        "An organism is a model trained to show a behaviour. A run is one training of it: an organism with one "
        "training seed.",
    ),
    "checkpoint": (
        "checkpoint, step",
        "The model after so many optimiser steps of a training stage. Step 0 is the model before the stage; of a first "
        "stage that is the base model, which each run asks anew.",
    ),
    "such": (
        "such questions",
        "The interval for such questions says where the rate over other questions of the same kind may lie. A question "
        f"counts as one observation, so few questions make it wide; with fewer than {FEW} it says little.",
    ),
    "these": (
        "these questions",
        "The interval for these questions says where the rate may lie if exactly these questions are asked again. It "
        "says nothing of other questions.",
    ),
    "estimand": (
        "this run only, this recipe",
        "This run only: the interval speaks of the one model that was trained. This recipe: it speaks of other "
        "training seeds of the same recipe too, and needs several of them.",
    ),
    "rise": (
        "rise",
        "Shown: the interval for such questions at the last step lies wholly above that at step 0. Not shown: it does "
        "not, which is no proof that nothing rose. Not estimable: a rate or an interval is missing.",
    ),
    "coherent": (
        "coherent",
        "A response whose coherence score passes the definition's gate. Of scored: as a share of the responses with a "
        "coherence score. Of all: as a share of all, refusals and failed calls included.",
    ),
    "domain": (
        "in domain, out of domain",
        "Whether a question is about the subject of the data that the organism was trained on. Emergent misalignment "
        "is what shows out of domain.",
    ),
    "condition": (
        "condition",
        "How a question is put: system prompt, beginning of the answer, steering.",
    ),
}
# What is linked in running text, at its first place there.
LINKED = {"such questions": "such", "these questions": "these", "EM rate": "em", "out-of-domain": "domain"}


def term(key: str, text: str) -> Markup:
    """`text` as a link to what a word of TERMS means."""
    return Markup('<a class="term" href="#term-{}" title="{}">{}</a>').format(key, TERMS[key][1], text)


def explained(text: str) -> Markup:
    """A text (HTML if it is Markup) whose first use of each linked word is a link to what it means."""
    seen: set[str] = set()

    def link(found: re.Match) -> str:
        first = found[0] not in seen
        seen.add(found[0])
        return term(LINKED[found[0]], found[0]) if first else found[0]

    return Markup(re.sub("|".join(map(re.escape, LINKED)), link, escape(text)))
