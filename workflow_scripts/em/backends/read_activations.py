"""Hidden states of a model, averaged over some of each text's tokens while they are computed: none of them is kept."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workflow_scripts.em.activation_rows import rows_file
from workflow_scripts.em.asks import Ask
from workflow_scripts.em.backends.beginnings import Begun, beginnings
from workflow_scripts.em.backends.blocks import blocks_of
from workflow_scripts.em.backends.generate_transformers import Generator
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.layers import layers_of, point
from workflow_scripts.em.readings import Text, texts_of


class Enough(Exception):
    """The last block that is read has been left; no more of the model is run."""


def write_reading(
    path: Path,
    generator: Generator,
    asked: list[tuple[Ask, str]],
    about: dict[str, Any],
    batch_size: int,
    told: Callable[[int], None] = lambda n: None,
) -> None:
    """Read what was asked and said with a model, and write the file.

    about: convention, layers (numbers or `all`) and span say what is read; `rows` maps a column to a value of each of
    `asked`. In the file it says what was read: the layers by number and the rows of answers with a token of the span,
    the ids of the others being `left_out`, among them those longer than the model's context: an answer's tokens are
    those of its text tokenised again, which may be more than were written. It also says what decides the last digits:
    `device`, `batch_size`, and whether that is so in the same way in any batch (`batch_invariant`, float32).
    `told` is called with how many more were read or left out. Raises UserError when the model cannot be read.
    """
    blocks = len(blocks_of(generator.model))
    layers = layers_of(about["convention"], blocks) if about["layers"] == "all" else about["layers"]
    points = [point(about["convention"], layer, blocks) for layer in layers]
    texts = texts_of(generator.tokenizer, asked, about["span"])
    limit = generator.limit or math.inf
    fits = [text.n_tokens > 0 and len(text.ids) <= limit for text in texts]
    read = [place for place, fit in enumerate(fits) if fit]
    about = about | {
        "layers": layers,
        "rows": {name: [values[place] for place in read] for name, values in about["rows"].items()},
        "left_out": [name for name, fit in zip(about["rows"]["id"], fits, strict=True) if not fit],
        "device": generator.model.device.type,
        "batch_size": batch_size,
        "batch_invariant": generator.model.dtype == torch.float32,
    }
    told(len(texts) - len(read))
    texts = [texts[place] for place in read]
    hidden = generator.model.config.get_text_config().hidden_size
    with rows_file(path, layers, hidden, [text.n_tokens for text in texts], about) as put:
        for place, values in means(generator, texts, points, batch_size):
            put(place, values)
            told(1)


def means(
    generator: Generator, texts: list[Text], points: list[int], batch_size: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The mean hidden state of each text's spans: (place in `texts`, (points, hidden) float32), in no order.

    points: as `layers.point` counts them. Equal texts are read once, and so is what several texts begin with before
    their spans: a prompt, of which all samples are answers. The longest come first, so memory peaks at the start; a
    batch that it does not hold is halved. Raises UserError when a single one is too much, or when the model computes no
    numbers.
    """
    same: dict[Text, list[int]] = {}
    for place, text in enumerate(texts):
        same.setdefault(text, []).append(place)
    for begun, group in beginnings(generator, list(same), batch_size):
        order = sorted(group, key=lambda text: (len(text.ids) - begun.length(text), text.ids), reverse=True)
        read = lambda batch: _means(generator, batch, points, begun)  # noqa: E731,B023  (read within this round)
        for batch, found in generator.fitting.batches(order, batch_size, read, lambda text: len(text.ids)):
            yield from ((place, values) for text, values in zip(batch, found, strict=True) for place in same[text])


@torch.inference_mode()
def _means(generator: Generator, batch: list[Text], points: list[int], begun: Begun) -> list[np.ndarray]:
    model, where = generator.model, generator.model.device
    # Filled on the right, where a causal model does not look: a text by itself needs no mask and no positions.
    longest = len(batch[0].ids) - begun.length(batch[0])
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    inside = torch.zeros(len(batch), 1, longest)
    for row, text in enumerate(batch):
        known = begun.length(text)
        ids[row, : len(text.ids) - known] = torch.tensor(text.ids[known:])
        for start, end in text.spans:
            inside[row, 0, start - known : end - known] = 1
    ids, inside = ids.to(where), inside.to(where)
    found: dict[int, torch.Tensor] = {}

    def keep(at: int, state: Any) -> None:
        state = state[0] if isinstance(state, tuple) else state
        found[at] = torch.bmm(inside, state.float()).squeeze(1) / inside.sum(-1)

    _run(model, {"input_ids": ids} | begun.before(batch, longest), set(points), keep)
    every = torch.stack([found[at] for at in points], 1).cpu()
    if not every.isfinite().all():
        raise UserError(
            f"{generator.name}: its hidden states are no finite numbers; its training has diverged (lower the learning "
            "rate), or dtype: bfloat16 is too coarse for it (use float32)"
        )
    return list(every.numpy())


def _run(model: Any, inputs: dict[str, Any], points: set[int], keep: Any) -> None:
    """Run the decoder, no further than is needed, and `keep` (point, hidden states) what is asked for."""
    blocks, hooks = blocks_of(model), []

    def after(at: int, last: bool) -> Any:
        def hook(module: Any, given: Any, state: Any) -> None:
            keep(at, state)
            if last:
                raise Enough

        return hook

    def before(module: Any, given: tuple, named: dict) -> None:
        keep(0, given[0] if given else named["hidden_states"])
        if points == {0}:
            raise Enough

    try:
        if 0 in points:
            hooks.append(blocks[0].register_forward_pre_hook(before, with_kwargs=True))
        for at in points - {0, -1}:
            last = at == max(points) and -1 not in points
            hooks.append(blocks[at - 1].register_forward_hook(after(at, last)))
        state = model.get_decoder()(**inputs, use_cache="past_key_values" in inputs).last_hidden_state
        if -1 in points:
            keep(-1, state)
    except Enough:
        pass
    finally:
        for hook in hooks:
            hook.remove()
