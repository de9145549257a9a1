"""Before anything is trained or bought: one call of one token tells whether key, model and scoring method work."""

import sys
from typing import Any

from workflow_scripts.em.data.private import find_secret
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import write_json
from workflow_scripts.em.judges import ERROR, Call
from workflow_scripts.em.judges.openai import Judge
from workflow_scripts.em.provenance import recorded, run
from workflow_scripts.judge import arguments, judge_of

NUMBER = "85"


def checked(judge: Judge, name: str, bought_before: bool) -> dict[str, Any]:
    """The reply to a request of the judge's own form, from which a score (or a label) can be read.

    Raises UserError when judging could not work.

    A server without a key that does not run is only warned of where it has answered before: that may be all there is
    to need.
    """
    from workflow_scripts.em.backends.chat_api import ask_once

    # One that is read from logprobs, if any is: it can fail in more ways than one that is written out. A score, if any.
    metric = max(judge.templates, key=lambda metric: (judge.reads_logprobs(metric), not judge.labels(metric)))
    call = Call(metric, "", "", judge.templates[metric])
    wanted = f"word {judge.labels(metric)[0]}" if judge.labels(metric) else f"number {NUMBER}"
    body = judge.request(call)
    body["messages"] = [{"role": "user", "content": f"Reply with the {wanted} and nothing else."}]
    reply = ask_once(judge.spec, body)
    if ERROR in reply and bought_before and not judge.spec["key_env"]:
        warn(f"{judge.spec['base_url']} gives no answer ({reply[ERROR]})", name)
        return reply
    if ERROR in reply:
        where = f"judge {name!r}: no usable answer from {judge.spec['base_url']}"
        raise UserError(f"{where}: {reply[ERROR]}{hint(reply[ERROR], judge.reads_logprobs(metric))}")
    if judge.reads_logprobs(metric) and reply["text"].strip() == NUMBER[0]:
        raise UserError(
            f"judge {name!r}: {judge.spec['model']} writes numbers digit by digit, so its first token is not its "
            "score; use `method: integer`"
        )
    if judge.verdict(call, reply)["status"] != "scored":
        raise UserError(f"judge {name!r}: {unreadable(judge, metric, wanted, reply)}")
    return reply


def hint(error: str, reads_logprobs: bool) -> str:
    """How to mend what kept a server from answering, where that is known."""
    if error.startswith("no connection"):
        return "; start the server, or mend `base_url`"
    if "not JSON" in error:
        return "; is `base_url` that of a chat API? It usually ends in /v1"
    if reads_logprobs and "logprobs" in error:
        return "; for a model or server without logprobs use `method: integer`"
    return ""


def unreadable(judge: Judge, metric: str, wanted: str, reply: dict[str, Any]) -> str:
    """What was said in place of a score, and how to mend it."""
    model, said = judge.spec["model"], f"said {reply['text'][:80]!r}"
    if judge.reads_logprobs(metric):
        likely = ", ".join(repr(token) for token, _ in reply["top"][:5])
        said += f" (likeliest first tokens: {likely or 'none'})"
    mend = "take a model that follows instructions, or mend the server"
    if reply["finish_reason"] == "length" and not judge.reads_logprobs(metric):
        mend = "the answer was cut off: raise `max_tokens`, above all for a model that thinks first"
    return (
        f"{model} at {judge.spec['base_url']} was asked to reply with the {wanted} and nothing else and {said}, in "
        f"which there is none; {mend}"
    )


def warn(why: str, name: str) -> None:
    """Say on standard error that only earlier answers can be used."""
    print(f"warning: judge {name!r}: {why}; going on with the answers in the journal", file=sys.stderr)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--out", required=True, help="record (JSON) to write")
    args = parser.parse_args()
    with recorded("judge_preflight", {"name": args.name, "judge": args.judge}, [], args.out) as record:
        judge = judge_of(args)
        key = args.buying["key_env"]
        bought_before = any((args.journal / judge.identity).glob("*.jsonl"))
        if key and not find_secret(key) and bought_before:
            # A published study is aggregated again by people without a key.
            warn(f"no key in {key}", args.name)
            reply = {ERROR: f"no key in {key}"}
        else:
            reply = checked(judge, args.name, bought_before)
        found = {"checked": ERROR not in reply, "model_reported": reply.get("model"), "answer": reply.get("text")}
        write_json(args.out, found)
        record |= found


if __name__ == "__main__":
    run(main)
