"""Generate the responses of all checkpoints of one base model with one vLLM server; answers go to their journals."""

import json
import sys
from pathlib import Path
from typing import Any

from workflow_scripts.em.engine_options import CPU, engine_gpus
from workflow_scripts.em.engine_work import Work
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import write_json
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.em.requests import Checkpoint
from workflow_scripts.generate import arguments, asked


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", required=True, type=Path, help="model record (JSON) of the base model")
    about = "JSON: list of [organism, seed, stage, step, checkpoint folder or null]"
    parser.add_argument("--checkpoints", required=True, type=json.loads, help=about)
    parser.add_argument("--engine", required=True, type=json.loads, help="the config's generation.engine, JSON")
    parser.add_argument("--out", required=True, type=Path, help="what was asked (JSON), written when all is answered")
    args = parser.parse_args()
    folders = [Path(folder) for *_, folder in args.checkpoints if folder]
    params = {name: getattr(args, name) for name in ("checkpoints", "conditions", "question_sets", "dtype")}
    with recorded("ask_engine", params, [args.model, *folders], args.out) as record:

        def asks(organism: str, seed: int, stage: str, step: int) -> list:
            return [request.ask() for request in asked(args, Checkpoint(organism, seed, stage, step))]

        work = Work(args.model, args.checkpoints, asks, args.dtype, args.engine, args.journal)
        summary = {"engine": work.identity, "responses": work.responses, "from_journal": work.responses - work.todo}
        tries = 0
        while work.todo and tries < 2:
            tries += 1
            from workflow_scripts.em.backends.vllm_server import ServerGone

            try:
                work.run()
            except ServerGone as error:
                if tries == 2:
                    raise UserError(f"the engine failed twice; the answers are kept. {error}") from None
                print(f"warning: {error}\nonce more, for what is missing", file=sys.stderr, flush=True)
        starts = 0 if args.engine["url"] else tries
        summary |= {"engine_starts": starts, "tokens": work.tokens, "seconds": round(work.seconds, 1)}
        write_json(args.out, summary)
        record |= summary | ({"hardware": ran_on(args.engine, work.identity[1])} if tries else {})


def ran_on(engine: dict[str, Any], version: str) -> str:
    """What the answers were made on, for the record; PyTorch here may be without CUDA where vLLM's own is not."""
    if engine["url"]:
        return "a server that was running"
    from workflow_scripts.em.backends.models import hardware

    found = hardware()
    return f"{engine_gpus(engine)} x GPU" if found.startswith("CPU") and not version.endswith(CPU) else found


if __name__ == "__main__":
    run(main)
