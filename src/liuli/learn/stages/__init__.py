"""Stages of a model's life: what each learns from, and what it minimises."""
