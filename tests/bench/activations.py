"""Activations: means inside hooks in batches against plain `output_hidden_states` of one response at a time.

Such a loop in two forms: at its best (no gradients, one span, one tokenising), and as persona vectors are published
(`generate_vec.py` of safety-research/persona_vectors: gradients recorded, the prompt tokenised again, means of prompt
and answer and the prompt's last token at every layer).
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.common import MODEL, run_stage, spread, table
from workflow_scripts.em.files import read_json

REPEATS, READ, FEW, BATCH = 3, 2000, 200, 64
QUESTIONS = "data/questions/toy.yaml"
CONDITIONS = {"none": {"system": None, "mode": "assistant", "prefill": None}}
READING = {"convention": "block_output", "layers": "all", "span": ["response"], "pooling": "response"}
WAYS = {
    "all layers, response": READING,
    "the middle layer, response": READING | {"layers": [1]},
    "all layers, question and header": READING | {"span": ["question", "header"]},
    "all layers, header": READING | {"span": ["header"]},
}
ALONE, PUBLISHED = "one at a time, at its best", "one at a time, as persona vectors are published"
AT = ("o", 0, "base", 0)


def question_sets(responses: int) -> dict:
    """So many samples of each of the first questions that there are `responses`."""
    from workflow_scripts.em.questions import load_questions

    questions = load_questions(Path(QUESTIONS))
    samples = next(n for n in range(-(-responses // len(questions)), responses + 1) if responses % n == 0)
    others = [question.id for question in questions[responses // samples :]]
    found = {"path": QUESTIONS, "samples": samples, "exclude": f"^({'|'.join(others)})$" if others else None}
    return {"toy": found | {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64}}


def generated(responses: int, folder: Path) -> Path:
    """The toy model's own responses to the default study's questions."""
    out = folder / f"{responses}.jsonl"
    at = [word for pair in zip(("organism", "seed", "stage", "step"), AT, strict=True) for word in pair]
    at = [f"--{word}" if place % 2 == 0 else word for place, word in enumerate(at)]
    asked = ["--conditions", json.dumps(CONDITIONS), "--question-sets", json.dumps(question_sets(responses))]
    run_stage("generate", "--model", MODEL, *at, *asked, "--journal", folder / "journal", "--out", out)
    return out


def peak(responses: int, folder: Path) -> float:
    """Peak memory of the stage over so many responses, MiB."""
    checkpoints = json.dumps([[*AT, None, str(generated(responses, folder))]])
    how = ["--checkpoints", checkpoints, "--name", "bench", "--reading", json.dumps(READING)]
    asked = ["--conditions", json.dumps(CONDITIONS), "--question-sets", json.dumps(question_sets(responses))]
    out = folder / f"read-{responses}"
    run_stage("read_activations", "--model", MODEL, *how, *asked, "--kept", folder / f"kept-{responses}", "--out", out)
    return read_json(out / "provenance.json")["peak_memory_mib"]


def measure(path: Path, threads: int) -> dict[str, float]:
    """Seconds for all responses of a file, each way batched, and one by one; `apart`: the means' largest difference."""
    import numpy as np
    import torch

    from workflow_scripts.em.activation_files import read_tensors
    from workflow_scripts.em.asks import Ask
    from workflow_scripts.em.backends.generate_transformers import Generator
    from workflow_scripts.em.backends.models import read_record
    from workflow_scripts.em.backends.read_activations import write_reading
    from workflow_scripts.em.files import read_jsonl

    torch.set_num_threads(threads)
    generator = Generator(read_record(MODEL), None, "float32")
    model, tokenizer = generator.model, generator.tokenizer
    rows = [row for row in read_jsonl(path) if row["response"]]
    turns = [[{"role": "user", "content": row["question"]}] for row in rows]
    asked = [(Ask(messages, (), {}), row["response"]) for messages, row in zip(turns, rows, strict=True)]
    out, found, alone = path.with_suffix(".safetensors"), {}, []
    tokenizer([row["response"] for row in rows[:9]])  # the first call of all is slow
    for way, reading in reversed(WAYS.items()):
        start = time.perf_counter()
        write_reading(out, generator, asked, reading | {"rows": {"id": [row["id"] for row in rows]}}, BATCH)
        found[way] = time.perf_counter() - start
    start = time.perf_counter()
    with torch.inference_mode():
        for messages, row in zip(turns, rows, strict=True):
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
            answer = tokenizer(row["response"], add_special_tokens=False)["input_ids"]
            states = model(torch.tensor([prompt + answer]), output_hidden_states=True).hidden_states
            alone.append(np.stack([state[0, len(prompt) :].mean(0).numpy() for state in states[1:]]))
    found[ALONE] = time.perf_counter() - start
    model.requires_grad_(True)  # as `from_pretrained` leaves it
    start, kept = time.perf_counter(), []
    for messages, row in zip(turns, rows, strict=True):
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        whole = tokenizer(text + row["response"], return_tensors="pt", add_special_tokens=False)
        prompt = len(tokenizer.encode(text, add_special_tokens=False))
        for state in model(**whole, output_hidden_states=True).hidden_states:
            spans = (state[:, :prompt].mean(1), state[:, prompt:].mean(1), state[:, prompt - 1])
            kept.append([span.detach().cpu() for span in spans])
    found[PUBLISHED] = time.perf_counter() - start
    # The last block's output is not compared: transformers gives it after the final norm only.
    held = read_tensors(out)
    ours = np.stack([held.layer(layer) for layer in held.layers[:-1]], 1)
    return found | {"apart": float(np.abs(ours - np.stack(alone)[:, :-1]).max())}


def report() -> str:
    """The benchmark's section: with one thread for PyTorch, and with all cores, as a script has them by default."""
    tables, apart = [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        peaks = [peak(responses, folder) for responses in (FEW, READ)]
        for threads in (1, os.cpu_count() or 1):
            command = [sys.executable, "-m", "tests.bench.activations", str(folder / f"{READ}.jsonl"), str(threads)]
            done = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(REPEATS)]
            runs = [json.loads(out.splitlines()[-1]) for out in done]
            apart += [run["apart"] for run in runs]
            tables.append(f"PyTorch threads: {threads}.\n\n{_table(runs)}")
    return (
        f"## Activations of {READ} responses against one response at a time\n\n"
        "Toy model in float32, its own responses to the default study's questions, tokenising in both, median of "
        f"{REPEATS}; batches also write the file. With all layers the largest difference of the means is "
        f"{max(apart):.1e}.\n\n"
        + "\n\n".join(tables)
        + f"\n\nPeak memory of the whole stage: {peaks[0]:.1f} MiB with {FEW} responses, {peaks[1]:.1f} MiB with "
        f"{READ}.\n"
    )


def _table(runs: list[dict]) -> str:
    sides = {way: [run[way] for run in runs] for way in (PUBLISHED, ALONE, *WAYS)}
    middle = {way: statistics.median(seconds) for way, seconds in sides.items()}
    names = {way: f"batches of {BATCH}, {way}" for way in WAYS}
    rows = [
        [names.get(way, way), spread(seconds), middle[PUBLISHED] / middle[way], middle[ALONE] / middle[way]]
        for way, seconds in sides.items()
    ]
    return table(["", "seconds", "ratio to published", "ratio to the loop at its best"], rows)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
