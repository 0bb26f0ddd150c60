"""Load generation and micro-benchmarks; nothing here judges a verdict by a timed unit test."""
