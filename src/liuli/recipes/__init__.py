"""Recipes: several steps of a model's life in one command."""
