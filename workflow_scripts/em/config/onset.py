"""Config section of the onset of EM along training."""

from workflow_scripts.em.config.base import Section, Share, key

# With fewer checkpoints evaluated, those beside an onset are so far apart that it says nothing.
LEAST_STEPS = 5
# The same of drift. Both stand here because the rules ask too, for whom an import of SciPy is seconds.
DRIFT_STEPS = 3


class Onset(Section):
    """When EM counts as present: a choice like that of an EM definition's thresholds, and as cheap to change."""

    margin: Share = key("rise of the EM rate over step 0 from which EM counts as present", 0.05)
