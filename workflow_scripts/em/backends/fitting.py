"""Batches that fit the memory: halved when it is short."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from workflow_scripts.em.errors import UserError

# What PyTorch says on a CPU, where it has no error of its own for this.
CPU_SAYS = "can't allocate memory"


class Fitting:
    """Cuts work into batches; once a batch was too large, later ones hold at most half of its tokens."""

    def __init__(self) -> None:
        self.most: int | None = None

    def batches(
        self, work: Sequence[Any], size: int, answer: Callable[[Sequence[Any]], list], length: Callable[[Any], int]
    ) -> Iterator[tuple[Sequence[Any], list]]:
        """`answer` the items of `work`, at most `size` at once, in order. Yields (items, answers), batch by batch.

        length: tokens that an item takes; the longest comes first. Raises UserError when a single item does not fit.
        """
        start = 0
        while start < len(work):
            # By tokens: short prompts after a long one that did not fit get larger batches again.
            longest = length(work[start])
            fits = size if self.most is None else max(1, min(size, self.most // longest))
            batch = work[start : start + fits]
            try:
                answers = answer(batch)
            except RuntimeError as error:
                if not isinstance(error, torch.OutOfMemoryError) and CPU_SAYS not in str(error):
                    raise
                answers = None
            # Out of the `except`: its traceback holds the tensors of the batch.
            if answers is None:
                self._halve(len(batch), longest)
                continue
            yield batch, answers
            start += len(batch)

    def _halve(self, rows: int, longest: int) -> None:
        if rows == 1:
            raise UserError(
                "one prompt and its answer do not fit the memory beside the model; lower max_new_tokens, use "
                "dtype: bfloat16, or an engine over several GPUs (backend: vllm with tensor_parallel)"
            )
        torch.cuda.empty_cache()
        self.most = rows // 2 * longest
        print(f"out of memory with {rows} prompts: going on with {rows // 2}", file=sys.stderr, flush=True)
