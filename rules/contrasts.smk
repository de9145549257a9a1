# Contrasts declared in the config: tests between conditions and recipes, Holm, the mixed model.
