"""Profiles as Snakemake reads them."""

import re

from snakemake.profiles import ProfileConfigFileParser


def read(root, name: str) -> dict:
    with open(root / f"profiles/{name}/config.yaml", encoding="utf-8") as handle:
        return ProfileConfigFileParser().parse(handle)


def test_a_partition_given_once_is_that_of_every_rule_that_may_hold_a_gpu(root, tmp_path):
    text = (
        (root / "profiles/slurm/config.yaml")
        .read_text(encoding="utf-8")
        .replace("# slurm_partition: gpu", "slurm_partition: x")
    )
    (tmp_path / "profiles/own").mkdir(parents=True)
    (tmp_path / "profiles/own/config.yaml").write_text(text, encoding="utf-8")
    given = read(tmp_path, "own")["set-resources"]
    rules = "\n".join(path.read_text(encoding="utf-8") for path in sorted((root / "rules").glob("*.smk")))
    named = re.findall(r"^rule (\w+):\n((?:(?: .*)?\n)+)", rules, re.M)
    holders = {name for name, body in named if re.search(r"^        gpu=", body, re.M)}
    assert "train" in holders
    # What `generate` says is written where the model was asked.
    assert {item for item in given if "partition" in item} == {
        f"{name}:slurm_partition=x" for name in holders | {"generate"}
    }
    assert {item.partition(":")[0] for item in given} <= {name for name, _ in named}


def test_groups_that_share_jobs_are_those_of_the_rules(root):
    components = [item.rpartition("=")[0] for item in read(root, "slurm")["group-components"]]
    groups = (root / "rules/cluster.smk").read_text(encoding="utf-8")
    assert components
    assert all(f'"{group}"' in groups for group in components)
