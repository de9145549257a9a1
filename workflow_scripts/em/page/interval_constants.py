"""Numbers of the interval for such questions that the browser is given, so that it computes what Python would."""

from typing import Any

import numpy as np
from scipy.stats import norm, t

from workflow_scripts.em.stats import profile
from workflow_scripts.em.stats.intervals import EXACT_SPREAD, LEVEL


def interval_constants(questions: int) -> dict[str, Any]:
    """Grids, nodes and quantiles of `em.stats.intervals.clustered` for up to `questions` questions."""
    df = np.arange(1, max(questions, 2))
    return {
        "z": float(norm.ppf(0.5 + LEVEL / 2)),
        "t": t.ppf(0.5 + LEVEL / 2, df).tolist(),  # by degrees of freedom, from 1
        "tail": (1 - LEVEL) / 2,
        "exact_spread": EXACT_SPREAD,
        "penalty": profile.PENALTY,
        "most": profile.MOST,
        "step": profile.STEP,
        "own": [float(profile.OWN[0]), len(profile.OWN)],
        "spreads": profile.SPREADS.tolist(),
        "means": profile.MEANS.tolist(),
        "nodes": profile.NODES.tolist(),
        "weights": profile.WEIGHTS.tolist(),
        # The mu of each spread above 0 and mean rate: Newton's steps are Python's.
        "centres": [profile.centre(profile.MEANS, spread).tolist() for spread in profile.SPREADS[1:]],
    }
