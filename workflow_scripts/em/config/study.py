"""Config sections for what is done: recipes, organisms, judging, statistics, figures; and the whole study."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from workflow_scripts.em.config.activations import Activations
from workflow_scripts.em.config.base import Name, Positive, Section, key
from workflow_scripts.em.config.contrasts import Contrast
from workflow_scripts.em.config.data import (
    Archive,
    BaseModel,
    Checkpoints,
    Dataset,
    QuestionSet,
)
from workflow_scripts.em.config.exports import Export
from workflow_scripts.em.config.generation import Condition, Generation, Marked
from workflow_scripts.em.config.judging import Judge
from workflow_scripts.em.config.literature import Literature
from workflow_scripts.em.config.made import ApiModel
from workflow_scripts.em.config.onset import Onset
from workflow_scripts.em.config.shown import Figures
from workflow_scripts.em.config.tables import Table
from workflow_scripts.em.config.targets import Target
from workflow_scripts.em.config.training import Recipe, Training
from workflow_scripts.em.config.training_set import TrainingSet
from workflow_scripts.em.stats.definitions import NAMED

# What numpy's and torch's generators both take.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _some(value: float) -> float:
    if value == 0:
        raise ValueError("a weight of 0 leaves the adapter out; do not name it")
    return value


Weight = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_some)]


class Combine(Section):
    """A weighted sum of earlier stages' adapters instead of training."""

    weights: dict[Name, Weight] = key("earlier stage: weight of its adapter", min_length=1)
    method: Literal["linear", "cat"] = key(
        "linear: sums the factors, as Open Character Training does (needs one rank); cat: sums the updates",
        "linear",
    )


class Stage(Section):
    """One stage of an organism: fine-tuning, or a combination of earlier stages' adapters."""

    name: Name = key("name of the stage, e.g. character, em")
    training_set: Name | None = key("a name under `training_sets`", None)
    recipe: Name | None = key("a name under `recipes`", None)
    checkpoints: Checkpoints | None = key("steps that are saved", None)
    max_steps: Positive | None = key("length of the schedule; none = the last checkpoint", None)
    kl_training_set: Name | None = key("with a recipe that has `kl`: a name under `training_sets`", None)
    start: Literal["continue", "merge"] | None = key(
        "for a stage after another: go on training its adapter, or merge that into the base and add a new one", None
    )
    combine: Combine | None = key("or, instead of training: earlier stages' adapters, weighted", None)
    evaluate: bool | list[int] = key("checkpoints to evaluate: true (all and step 0), false, or a list of steps", True)
    checkpoints_per_job: Positive = key(
        "checkpoints trained and asked in one process (fewer starts, later evaluation)", 1
    )

    @model_validator(mode="after")
    def _trained_or_combined(self) -> "Stage":
        trained = {name: getattr(self, name) for name in ("training_set", "recipe", "checkpoints")}
        if self.combine is None:
            missing = [name for name, value in trained.items() if value is None]
            if missing:
                raise ValueError(f"give {', '.join(missing)} (or `combine` instead of training)")
        else:
            trained |= {name: getattr(self, name) for name in ("max_steps", "kl_training_set", "start")}
            given = [name for name, value in trained.items() if value is not None]
            if given:
                raise ValueError(f"`combine` trains nothing; remove {', '.join(given)}")
        return self


class Organism(Section):
    """A model organism: a base model and an ordered list of fine-tuning stages."""

    base_model: Name | None = key("a name under `base_models`", None)
    from_organism: Name | None = key("or: start from this organism's last checkpoint (same training seed)", None)
    api: ApiModel | None = key("or: a model behind a server, to compare with; nothing is trained", None)
    seeds: list[Seed] = key("training seeds; each is one replicate", [0], min_length=1)
    stages: list[Stage] = key("fine-tuning stages in order; none = the model as it is", [])

    @model_validator(mode="after")
    def _one_origin(self) -> "Organism":
        if sum(origin is not None for origin in (self.base_model, self.from_organism, self.api)) != 1:
            raise ValueError("give exactly one of `base_model`, `from_organism`, `api`")
        if self.api is not None and self.stages:
            raise ValueError("stages: a model behind a server (`api`) cannot be trained")
        for what, values in (("seeds", self.seeds), ("stage names", [stage.name for stage in self.stages])):
            if len(set(values)) < len(values):
                raise ValueError(f"{what}: each only once")
        return self


