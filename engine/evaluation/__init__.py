"""Held-out measurement of SAEs: which activations, which classifier, the table."""
