"""Views of models in real numbers. Each view is one frozen dataclass with its own checks."""
