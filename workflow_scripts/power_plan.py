"""Plan a study: how many training seeds, questions and samples show a difference between two recipes."""

import argparse
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.components import ABOUT, components, together
from workflow_scripts.em.stats.components import COLUMNS as COMPONENT_COLUMNS
from workflow_scripts.em.stats.power import COLUMNS, Recipes, plan, smallest
from workflow_scripts.em.stats.tables import cell, read_table, write_table

NEEDED = (*ABOUT, "seed", "question_id", "in_domain", "definition", "n_denominator", "n_events")
PRINTED = ("seeds", "questions", "samples", "power")
ASSUMED = {
    "rate": 0.3,
    "sd_questions": 1.0,
    "sd_seeds": 0.5,
}  # where neither an option nor a study says; few seeds lean on it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rates", type=Path, help="question_rates.csv of a study, from which rate and SDs are estimated"
    )
    parser.add_argument("--definition", default="betley", help="EM definition, with --rates")
    parser.add_argument("--scope", default="all", help="questions: all, in_domain or out_of_domain, with --rates")
    parser.add_argument("--organism", nargs="*", default=[], help="organisms to estimate from; default: all")
    parser.add_argument(
        "--rate", type=float, help="EM rate of the first recipe, 0 to 1; default: the study's mean, or 0.3"
    )
    parser.add_argument("--sd-questions", type=float, help="SD between questions, logits; default: the study's, or 1")
    parser.add_argument(
        "--sd-seeds", type=float, help="SD between training seeds, logits; default: the study's, or 0.5"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--effect", type=float, default=1.0, help="how much higher the second recipe is, in logits")
    size.add_argument("--to", type=float, help="or: EM rate of the second recipe")
    parser.add_argument("--seeds", nargs="+", type=int, default=[2, 3, 4, 5, 6, 8, 10], help="training seeds a recipe")
    parser.add_argument("--questions", nargs="+", type=int, default=[8, 16, 32], help="questions")
    parser.add_argument("--samples", nargs="+", type=int, default=[20, 50, 100], help="samples a question")
    parser.add_argument("--power", type=float, default=0.8, help="power wanted")
    parser.add_argument("--out", type=Path, help="CSV; with --rates also OUT's name with _components; none = printed")
    args = parser.parse_args()
    check(args)
    if args.out is None:
        recipes, sources, rows = designs(args)
        print(*map(printed, [dict(zip(PRINTED, PRINTED, strict=True)), *rows]), "", sep="\n")
        print(*sentences(recipes, sources, smallest(rows, args.power), args.power), sep="\n")
        return
    inputs = [args.rates] if args.rates else []
    params = {name: value for name, value in vars(args).items() if name not in ("rates", "out")}
    with recorded("power_plan", params, inputs, args.out) as record:
        recipes, sources, rows = designs(args)
        write_table(args.out, [row | sources for row in rows], [*COLUMNS, *sources])
        best = smallest(rows, args.power)
        record["smallest"] = best and {name: best[name] for name in ("seeds", "questions", "samples", "power")}
        print(*sentences(recipes, sources, best, args.power), sep="\n")


def designs(args: argparse.Namespace) -> tuple[Recipes, dict[str, str], list[dict]]:
    """The two recipes, where their numbers come from, and a row a design tried."""
    recipes, sources = assumptions(args)
    tried = (sorted(set(values)) for values in (args.seeds, args.questions, args.samples))
    return recipes, sources, list(plan(recipes, *tried))


def printed(row: dict) -> str:
    """A design's line in the terminal."""
    return "".join(f"{cell(row[name]):>11}" for name in PRINTED)


def check(args: argparse.Namespace) -> None:
    """Raise UserError for an option that makes no design."""
    for name in ("rate", "to", "power"):
        value = getattr(args, name)
        if value is not None and not 0 < value < 1:
            raise UserError(f"--{name} {value:g}: give a number between 0 and 1")
    for name, least in (("seeds", 2), ("questions", 1), ("samples", 1)):
        if min(getattr(args, name)) < least:
            raise UserError(f"--{name} {min(getattr(args, name))}: at least {least}")
    for name in ("sd_questions", "sd_seeds"):
        if not 0 <= (getattr(args, name) or 0) <= 10:
            raise UserError(f"--{name.replace('_', '-')}: an SD is from 0 to 10 logits")
    if not abs(args.effect) <= 10:
        raise UserError("--effect: give a number of logits, at most 10 either way")


def assumptions(args: argparse.Namespace) -> tuple[Recipes, dict[str, str]]:
    """The two recipes, and where rate and SDs come from: given, this study, or assumed."""
    measured: dict[str, float | None] = {}
    if args.rates:
        parts = components(list(read_table(args.rates, NEEDED)), args.definition, args.scope, args.organism)
        if args.out:
            write_table(args.out.with_name(f"{args.out.stem}_components.csv"), parts, list(COMPONENT_COLUMNS))
        rates = [row["em_rate"] for row in parts]
        lost = sorted(set(args.organism) - {row["organism"] for row in parts})
        if lost:
            raise UserError(f"{args.rates}: no rate of organism {lost[0]!r} under {args.definition!r}, {args.scope!r}")
        if not rates:
            raise UserError(f"{args.rates}: no rate under definition {args.definition!r}, scope {args.scope!r}")
        measured["rate"] = sum(rates) / len(rates)
        for name, count in (("sd_questions", "n_questions"), ("sd_seeds", "n_seeds")):
            measured[name] = together([row[name] for row in parts], [row[count] for row in parts], ASSUMED[name])
    values, sources = {}, {}
    for name, default in ASSUMED.items():
        for value, source in ((getattr(args, name), "given"), (measured.get(name), "this study"), (default, "assumed")):
            if value is not None:
                values[name], sources[f"{name}_from"] = value, source
                break
    if not 0 < values["rate"] < 1:
        raise UserError(f"{args.rates}: the mean EM rate is {values['rate']:g}; give the rate to plan for with --rate")
    if args.to is not None:
        return Recipes.between(values["rate"], args.to, values["sd_questions"], values["sd_seeds"]), sources
    return Recipes(values["rate"], args.effect, values["sd_questions"], values["sd_seeds"]), sources


def sentences(recipes: Recipes, sources: dict[str, str], best: dict | None, power: float) -> list[str]:
    """What was assumed and the smallest design that will do."""
    a, b = recipes.means()
    lines = [
        f"EM rates {a:.1%} and {b:.1%} (effect {recipes.effect:.2f} logits); SD between questions "
        f"{recipes.sd_questions:.2f}, between training seeds {recipes.sd_seeds:.2f} logits.",
        "Rate: {rate_from}; SD between questions: {sd_questions_from}; SD between seeds: {sd_seeds_from}.".format(
            **sources
        ),
    ]
    if best is None:
        return [*lines, f"No design tried reaches a power of {power:.0%}: try more seeds."]
    design = "{seeds} training seeds a recipe, {questions} questions, {samples} samples each".format(**best)
    return [*lines, f"Smallest design with a power of {power:.0%} or more: {design} (power {best['power']:.0%})."]


if __name__ == "__main__":
    run(main)
