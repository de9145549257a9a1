"""Talk with a checkpoint of a study, or with several side by side: the same words, all answers."""

import argparse
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.provenance import run
from workflow_scripts.em.sandbox import Chat, authors, locate
from workflow_scripts.em.study_files import load_plan

HELP = "/reset forgets the conversation, /system TEXT sets the system prompt (alone: none), /temperature X, /quit"


def show(chat: Chat, text: str) -> None:
    """Ask and print the answers as they come."""
    for label, answer in chat.say(text):
        print(f"{label}> {answer.strip()}\n" if len(chat.sides) > 1 else f"{label}> {answer.strip()}", flush=True)


def command(chat: Chat, line: str) -> None:
    """Do what a line that begins with / says. Raises UserError for one that is none."""
    name, _, value = line.partition(" ")
    if name == "/reset":
        chat.reset()
        print("(forgotten)")
    elif name == "/system":
        chat.system = value.strip() or None
        chat.reset()
        print(f"(system prompt: {chat.system or 'none'}; the conversation begins anew)")
    elif name == "/temperature":
        try:
            chat.sampling["temperature"] = max(0.0, float(value))
        except ValueError:
            raise UserError("/temperature takes a number, such as 0.7") from None
    else:
        raise UserError(HELP)


def talk(chat: Chat) -> None:
    """Read lines until /quit or the end of the input."""
    print(HELP)
    while True:
        try:
            line = input("you> ").strip()
        except EOFError:
            return
        if line == "/quit":
            return
        try:
            if line.startswith("/"):
                command(chat, line)
            elif line:
                show(chat, line)
        except UserError as error:
            print(f"({error})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"In the conversation: {HELP}.")
    parser.add_argument("--configfile", nargs="+", default=[Path("config.yaml")], type=Path, help="the study")
    parser.add_argument("--organism", required=True, help="organism's name")
    parser.add_argument("--stage", help="stage; none = its last")
    parser.add_argument("--step", type=int, help="checkpoint's step, 0 = before training; none = the last")
    parser.add_argument("--train-seed", type=int, help="training seed; none = the organism's first")
    parser.add_argument(
        "--against", nargs="+", default=[], metavar="NAME[:STEP]", help="others to ask too: name, or name:step"
    )
    parser.add_argument("--ask", metavar="TEXT", help="one question, and no conversation")
    parser.add_argument("--system", help="system prompt")
    parser.add_argument("--temperature", type=float, default=1.0, help="sampling temperature; 0 = greedy")
    parser.add_argument("--top-p", type=float, default=1.0, help="nucleus sampling")
    parser.add_argument("--max-new-tokens", type=int, default=200, help="longest answer")
    parser.add_argument("--seed", type=int, default=0, help="sampling seed")
    parser.add_argument("--raw", action="store_true", help="texts to go on from, without chat template (base models)")
    args = parser.parse_args()
    plan = load_plan(args.configfile)
    found = [locate(plan, args.organism, args.train_seed, args.stage, args.step)]
    for other in args.against:
        name, _, step = other.partition(":")
        if step and not step.isdecimal():
            raise UserError(f"--against {other}: a step is a number, such as {name}:0")
        found.append(locate(plan, name, None, None, int(step) if step else None))
    names = [label for label, _ in found]
    sides = list(zip(names, authors([entry for _, entry in found]), strict=True))
    sampling = {"temperature": args.temperature, "top_p": args.top_p, "max_new_tokens": args.max_new_tokens}
    chat = Chat(sides, args.system, sampling, args.raw, args.seed)
    if args.ask is not None:
        show(chat, args.ask)
    else:
        talk(chat)


if __name__ == "__main__":
    run(main)
