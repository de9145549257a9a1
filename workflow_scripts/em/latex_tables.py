"""Which columns of the statistics a paper shows, under which headings: one function a table."""

from collections.abc import Sequence

from workflow_scripts.em.latex import Column, table
from workflow_scripts.em.stats.contrast_cells import SHARES

WHO = {"organism": "Organism", "seed": "Seed", "stage": "Stage", "step": "Step", "condition": "Condition"}
WHO |= {"question_set": "Questions", "judge": "Judge"}
SCOPES = {"all": "all questions", "in_domain": "in-domain questions", "out_of_domain": "out-of-domain questions"}
MINUS = "\N{MINUS SIGN}"


def findings(rows: list[dict]) -> str:
    """Each run before its stage and at its last checkpoint."""
    columns = {
        "EM before": lambda row: _rate(row, "baseline_em_rate", "baseline_such_questions"),
        "Step": lambda row: row["last_step"],
        "EM": lambda row: _rate(row, "last_em_rate", "last_such_questions"),
        "Coherent": lambda row: _percent(row["last_coherent_share_of_all"]),
        "Rise": lambda row: row["rise"],
    }
    text = "EM rate and coherent share (%) of each training run before its stage and at its last checkpoint, with the "
    text += "95% interval for such questions (this run only)"
    return _table(rows, [name for name in WHO if name != "step"], columns, text, "findings")


def rates(recipes: list[dict], runs: list[dict]) -> str:
    """Each organism at each step, averaged over training seeds. `runs`: rows of rates.csv, for the responses."""
    by = [name for name in (*WHO, "scope", "definition") if name != "seed"]
    counted: dict[tuple, list[int]] = {}
    for row in runs:
        counts = counted.setdefault(tuple(row[name] for name in by), [0, 0])
        counts[0] += int(row["n_denominator"])
        counts[1] = max(counts[1], int(row["n_questions_counted"]))
    columns = {
        "EM": lambda row: _rate(row, "mean_em_rate", "such_seeds"),
        "Seeds": lambda row: row["n_seeds"],
        "Questions": lambda row: str(counted[tuple(row[name] for name in by)][1]),
        "n": lambda row: str(counted[tuple(row[name] for name in by)][0]),
    }
    text = "EM rate (%), mean over training seeds, with the 95% interval for this recipe (other seeds) where there are "
    text += "two seeds or more. n: counted responses of all seeds"
    return _table(recipes, [name for name in WHO if name != "seed"], columns, text, "rates")


def recipes(rows: list[dict]) -> str:
    """Each organism at its last step: how far its training seeds are apart."""
    last: dict[tuple, dict] = {}
    for row in rows:  # steps rise within an organism, and its stages follow each other
        last[tuple(row[name] for name in ("organism", "condition", "question_set", "judge"))] = row
    columns = {
        "Seeds": lambda row: row["n_seeds"],
        "EM": lambda row: _rate(row, "mean_em_rate", "such_seeds"),
        "SD": lambda row: _percent(row["sd"]),
        "Range": lambda row: f"{_percent(row['min'])} to {_percent(row['max'])}" if row["sd"] else "",
        "Speaks of": lambda row: "this recipe" if int(row["n_seeds"]) > 1 else "this run only",
    }
    text = (
        "EM rate (%) of each recipe at its last checkpoint: mean over training seeds with the 95% interval for other "
    )
    text += "seeds, standard deviation and range of the runs"
    return _table(list(last.values()), [name for name in WHO if name != "seed"], columns, text, "recipes")


