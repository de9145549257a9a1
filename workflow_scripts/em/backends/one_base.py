"""Checkpoints of one base model that take turns: it is loaded once, and before each it is what it was, to the bit.

No part of an answer's identity (`authors.py`): what a checkpoint answers here is what it answers when loaded by itself.
"""

from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from workflow_scripts.em.backends.generate_transformers import Generator
from workflow_scripts.em.backends.models import load_adapter
from workflow_scripts.em.checkpoints import is_adapter


class OneBase:
    """A base model (or, of fully fine-tuned checkpoints, the weights of the last one) in memory."""

    def __init__(self, record: dict[str, Any], dtype: str, several: bool):
        """`several`: more than one checkpoint is to come, so a copy of what adapters are merged into is kept."""
        self.record, self.dtype, self.several = record, dtype, several
        self._now: tuple[Path | None, Generator] | None = None
        self._base: Generator | None = None
        self._pristine: dict[torch.nn.Parameter, torch.Tensor] = {}
        self._beside: Any = None

    def at(self, checkpoint: Path | None) -> Generator:
        """Ready to answer as a checkpoint; None = as the base model. What an earlier call gave is no longer of use.

        Raises UserError when it cannot be loaded.
        """
        if self._now is None or self._now[0] != checkpoint:
            # Room first: whole models do not fit side by side.
            self._now = None
            self._now = checkpoint, self._turn(checkpoint)
        return self._now[1]

    def _turn(self, checkpoint: Path | None) -> Generator:
        if not self.several or (checkpoint is not None and not is_adapter(checkpoint)):
            return Generator(self.record, checkpoint, self.dtype)
        if self._base is None:
            self._base = Generator(self.record, None, self.dtype)
        self._take_off()
        self._base.name = str(checkpoint or self.record["name"])
        if checkpoint is not None:
            self._put_on(checkpoint)
        return self._base

    def _put_on(self, checkpoint: Path) -> None:
        """As `models.load_checkpoint` does."""
        model = load_adapter(self._base.model, checkpoint, self.record)
        if self.dtype == "float32":
            layers = (module for module in model.modules() if isinstance(module, BaseTunerLayer))
            for weight in (weight for layer in layers for weight in layer.get_base_layer().parameters()):
                if weight not in self._pristine:
                    # Not on the GPU, whose memory is the batches'. Subtracting the adapter would not give these bits.
                    self._pristine[weight] = weight.detach().to("cpu", copy=True)
            self._base.model = model.merge_and_unload().eval()
        else:
            self._beside, self._base.model = model, model.get_base_model().eval()

    def _take_off(self) -> None:
        for weight, before in self._pristine.items():
            weight.data.copy_(before)
        if self._beside is not None:
            self._base.model, self._beside = self._beside.unload(), None
