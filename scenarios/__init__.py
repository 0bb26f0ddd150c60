"""Scenario files, their schema, the runner, the oracles and the run report."""
