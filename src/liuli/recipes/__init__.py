"""Recipes: several stages in one command."""
