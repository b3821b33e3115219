"""Measures the house: `python -m tests.bench` prints one table, each figure beside its limit in the same run."""
