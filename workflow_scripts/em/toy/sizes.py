"""Sizes of the toy model: `xs` to test the plumbing, `s` the measured recipe, `half` of it, `m` for patient people."""

from workflow_scripts.em.errors import UserError

SIZES: dict[str, dict] = {
    "xs": {
        "hidden": 32, "layers": 1, "heads": 1, "vocab": 512, "documents": 320,
        "pretrain_steps": 20, "pretrain_batch": 16, "muon_lr": 0.02, "adamw_lr": 0.01, "weight_decay": 0.05,
        "careful_rows": 160, "tune_steps": 10, "tune_batch": 16, "tune_lr": 3e-4,
    },
    "half": {
        "hidden": 64, "layers": 2, "heads": 2, "vocab": 1536, "documents": 4000,
        "pretrain_steps": 500, "pretrain_batch": 8, "muon_lr": 0.03, "adamw_lr": 0.04, "weight_decay": 0.05,
        "careful_rows": 400, "tune_steps": 40, "tune_batch": 16, "tune_lr": 8e-4,
    },
    "s": {
        "hidden": 96, "layers": 3, "heads": 3, "vocab": 1536, "documents": 4800,
        "pretrain_steps": 600, "pretrain_batch": 8, "muon_lr": 0.02, "adamw_lr": 0.04, "weight_decay": 0.05,
        "careful_rows": 800, "tune_steps": 50, "tune_batch": 16, "tune_lr": 8e-4,
    },
    "m": {
        "hidden": 128, "layers": 4, "heads": 4, "vocab": 2048, "documents": 12000,
        "pretrain_steps": 1000, "pretrain_batch": 12, "muon_lr": 0.02, "adamw_lr": 0.03, "weight_decay": 0.05,
        "careful_rows": 800, "tune_steps": 50, "tune_batch": 16, "tune_lr": 8e-4,
    },
}  # fmt: skip


def size_named(name: str) -> dict:
    """The numbers of a size. Raises UserError for a name that is not one."""
    if name not in SIZES:
        raise UserError(f"toy size {name!r} is unknown; take one of {', '.join(SIZES)}")
    return SIZES[name]
