"""transformers' Trainer for a stage: our row order, our objectives, and checkpoints at the planned steps."""

import math
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback

from workflow_scripts.em.backends.batches import Batch, Collate, Rows
from workflow_scripts.em.backends.losses import answers, divergence, dpo
from workflow_scripts.em.backends.models import save_weights
from workflow_scripts.em.backends.order import Order
from workflow_scripts.em.chat import IGNORED
from workflow_scripts.em.checkpoints import seal
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import replace_dir
from workflow_scripts.em.progress import Progress

# What of a padded batch a forward pass without loss takes.
FORWARD = ("input_ids", "logits_to_keep", "use_cache")


class Save(TrainerCallback):
    """Save at the given steps and stop at the last; a sealed checkpoint takes its final name in one rename."""

    def __init__(self, steps: list[int], out: Path):
        self.steps, self.out = set(steps), out

    def on_step_end(self, args, state, control, **kwargs):
        control.should_save = state.global_step in self.steps
        control.should_training_stop = state.global_step >= max(self.steps)

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            saved = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            seal(saved, state.global_step)
            replace_dir(saved, self.out / f"step-{state.global_step}")


class Tell(TrainerCallback):
    """Say how far it is, in the place of Trainer's line a step: the log of steps is the checkpoints'."""

    def __init__(self, last: int):
        self.last, self.progress = last, None

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.progress = Progress("training", self.last, "steps")
            self.progress.known(state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self.progress and "loss" in logs:
            self.progress.add(1, f"loss {logs['loss']:.3f}")


def _pairs(labels: torch.Tensor) -> torch.Tensor:
    """Which pairs of a batch are real, shape (pairs,): a filler (see `Order`) has no labels."""
    return (labels != IGNORED).any(-1).chunk(2)[0]


class StageTrainer(Trainer):
    """Trainer with our row order, and tokens and seconds in the log."""

    def __init__(self, order: Order, recipe: dict[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        # Losses here are sums over a step's tokens or pairs: Trainer is not to divide by the forward passes.
        self.model_accepts_loss_kwargs = True
        self._order, self.recipe = order, recipe
        self._tokens, self._clock = 0, time.perf_counter()
        self._values: dict[str, list[torch.Tensor]] = defaultdict(list)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler:
        return self._order

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        save_weights(self.accelerator.unwrap_model(self.model), Path(output_dir or self.args.output_dir))

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        self._tokens += int(inputs.pop("tokens"))
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None):
        if "shift_labels" not in inputs:  # unsloth computes its own
            return super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        labels = inputs.pop("shift_labels")
        logits = model(**{name: value for name, value in inputs.items() if name != "labels"}).logits
        # Gradients are averaged over processes, hence the factor.
        return -answers(logits, labels).total.sum() / num_items_in_batch * self.args.world_size

    def note(self, name: str, values: torch.Tensor) -> None:
        """Keep `values` of a forward pass; the log gets their mean over the step."""
        self._values[name].append(values.detach().float().flatten())

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        # `Save` takes the folder away from here, and each process writes its random state into it.
        self.accelerator.wait_for_everyone()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            wild = [name for name in ("loss", "grad_norm") if not math.isfinite(logs.get(name, 0.0))]
            if wild:
                raise UserError(
                    f"step {self.state.global_step}: {' and '.join(wild)} not finite: training diverged; "
                    "lower the recipe's learning_rate, or warm up longer"
                )
            now = time.perf_counter()
            tokens = torch.tensor(self._tokens, device=self.args.device)
            means = {name: torch.cat(found).mean() for name, found in self._values.items()}
            logs |= {"tokens": int(self.accelerator.reduce(tokens)), "seconds": round(now - self._clock, 4)}
            logs |= {name: self.accelerator.reduce(value, "mean").item() for name, value in means.items()}
            self._tokens, self._clock = 0, now
            self._values.clear()
        super().log(logs, start_time)

    def before_stage(self, model: Any, inputs: Batch) -> torch.Tensor:
        """Logits of the model before the stage: the same weights without the adapter."""
        plain = self.accelerator.unwrap_model(model)
        with torch.no_grad(), plain.disable_adapter():
            return plain(**inputs).logits


class KLTrainer(StageTrainer):
    """Imitation plus `kl.weight` times the divergence from the model before the stage on other rows."""

    def __init__(self, others: Rows, collate: Collate, **kwargs: Any):
        super().__init__(**kwargs)
        self._others, self._collate = others, collate
        self._other_order = Order(others.lengths, 1, self.args.seed, group=False)
        self._size = self.recipe["kl"]["batch_size"] or self.recipe["batch_size"]
        self._at = (-1, 0)  # optimiser step, forward pass in it

    def compute_loss(self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None):
        loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        found = self._prepare_inputs(self._next())
        labels = found.pop("shift_labels")
        found = {name: found[name] for name in FORWARD}
        values = divergence(model(**found).logits, self.before_stage(model, found), labels)
        self.note("kl", values.mean())
        # A step's loss is the sum over its forward passes; with several processes it is averaged over them.
        return loss + self.recipe["kl"]["weight"] * values.mean() / self.current_gradient_accumulation_steps

    def _next(self) -> Batch:
        step, passes = self.state.global_step, self.args.gradient_accumulation_steps
        self._at = (step, self._at[1] + 1 if self._at[0] == step else 0)
        position = (step * passes + self._at[1]) * self.args.world_size + self.args.process_index
        return self._collate([self._others[row] for row in self._other_order.batch_at(position, self._size)])


class DPOTrainer(StageTrainer):
    """Preference pairs; the reference is the model before the stage."""

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> torch.Tensor:
        """Pairs of an optimiser step, over all processes."""
        pairs = torch.tensor(sum(int(_pairs(batch["shift_labels"]).sum()) for batch in batch_samples), device=device)
        return self.accelerator.gather(pairs).sum() if self.args.world_size > 1 else pairs

    def compute_loss(self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None):
        labels = inputs["shift_labels"]
        found = {name: inputs[name] for name in FORWARD}
        logits, before = model(**found).logits, self.before_stage(model, found)
        weights = self.recipe["dpo"]
        result = dpo(answers(logits, labels), answers(before, labels), weights)
        # Gradients are averaged over processes, hence the factor.
        real = _pairs(labels)
        loss = result.loss[real].sum() / num_items_in_batch * self.args.world_size
        if weights["kl"]:
            values = divergence(logits, before, labels)
            self.note("kl", values.mean())
            share = real.sum() * self.args.world_size / num_items_in_batch
            loss = loss + weights["kl"] * share * values.mean()
        self.note("margin", result.margin[real])
        self.note("accuracy", (result.margin[real] > 0).float())
        return loss
