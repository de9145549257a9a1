# What the thresholds and the design decide: sensitivity surface and power plan.