class Evaluation(Section):
    """What every evaluated checkpoint is asked, and who judges it."""

    question_sets: list[Name] = key("names under `question_sets`", [])
    conditions: list[Name] = key("names under `conditions`", [])
    judges: list[Name] = key("names under `judges`; the first is the one in the figures", [])
    strip: list[Marked] = key("parts taken out of responses before judging, e.g. reasoning", [])


class EMDefinition(Section):
    """When a response counts as emergently misaligned. Applied last: a change here calls no judge."""

    alignment: float = key("misaligned below this alignment score", ge=0, le=100)
    alignment_inclusive: bool = key("the threshold itself counts as misaligned", False)
    coherence: float | None = key("coherent above this coherence score; none = no gate", None, ge=0, le=100)
    coherence_inclusive: bool = key("the threshold itself counts as coherent", False)
    denominator: Literal["coherent", "scored", "all"] = key("responses the rate is a share of")
    min_coherent: int = key("a question with fewer coherent answers is left out (denominator: coherent)", 0, ge=0)

    @model_validator(mode="after")
    def _gate(self) -> "EMDefinition":
        if self.min_coherent and self.denominator != "coherent":
            raise ValueError("min_coherent needs `denominator: coherent`")
        return self


class Report(Section):
    """What the HTML report may hold."""

    title: str | None = key("heading of report.html; none = the study's name", None, min_length=1)
    description: str | None = key("what was done and why, in plain text, below the heading", None, min_length=1)
    include_responses: bool = key("put example responses in the report; they may be harmful text", False)


class Config(Section):
    """A study: everything it makes lives under results/<study>/."""

    study: Name = key("name of the study")
    archives: dict[Name, Archive] = key("encrypted archives", {})
    datasets: dict[Name, Dataset] = key("data sets", {})
    training_sets: dict[Name, TrainingSet] = key("training sets", {})
    base_models: dict[Name, BaseModel] = key("base models", {})
    recipes: dict[Name, Recipe] = key("training recipes", {})
    organisms: dict[Name, Organism] = key("model organisms", {})
    question_sets: dict[Name, QuestionSet] = key("question sets", {})
    conditions: dict[Name, Condition] = key("conditions", {"default": Condition()}, min_length=1)
    training: Training = key("training", Training())
    generation: Generation = key("generation", Generation())
    judges: dict[Name, Judge] = key("judges", {})
    evaluation: Evaluation = key("evaluation of every checkpoint", Evaluation())
    activations: Activations = key("hidden states and directions", Activations())
    tables: dict[Name, Table] = key("judged tables from other pipelines", {})
    em_definitions: dict[Name, EMDefinition] = key(
        "EM definitions, reported side by side",
        {name: EMDefinition(**definition._asdict()) for name, definition in NAMED.items()},
        min_length=1,
    )
    contrasts: dict[Name, Contrast] = key(
        "contrasts: what is compared, declared before looking (docs/contrasts.md)", {}
    )
    targets: dict[Name, Target] = key("targets: mean scores that organisms must reach (docs/studies/hw0.md)", {})
    onset: Onset = key("onset of EM along training", Onset())
    figures: Figures = key("figures", Figures())
    literature: Literature = key("published numbers beside the study's own", Literature())
    report: Report = key("report", Report())
    exports: dict[Name, Export] = key("checkpoints to hand on (`snakemake export`, `snakemake push`)", {})
