# Onset, trend and lead time of the modes along training.
