"""Config section of published numbers that are drawn beside the study's own."""

from workflow_scripts.em.config.base import Name, Section, key


class Literature(Section):
    """Published EM rates beside an organism's last checkpoint; both must count the same."""

    path: str = key("file of published rates with their sources", "data/literature/published.yaml")
    compare: dict[Name, list[Name]] = key("organism: published rates to draw beside it", {})
