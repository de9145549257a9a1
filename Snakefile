"""emtrace: an emergent-misalignment study as one DAG, described by one config file."""

import os
import sys

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")
# Not `workflow.basedir`: as a module that is the folder of whoever imports this (docs/module.md).
EMTRACE = os.path.dirname(os.path.abspath(workflow.snakefile))
if not os.path.isdir(f"{EMTRACE}/workflow_scripts"):
    raise WorkflowError(f"{workflow.snakefile} brings no stages: import a clone by its path (docs/module.md)")
sys.path.insert(0, EMTRACE)

from workflow_scripts.em.codedigest import code_digest
from workflow_scripts.em.config.load import load_config
from workflow_scripts.em.config.shipped import named_from_here
from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import digest, dumps, in_order, sha256_file
from workflow_scripts.em.plan import Plan
from workflow_scripts.em.study_files import read_study

# A study file replaces the default study; it is not merged into it.
if not workflow.config_settings.configfiles:

    configfile: "config.yaml"


FILES = [os.path.relpath(path) for path in workflow.configfiles]
try:
    for file in FILES:
        read_study(file)  # for keys that stand twice
    PLAN = Plan(load_config(named_from_here(config), FILES))
except UserError as error:
    raise WorkflowError(str(error)) from None

CONFIG, RESULTS, DECRYPTED = PLAN.config, PLAN.results, PLAN.decrypted


report: "docs/captions/report.rst"


include: "rules/common.smk"
include: "rules/datasets.smk"
include: "rules/made_data.smk"
include: "rules/models.smk"
include: "rules/training.smk"
include: "rules/generation.smk"
include: "rules/judging.smk"
include: "rules/statistics.smk"
include: "rules/figures.smk"
include: "rules/export.smk"


rule all:
    default_target: True
    input:
        # Named although nothing asks for them by itself: a checkpoint or responses that were deleted are made again.
        KEPT,
        FIGURES,
        TABLES,
        DETAILS,
