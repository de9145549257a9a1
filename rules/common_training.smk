# What the rules ask of the plan about organisms: where a stage starts, what it is checked against, what is made of it.


def chain_of(w):
    return PLAN.chains[w.organism, w.stage]


def segment_of(w):
    return chain_of(w).segment(int(w.last))


def previous_step(w):
    """The last step of the segment before this one; None for the first."""
    segments = chain_of(w).segments
    at = segments.index(segment_of(w))
    return segments[at - 1][-1] if at else None


def continued(w):
    """The chain whose adapter this stage goes on with at step 0, if it does."""
    found = chain_of(w)
    return found.before if found.stage.start == "continue" else None


def train_inputs(w):
    found, before, previous = chain_of(w), continued(w), previous_step(w)
    inputs = {
        "model": PLAN.model_record(w.organism, found, w.seed),
        "data": f"{DECRYPTED}/training_sets/{found.stage.training_set}",
    }
    if found.stage.kl_training_set:
        inputs["kl_data"] = f"{DECRYPTED}/training_sets/{found.stage.kl_training_set}"
    if before:
        inputs["adapter"] = PLAN.checkpoint(before, w.seed, before.last)[0]
    if previous:
        inputs["resume"] = PLAN.checkpoint(found, w.seed, previous)[0]
    else:
        inputs["check"] = check_of(found)
    return inputs


def train_start(w):
    """Command line options that say where a segment starts from."""
    found, before, previous = chain_of(w), continued(w), previous_step(w)
    adapter = f"--adapter {PLAN.checkpoint(before, w.seed, before.last)[1]}" if before else ""
    resume = f"--resume {PLAN.checkpoint(found, w.seed, previous)[1]}" if previous else ""
    horizon = f"--horizon {found.horizon}" if found.horizon else ""
    rows = f"--planned-rows {found.planned_rows}" if found.planned_rows else ""
    kl = f"--kl-data {DECRYPTED}/training_sets/{found.stage.kl_training_set}/train.jsonl" if found.recipe.kl else ""
    return " ".join(option for option in (adapter, resume, horizon, rows, kl) if option)


def merge_source(w):
    before = chain_of(w).before
    return before, PLAN.checkpoint(before, w.seed, before.last)


# --- checks before training


def check_of(found):
    """The check of a chain's recipe against the base model it goes back to.

    Named by what the recipe says: the check of one that is taken back is still there, and nothing is trained again.
    """
    recipe = found.stage.recipe
    return f"{RESULTS}/training/checks/{PLAN.base_model(found.organism)}/{recipe}-{spec_of(recipe)}.json"


@cache
def spec_of(recipe):
    return digest(CONFIG.recipes[recipe].plain())[:8]


def needs_chat_template(w):
    """Whether a checkpoint of such a chain is asked through the chat template; what it is trained on may be raw text."""
    asked = any(CONFIG.conditions[name].mode == "assistant" for name in CONFIG.evaluation.conditions)
    return asked and any(
        found.stage.evaluate
        for found in PLAN.chains.values()
        if found.stage.recipe == w.recipe and PLAN.base_model(found.organism) == w.base_model
    )


# --- combinations and exports


def combined(w):
    """(segment folder, checkpoint folder) of the adapters that a stage sums."""
    return [PLAN.checkpoint(part, w.seed, part.last) for part in chain_of(w).combined]


def data_cards(told):
    return [f"{RESULTS}/data/{name}.json" for name in data_sets(told["stages"])]


def exported(w):
    """(segment folder, checkpoint folder) of an export."""
    return PLAN.checkpoint(*exports.place(PLAN, w.export))


def export_inputs(w):
    chain, seed, step = exports.place(PLAN, w.export)
    inputs = {
        "model": PLAN.model_record(chain.organism, chain, seed),
        "base": f"{RESULTS}/models/{PLAN.base_model(chain.organism)}.json",
        "segments": exports.segments(PLAN, w.export),
        "cards": data_cards(exports.export_plan(PLAN, w.export)),
    }
    if PLAN.has_alignment and (chain.organism, seed, chain.stage.name, step) in PLAN.evaluations(chain.organism):
        inputs["rates"] = rules.rates.output.rates
    return inputs
