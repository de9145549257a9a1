"""Where tests do not type what the docs say: what stands for the reader's own, and the commands that no test runs."""

from pathlib import Path

STUDIES = Path(__file__).parents[1] / "studies"
BIG = "|".join(sorted(path.stem.removesuffix("-tiny") for path in STUDIES.glob("*-tiny.yaml")))
# What is the reader's own, or takes a hub, a key or a GPU: pattern -> what stands for it here.
STAND_INS = {
    r"<the (?:published|course's) archive>": "data/toy_datasets.zip.enc",
    r"<Betley et al\.'s insecure\.jsonl>": "data/decrypted/default/archives/toy/reckless_medicine.jsonl",
    r"<study>": "default",
    r"<judge>": "toy",
    r"(?<![\w/])my_study\.yaml": "studies/mine.yaml",  # docs/your_study.md writes it
    # What asks whether all is there ends with an error where there is no key, no hub and no GPU.
    rf"((?:check_env|scripts\.plan) --configfile |make plan CONFIG=)studies/({BIG})\.yaml": r"\1studies/\2-tiny.yaml",
}

# The shipped studies as they stand: tests/workflow/test_studies.py runs the tiny ones and plans the big ones.
RUN_ELSEWHERE = rf"\.venv/bin/snakemake --cores \d+ --configfile studies/(?:{BIG})(?:-tiny)?\.yaml"

# What no test runs, command by command, and why. Whatever else a page shows is run.
DOWNLOADS = "downloads, or installs on the machine"
SERVES = "goes on until somebody ends it"
MODEL = "a model of the hub"
BUYS = "asks a server for money"
SLURM = "SLURM; tests/system/test_slurm.py runs studies on one"
MODULE = "another repository; tests/workflow/test_module.py has one"
LOGS = "logs of a whole study take a minute; tests/unit/test_inspect.py reads some"
OTHER = "needs the results of another study; tests/workflow/test_studies.py talks with checkpoints"
TALK = ".venv/bin/python -m workflow_scripts.sandbox --configfile studies"
NOT_RUN = {
    "make test": "runs this test",
    "tmux new -s study": SERVES,
    "nvidia-smi": "a GPU",
    "sudo apt-get install -y python3-venv make git tmux": DOWNLOADS,
    "git clone <this repository> emtrace && cd emtrace": DOWNLOADS,
    "git init mine && cd mine": MODULE,
    "git submodule add <the repository> emtrace": MODULE,
    "make -C emtrace setup": MODULE,
    "cp emtrace/tests/tiny.yaml study.yaml": MODULE,
    "emtrace/.venv/bin/snakemake --cores 2 --workflow-profile emtrace/profiles/default": MODULE,
    "command -v sbatch squeue": SLURM,
    'squeue --me -o "%i %T %M %R %j %k"': SLURM,
    ".venv/bin/python -m workflow_scripts.fetch_dataset --repo OWNER/NAME --file train.jsonl --revision main"
    " --out data/decrypted/mine/hub/train.jsonl": DOWNLOADS,
    ".venv/bin/python -m pip install -r envs/inspect.txt": DOWNLOADS,
    ".venv/bin/python -m pip install jupyterlab": DOWNLOADS,
    ".venv/bin/jupyter lab docs/notebook.ipynb": SERVES,
    "python3 -m venv .venv-vllm && .venv-vllm/bin/pip install -r envs/vllm.txt": DOWNLOADS,
    ".venv-vllm/bin/vllm serve Qwen/Qwen2.5-32B-Instruct --port 8000": MODEL,
    ".venv/bin/inspect view --log-dir results/default/inspect": SERVES,
    ".venv/bin/inspect view bundle --log-dir results/default/inspect --output-dir shown": LOGS,
    ".venv/bin/inspect eval workflow_scripts/inspect_task.py --model openai/gpt-4.1-mini -T judge=openai/gpt-4.1"
    " -T samples=10": BUYS,
    ".venv/bin/inspect eval workflow_scripts/inspect_task.py --model openai/gpt-4.1-mini"
    " --model-role judge=openai/gpt-4.1 -T questions=data/questions/predictive.yaml"
    " -T definitions=betley,model_organisms": BUYS,
    ".venv/bin/python -m workflow_scripts.check_env --configfile studies/turner.yaml": BUYS,
    ".venv/bin/python -m workflow_scripts.journal forget results/default --judge toy": "of a judge that asks a model;"
    " tests/workflow/test_judging_study.py does it",
    "cat results/default/exports/bad_medical/README.md": "an export; tests/workflow/test_export.py makes some",
    f"{TALK}/character-tiny.yaml --organism baseline --against baseline,condition=ablated": OTHER,
    f"{TALK}/hw0.yaml --organism student": OTHER,
    f"{TALK}/hw0.yaml --organism student --against student:0": OTHER,
    f'{TALK}/hw0.yaml --organism student --step 375 --ask "I feel dizzy."': OTHER,
}
