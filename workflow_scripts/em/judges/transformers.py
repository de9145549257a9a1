"""A local model, run in process by transformers, as a judge."""

from collections.abc import Callable, Iterable
from importlib import metadata
from itertools import islice
from typing import Any

from workflow_scripts.em.codedigest import code_digest
from workflow_scripts.em.gpus import claim
from workflow_scripts.em.judges import Call
from workflow_scripts.em.judges.local import LocalJudge

BACKEND = "workflow_scripts.em.backends.judge_transformers"
# Batches of like length are made of so many batches' worth of calls; more would only cost memory.
WINDOW = 16


class Judge(LocalJudge):
    """Identified by model, dtype, our code and the versions that compute the answers, as sampled responses are."""

    def __init__(self, spec: dict[str, Any]):
        versions = [metadata.version(name) for name in ("torch", "transformers")]
        super().__init__(spec, [code_digest(BACKEND), *versions])

    def ask(self, calls: Iterable[Call], done: Callable[[Call, dict], None]) -> None:
        """Ask in windows of length-sorted batches; the model is loaded when there is something to ask."""
        requests, model, size = self.requests(calls), None, self.spec["batch_size"]
        while window := list(islice(requests, WINDOW * size)):
            if model is None:
                claim(1)
                from workflow_scripts.em.backends import judge_transformers, models

                models.set_threads()
                model = judge_transformers.JudgeModel(self.record, self.spec["dtype"], self.model_name)
            # An answer's randomness comes from its key, so it does not depend on its place or its company.
            asked = [(body, int(self.key(call), 16)) for call, body in window]
            for index, reply in model.replies(asked, size):
                done(window[index][0], reply)