def contrasts(rows: list[dict]) -> str:
    """The contrasts declared in the config."""
    heads = {"Hypothesis": 0.27, "Difference": 0.18, "p (Holm), verdict": 0.16, "Estimand": 0.13, "n": 0.17}
    body = [
        [
            _claim(row),
            _difference(row),
            f"{_p(row['p_holm'])}, {row['verdict']}".removeprefix(", "),
            row["estimand"],
            f"{_counts(row)}; seeds {row['n_seeds_a']}, {row['n_seeds_b']}",
        ]
        for row in rows
    ]
    text = "Contrasts declared before the data were seen: difference of the two sides (percentage points; mean scores: "
    text += "points) with its 95% interval for the estimand; p after Holm. n: questions, and "
    text += f"responses and training seeds of either side. {_of(rows)}"
    return table([Column(*head) for head in heads.items()], body, text, "contrasts")


def mixed_model(rows: list[dict]) -> str:
    """The mixed models of the contrasts."""
    heads = {"Hypothesis": 0.25, "Log odds ratio": 0.19, "SD question, seed": 0.12, "Estimand": 0.19, "n": 0.16}
    body = [
        [
            _claim(row),
            _number(row, "log_odds_ratio", 1, 2),
            ", ".join(f"{float(row[name]):.2f}" for name in ("sd_question", "sd_seed") if row[name]),
            row["estimand"] or row["status"],
            _counts(row),
        ]
        for row in rows
    ]
    text = "Logistic mixed models of the contrasts, question and training seed crossed: log odds ratio with its 95% "
    text += f"interval, standard deviations in logits. n: questions, and responses of either side. {_of(rows)}"
    return table([Column(*head) for head in heads.items()], body, text, "mixed_model")


def _table(rows: list[dict], who: Sequence[str], columns: dict, text: str, label: str) -> str:
    """A table with the columns of `who` that differ between rows; the others are named in the caption."""
    same = {name: rows[0][name] for name in who if rows and len({row[name] for row in rows}) == 1}
    told = [name for name in who if name not in same or name == "organism"]
    heads = [Column(WHO[name], "r" if name in ("seed", "step") else "l") for name in told]
    heads += [Column(name, "r" if name in ("Seeds", "Questions", "n", "SD", "Step") else "l") for name in columns]
    body = [[*(_pretty(row[name]) for name in told), *(cell(row) for cell in columns.values())] for row in rows]
    fixed = [f"{WHO[name].lower()} {_pretty(value)}" for name, value in same.items() if name != "organism"]
    return table(
        heads, body, f"{text}. {_of(rows)} {', '.join(fixed).capitalize()}{'.' if fixed else ''}".strip(), label
    )


def _of(rows: list[dict]) -> str:
    found = dict.fromkeys((row["definition"], row["scope"]) for row in rows)
    if not rows:
        return "No such questions."
    return "EM definition: " + "; ".join(f"{_pretty(name)}, {SCOPES[scope]}" for name, scope in found) + "."


def _claim(row: dict) -> str:
    return _pretty(row["contrast"]) if row["hypothesis"] == row["contrast"] else row["hypothesis"]


def _counts(row: dict) -> str:
    return f"{row['n_questions']} questions; {row['n_a']}, {row['n_b']} responses"


def _rate(row: dict, value: str, interval: str) -> str:
    return _number(
        row | {f"{value}_low": row[f"{interval}_low"], f"{value}_high": row[f"{interval}_high"]}, value, 100, 1
    )


def _difference(row: dict) -> str:
    return _number(row, "difference", 100 if row["measure"] in SHARES else 1, 1)


def _number(row: dict, name: str, scale: float, digits: int) -> str:
    """A value with its interval in one cell; empty where there is none."""
    if not row[name]:
        return ""
    value, low, high = (
        f"{float(row[key]) * scale:.{digits}f}".replace("-", MINUS) if row[key] else ""
        for key in (name, f"{name}_low", f"{name}_high")
    )
    return f"{value} [{low}, {high}]" if low else value


def _percent(text: str) -> str:
    return f"{100 * float(text):.1f}" if text else ""


def _p(text: str) -> str:
    return "" if not text else "< 0.001" if float(text) < 0.001 else f"{float(text):.3f}"


def _pretty(name: str) -> str:
    return name.replace("_", " ")
