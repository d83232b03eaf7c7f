"""Measurements of speed and memory: each compares things in one run and prints ratios."""
