"""The report of a study: one HTML file that works offline, from the study's tables and records."""
