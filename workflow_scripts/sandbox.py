"""Talk with a checkpoint of a study, or with several side by side: the same words, all answers."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.provenance import run
from workflow_scripts.em.sandbox import Chat, load
from workflow_scripts.em.sandbox_sides import Where, listed, locate, parsed
from workflow_scripts.em.study_files import load_plan

HELP = """/system TEXT sets the system prompt (alone: none) and begins anew; /reset forgets the conversation;
/seed N sets the sampling seed; /temperature X; /list what else is there; /help; /quit (or Ctrl-D)"""


def show(chat: Chat, text: str) -> None:
    """Ask and print the answers as they come."""
    for label, answer in chat.say(text):
        print(f"{label}> {answer.strip()}", end="\n\n" if len(chat.sides) > 1 else "\n", flush=True)


def command(chat: Chat, line: str, there: str) -> None:
    """Do what a line that begins with / says; `there`: what there is to talk with. Raises UserError for any other."""
    name, value = (part.strip() for part in line.partition(" ")[::2])
    if name == "/reset":
        chat.reset()
        print("(forgotten)")
    elif name == "/system":
        chat.system = value or None
        chat.reset()
        print(f"(system prompt: {chat.system or 'none'}; the conversation begins anew)")
    elif name == "/temperature":
        try:
            chat.sampling["temperature"] = max(0.0, float(value))
            print(f"(temperature {chat.sampling['temperature']:g})")
        except ValueError:
            raise UserError("/temperature takes a number, such as 0.7") from None
    elif name == "/seed":
        if not value.isdecimal():
            raise UserError("/seed takes a whole number, such as 1")
        chat.seed = int(value)
        print(f"(sampling seed {chat.seed})")
    elif name == "/list":
        print(there)
    elif name == "/help":
        print(HELP)
    else:
        raise UserError(f"no command {name}\n{HELP}")


def lines() -> Iterator[str]:
    """What the user says. Of a script the lines are printed too, so that its output can be read by itself."""
    typed = sys.stdin.isatty()
    if typed:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  arrow keys and history
    with contextlib.suppress(EOFError):
        while True:
            line = input("you> " if typed else "").strip()
            if line and not typed:
                print(f"you> {line}", flush=True)
            yield line
    print(end="\n" if typed else "")


def talk(chat: Chat, there: str) -> None:
    """Talk until /quit or the end of the input. Ctrl-C takes back what is being answered, and else ends."""
    if sys.stdin.isatty():
        print(HELP)
    for line in lines():
        if line == "/quit":
            return
        try:
            if line.startswith("/"):
                command(chat, line, there)
            elif line:
                show(chat, line)
        except UserError as error:
            print(f"({error})")
        except KeyboardInterrupt:
            load(chat.sides)  # a checkpoint may have been half put on
            print("\n(taken back)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"In the conversation: {HELP}")
    parser.add_argument("--configfile", nargs="+", default=[Path("config.yaml")], type=Path, help="the study")
    parser.add_argument("--organism", help="organism's name; none = list what there is")
    parser.add_argument("--stage", help="stage; none = its last")
    parser.add_argument("--step", type=int, help="checkpoint's step, 0 = before training; none = the last")
    parser.add_argument("--train-seed", type=int, help="training seed; none = the organism's first")
    parser.add_argument("--condition", help="condition of the study to ask it under: system prompt, mode, steering")
    others = "others to ask too: a name, name:step, or name:step,seed=1,stage=em,condition=careful"
    parser.add_argument("--against", nargs="+", default=[], metavar="NAME", type=parsed, help=others)
    parser.add_argument("--ask", metavar="TEXT", help="one question, and no conversation")
    parser.add_argument("--system", help="system prompt, before that of a condition")
    parser.add_argument("--temperature", type=float, default=1.0, help="sampling temperature; 0 = greedy")
    parser.add_argument("--top-p", type=float, default=1.0, help="nucleus sampling")
    parser.add_argument("--max-new-tokens", type=int, default=200, help="longest answer")
    parser.add_argument("--seed", type=int, default=0, help="sampling seed: the same one gives the same answers")
    parser.add_argument("--raw", action="store_true", help="texts to go on from, without chat template (base models)")
    args = parser.parse_args()
    plan = load_plan(args.configfile)
    if args.organism is None:
        print(listed(plan))
        return
    first = Where(args.organism, args.step, args.train_seed, args.stage, args.condition)
    sides = [locate(plan, where) for where in (first, *args.against)]
    load(sides)
    sampling = {"temperature": args.temperature, "top_p": args.top_p, "max_new_tokens": args.max_new_tokens}
    chat = Chat(sides, args.system, sampling, args.raw, args.seed)
    if args.ask is not None:
        show(chat, args.ask)
    else:
        talk(chat, listed(plan))


if __name__ == "__main__":
    run(main)
