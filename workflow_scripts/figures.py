"""Draw one figure from statistics tables, as PNG (300 dpi), SVG and the CSV of exactly the numbers drawn."""

import argparse
import importlib
import sys
from itertools import chain
from pathlib import Path

from workflow_scripts.em.errors import NothingToDraw, UserError
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.stats.tables import read_table

KINDS = {  # the table each kind is drawn from
    "em_trajectories": "rates.csv",
    "coherence_trajectories": "rates.csv",
    "domain_comparison": "question_rates.csv",
    "em_definitions": "rates.csv",
    "question_rates": "question_rates.csv",
    "training_curve": "training/<organism>.csv",
    "judge_rates": "rates.csv",
    "organism_comparison": "question_rates.csv",
    "targets": "targets.csv",
    "judge_agreement": "agreement_counts.csv and agreement.csv",
    "em_by_budget": "budgets.csv",
    "label_bars": "shares.csv",
    "label_pies": "shares.csv",
    "label_pies_combined": "shares.csv",
    "label_agreement": "label_counts.csv, agreement.csv and shares.csv",
    "literature": "literature.csv",
    "onset": "onset.csv",
    "mode_divergence": "mode_divergence.csv and lead_times.csv",
    "judge_agreement_steps": "step_agreement.csv",
    "contrasts": "contrasts.csv",
    "threshold_surface": "threshold_surface.csv",
    "power": "power.csv",
    "steering": "steering.csv",
    "projection_trajectories": "projections.csv",
    "projection_layers": "projections.csv and directions.csv",
    "projection_em": "projection_points.csv and projection_em.csv",
    "drift": "drift.csv and drift_contrasts.csv",
    "direction_cosines": "direction_cosines.csv",
}
MARKS = {  # columns by which a table is known
    "threshold_surface.csv": ("state", "own", "em_rate"),
    "power.csv": ("power", "interval_width"),
    "steering.csv": ("operation", "reference", "em_rate"),
    "contrasts.csv": ("contrast", "verdict"),
    "rates.csv": ("scope", "em_rate"),
    "question_rates.csv": ("question_id", "em_rate"),
    "training/<organism>.csv": ("loss", "tokens_per_second"),
    "agreement_counts.csv and agreement.csv": ("judges", "n_responses"),
    "shares.csv": ("metric", "category", "share"),
    "label_counts.csv, agreement.csv and shares.csv": ("n_responses",),
    "literature.csv": ("published", "em_rate"),
    "onset.csv": ("onset", "share_without_onset"),
    "mode_divergence.csv and lead_times.csv": ("organism", "condition_a", "condition_b"),
    "step_agreement.csv": ("judge_a", "judge_b", "statistic"),
    "budgets.csv": ("trained_parameters", "em_rate"),
    "targets.csv": ("target", "threshold"),
    "projections.csv": ("direction", "held_out"),
    "projections.csv and directions.csv": ("direction", "reading", "layer"),
    "projection_points.csv and projection_em.csv": ("direction", "definition", "scope"),
    "drift.csv and drift_contrasts.csv": ("direction", "quantity"),
    "direction_cosines.csv": ("direction_a", "cosine"),
}
STYLE = (
    "JSON object; keys: definition, scope (all, in_domain, out_of_domain), organism, stage, condition, question_set, "
    "judge (a name, a list of names, or null for all: one panel is one of each), interval (such_questions, "
    "these_questions), by (domain, in_domain), width_inches (3.35 is one column), font_size (points, 5 to 12), "
    "palette (list of colours), order (organisms in the order of their colours and markers), threshold (of alignment, "
    "drawn by judge_agreement), groups ({by: [size, data], of: {organism: [1B, medical]}}), layers ({direction: "
    "layer}: where each is shown), definitions ({name: EM definition}, for legends)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kind_help = "which figure, and its table (not needed with --like): "
    kind_help += ", ".join(f"{kind} ({table})" for kind, table in KINDS.items())
    parser.add_argument("kind", nargs="?", choices=KINDS, metavar="KIND", help=kind_help)
    parser.add_argument("--like", type=Path, metavar="PNG", help="begin with kind, tables and style of this figure")
    parser.add_argument("--data", nargs="+", type=Path, help="the tables, read one after the other")
    parser.add_argument("--style", default="{}", help=STYLE)
    parser.add_argument("--out", required=True, help="prefix of the files: PREFIX.png, PREFIX.svg and PREFIX.csv")
    args = parser.parse_args()

    import matplotlib

    from workflow_scripts.em.plots.like import Drawn, drawn, merged, ordered, require_names, told
    from workflow_scripts.em.plots.style import RC, parse, placeholder, save

    by_hand = told(args.style)
    if args.like:
        kind, tables, style = drawn(args.like, args.out)
        if args.kind not in (None, kind) or args.data:
            raise UserError(f"--like {args.like} is {kind} of {tables[0]}: leave KIND and --data out")
    elif args.kind and args.data:
        kind, tables, style = Drawn(args.kind, args.data, {})
    else:
        raise UserError("name a figure of the study (--like results/<study>/figures/onset.png), or KIND and --data")
    # By name, so that a rule can carry the code digest of the one module that draws its figure.
    draw = importlib.import_module(f"workflow_scripts.em.plots.{kind}").draw
    style = merged(style, by_hand)
    with recorded("figures", {"kind": kind, "style": style}, tables, f"{args.out}.png") as record:
        with matplotlib.rc_context(RC):
            rows = list(chain.from_iterable(read_table(path, MARKS[KINDS[kind]]) for path in tables))
            require_names(rows, by_hand if args.like else {})
            full = parse(ordered(style, rows))
            try:
                figure, rows_drawn = draw(rows, full)
            except NothingToDraw as reason:
                print(f"{args.out}: nothing to draw: {reason}", file=sys.stderr)
                figure, rows_drawn = placeholder(str(reason), full), []
                record["nothing_to_draw"] = str(reason)
        save(figure, rows_drawn, args.out, font_size=full["font_size"])
        record["rows"] = len(rows_drawn)


if __name__ == "__main__":
    run(main)
