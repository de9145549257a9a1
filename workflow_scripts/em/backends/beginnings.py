"""What several texts begin with is read once: keys and values are computed for one of them, and lent to the others."""

import inspect
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from workflow_scripts.em.backends.generate_transformers import Generator
from workflow_scripts.em.readings import Text


class Begun:
    """Beginnings that have been read: a cache with a row for each, filled on the right. Without, texts are whole."""

    def __init__(self, known: Sequence[tuple[int, ...]] = (), cache: DynamicCache | None = None):
        self.rows = {ids: row for row, ids in enumerate(known)}
        self.cache = cache

    def length(self, text: Text) -> int:
        """How many of a text's tokens have been read."""
        return len(_beginning(text)) if self.rows else 0

    def before(self, batch: list[Text], longest: int) -> dict[str, Any]:
        """What a decoder is given beside the tokens that follow (at most `longest` a text): cache, mask, positions."""
        if not self.rows:
            return {}
        cache, rows = DynamicCache(), torch.tensor([self.rows[_beginning(text)] for text in batch])
        for number, layer in enumerate(self.cache.layers):
            at = rows.to(layer.keys.device)
            cache.update(layer.keys[at], layer.values[at], number)
        where = cache.layers[0].keys.device
        lengths = torch.tensor([[self.length(text)] for text in batch], device=where)
        read = torch.arange(cache.get_seq_length(), device=where) < lengths
        after = torch.ones(len(batch), longest, dtype=torch.bool, device=where)
        mask = torch.cat([read, after], 1).long()
        return {
            "past_key_values": cache,
            "attention_mask": mask,
            "position_ids": lengths + torch.arange(longest, device=where),
        }


def beginnings(generator: Generator, texts: list[Text], batch_size: int) -> Iterator[tuple[Begun, list[Text]]]:
    """Texts in groups, each with what they begin with, read once. Those that share nothing are a group of their own.

    So are all of them where a model's cache is not one row a text that grows token by token (sliding windows, state
    spaces), where its decoder is not told positions, or where blocks look back so many places (GPT-Neo's local ones).
    """
    often = Counter(map(_beginning, texts))
    shared = sorted((ids for ids, n in often.items() if n > 1 and ids), key=lambda ids: (len(ids), ids), reverse=True)
    local = getattr(generator.model.config.get_text_config(), "attention_layers", None) or ()
    if "local" in local or "position_ids" not in inspect.signature(generator.model.get_decoder().forward).parameters:
        shared = []
    alone = [text for text in texts if not shared or often[_beginning(text)] == 1 or not _beginning(text)]
    of: dict[tuple, list[Text]] = {}
    for text in texts if shared else ():
        of.setdefault(_beginning(text), []).append(text)
    read = lambda batch: [_cache(generator.model, batch)]  # noqa: E731
    for known, (cache,) in generator.fitting.batches(shared, batch_size, read, len):
        group = [text for ids in known for text in of[ids]]
        if cache is None:
            alone += group
        else:
            yield Begun(known, cache), group
    if alone:
        yield Begun(), alone


def _beginning(text: Text) -> tuple[int, ...]:
    return text.ids[: text.spans[0][0]]


@torch.inference_mode()
def _cache(model: Any, batch: list[tuple[int, ...]]) -> DynamicCache | None:
    """The keys and values of beginnings, the longest first; None where they cannot be lent."""
    ids = torch.zeros(len(batch), len(batch[0]), dtype=torch.long)
    for row, beginning in enumerate(batch):
        ids[row, : len(beginning)] = torch.tensor(beginning)
    cache = model.get_decoder()(input_ids=ids.to(model.device), use_cache=True).past_key_values
    plain = isinstance(cache, DynamicCache) and all(type(layer) is DynamicLayer for layer in cache.layers)
    return cache if plain else None
