"""Training one segment of a stage with transformers' Trainer and PEFT, resuming exactly."""

import os
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainingArguments

from workflow_scripts.em.backends.adapters import NON_REENTRANT, initial_model
from workflow_scripts.em.backends.batches import Collate, Rows, keeps_rows_apart, packed, padded, plain
from workflow_scripts.em.backends.masked import Masked
from workflow_scripts.em.backends.models import free_gpu_bytes, hardware, load_tokenizer, save_weights
from workflow_scripts.em.backends.order import Order
from workflow_scripts.em.backends.trainer import DPOTrainer, KLTrainer, Save, StageTrainer, Tell
from workflow_scripts.em.checkpoints import seal
from workflow_scripts.em.epochs import epoch_steps
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import replace_dir
from workflow_scripts.em.training_memory import require_fit, training_bytes

SCHEDULERS = {
    "linear": "linear",
    "cosine": "cosine",
    "constant": "constant",
    "warmup_stable": "constant_with_warmup",
}


def train_steps(
    record: dict[str, Any],
    recipe: dict[str, Any],
    data: Path,
    seed: int,
    adapter: Path | None,
    resume: Path | None,
    steps: list[int],
    horizon: int | None,
    out: Path,
    settings: dict[str, Any],
    planned_rows: int | None = None,
    kl_data: Path | None = None,
    tracking: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train to `steps` (rising; 0 saves the start) and leave `out/step-<k>` for each, the full training state inside.

    `adapter` is the checkpoint of an earlier stage to go on with, `resume` this stage's checkpoint to go on from (its
    full state is restored); `horizon` the length of the learning-rate schedule, None when the schedule is open-ended.
    `settings` is the config's `training` section. Returns counts for the provenance record. Raises UserError when an
    epoch of the rows has another length than one of `planned_rows`.
    """
    tokenizer = load_tokenizer(record)
    rows = Rows(data, tokenizer, recipe)
    check_epoch(data, rows, recipe, planned_rows)
    if (free := free_gpu_bytes()) is not None:
        require_fit(training_bytes(record, recipe, settings, rows.longest), free, recipe, settings, str(data))
    others = Rows(kl_data, tokenizer, recipe) if kl_data else None
    model = initial_model(record, recipe, adapter, seed, settings)
    first = int(os.environ.get("RANK", "0")) == 0
    if 0 in steps and first and not (out / "step-0").exists():
        start = out / ".step-0"
        save_weights(model, start)
        seal(start, 0)
        replace_dir(start, out / "step-0")
    budget = recipe["lora"] and recipe["lora"]["budget"]
    masked = [Masked(model, budget, seed)] if budget else []
    counts = {
        "hardware": hardware(),
        "rows": len(rows),
        "rows_without_loss_tokens": rows.without_loss,
        "trainable_parameters": budget or sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    steps = [step for step in steps if step]
    if not steps:
        return counts
    batch = recipe["batch_size"] * recipe["gradient_accumulation"]
    parts = {
        "order": Order(rows.lengths, batch, seed, recipe["group_by_length"], _fill(recipe)),
        "recipe": recipe,
        "model": model,
        "args": arguments(recipe, seed, steps, horizon, out, settings, tracking or {}),
        "train_dataset": rows,
        "data_collator": collator(model, tokenizer.pad_token_id, recipe),
        "callbacks": [Save(steps, out), Tell(steps[-1]), *masked],
    }
    if others:
        trainer = KLTrainer(others=others, collate=padded(tokenizer.pad_token_id), **parts)
    else:
        trainer = (DPOTrainer if recipe["objective"] == "dpo" else StageTrainer)(**parts)
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return counts


def _fill(recipe: dict[str, Any]) -> int:
    """Of how many rows an epoch must be a multiple, for processes that share it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    return world * recipe["batch_size"] if world > 1 else 1


def check_epoch(data: Path, rows: Rows, recipe: dict[str, Any], planned_rows: int | None) -> None:
    """Raise UserError when the checkpoints were planned for epochs of another length."""
    if planned_rows is None:
        return
    planned, real = (
        epoch_steps(n, recipe["batch_size"], recipe["gradient_accumulation"]) for n in (planned_rows, len(rows))
    )
    if planned != real:
        raise UserError(
            f"{data}: an epoch has {real} steps ({len(rows)} rows), the checkpoints were planned for {planned} "
            f"({planned_rows} rows); duplicates or rows without loss tokens were left out: give `steps` instead"
        )


def collator(model: Any, pad_id: int, recipe: dict[str, Any]) -> Collate:
    """How the rows of a forward pass are laid out."""
    if recipe["backend"] == "unsloth":
        return plain(pad_id)
    if not recipe["packing"]:
        return padded(pad_id)
    if not keeps_rows_apart(model):
        raise UserError("recipe: packing: this architecture lets packed rows see each other; leave it out")
    # Flash attention takes sequences by their lengths, so one row holds all; others build a mask of the row's square.
    flash = model.config._attn_implementation.startswith("flash")
    return packed(pad_id, None if flash else recipe["max_length"])


def arguments(
    recipe: dict[str, Any],
    seed: int,
    steps: list[int],
    horizon: int | None,
    out: Path,
    settings: dict[str, Any],
    tracking: dict[str, Any],
) -> TrainingArguments:
    """Trainer's arguments. The processes of a job share the forward passes of an optimiser step."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    found = TrainingArguments(
        output_dir=str(out / ".trainer"),
        max_steps=horizon or steps[-1],
        per_device_train_batch_size=recipe["batch_size"],
        gradient_accumulation_steps=recipe["gradient_accumulation"] // world,
        learning_rate=recipe["learning_rate"],
        lr_scheduler_type=SCHEDULERS[recipe["schedule"]],
        warmup_steps=recipe["warmup_steps"],
        optim=recipe["optimizer"],
        adam_beta1=recipe["adam_betas"][0],
        adam_beta2=recipe["adam_betas"][1],
        weight_decay=recipe["weight_decay"],
        max_grad_norm=recipe["max_grad_norm"],
        bf16=recipe["dtype"] == "bfloat16",
        gradient_checkpointing=settings["activation_checkpointing"],
        gradient_checkpointing_kwargs=NON_REENTRANT,
        seed=seed,
        data_seed=seed,
        use_cpu=not torch.cuda.is_available(),
        logging_steps=1,
        # It would log such a loss as 0.
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=settings["tracking"]["report_to"],
        run_name=tracking.get("name"),
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    # One process trains on one GPU; Trainer would spread its batches over all it sees.
    found._n_gpu = min(found.n_gpu, 1)
    return found
