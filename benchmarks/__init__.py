"""Measurements of speed and memory. Each one compares things in one run and prints ratios."""
