"""Which publications a study rests on, and their BibTeX: by what its config and records say, never more."""

import re
from functools import cache
from typing import Any

from workflow_scripts.em.page.files import ASSETS

BIB = ASSETS / "references.bib"
ALWAYS = ("betley2025emergent", "molder2021sustainable")
RATES = (
    "wilson1927probable", "cameron2008bootstrap", "miller2024adding", "stijnen2010random", "hardy1996likelihood",
    "clopper1934use",
)  # fmt: skip
# Beginnings of presets and EM definitions' names -> whose numbers they are.
PRESETS = {"mo_": "turner2025model", "oct_": "maiya2025open"}
# Data sets that were published with a paper, by their files' names.
DATA = ("bad_medical_advice", "risky_financial_advice", "extreme_sports")
DEFINITIONS = {"model_organisms": "turner2025model"}


@cache
def entries() -> dict[str, str]:
    """Key -> BibTeX entry of every publication that is known."""
    found = re.findall(r"^(@\w+\{([^,]+),.*?^\})$", BIB.read_text(encoding="utf-8"), re.M | re.S)
    return {key: entry for entry, key in found}


def cited(told: dict[str, Any], recipes: list[dict[str, Any]], judges: int) -> list[str]:
    """Keys of what a study (see `em.page.told`) rests on, in the order of references.bib.

    `recipes` are those that were trained by, `judges` how many gave scores of alignment: none, and there are no rates.
    """
    stages = [stage for entry in told["organisms"].values() for stage in entry.get("stages", ())]
    presets = {stage["preset"] or "" for stage in stages}
    keys = {*ALWAYS, *(RATES if judges else ())}
    keys |= {key for start, key in PRESETS.items() if any(preset.startswith(start) for preset in presets)}
    keys |= {key for name, key in DEFINITIONS.items() if judges and name in told["definitions"]}
    keys |= {"turner2025model"} if any(member.startswith(DATA) for member in told["members"]) else set()
    keys |= {"soligo2025convergent", "chen2025persona"} if told["directions"] else set()
    keys |= {"krippendorff2004content", "gwet2008computing", "cohen1960coefficient"} if judges > 1 else set()
    keys |= {"rogan1978estimating"} if any(judge["kind"] == "human" for judge in told["judges"].values()) else set()
    keys |= {"holm1979simple", "welch1947generalization"} if told["contrasts"] else set()
    run_by = {judge["kind"] for judge in told["judges"].values()}
    run_by |= {told["generation"]["backend"] for entry in told["organisms"].values() if "api" not in entry}
    keys |= {"wolf2020transformers"} if recipes or "transformers" in run_by else set()
    keys |= {"kwon2023efficient"} if "vllm" in run_by else set()
    for recipe in recipes:
        lora = recipe.get("lora") or {}
        keys |= {"hu2022lora"} if lora else set()
        keys |= {"kalajdzievski2023rank"} if lora.get("rslora") else set()
        keys |= {"liu2024dora"} if lora.get("dora") else set()
        keys |= {"dettmers2023qlora"} if recipe.get("quantization") == "nf4" else set()
        keys |= {"rafailov2023direct"} if recipe.get("objective") == "dpo" else set()
        keys |= {"turner2025model"} if recipe.get("kl") else set()
    return [key for key in entries() if key in keys]
