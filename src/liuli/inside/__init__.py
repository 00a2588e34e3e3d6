"""What happened, in real numbers: views of models, each one frozen dataclass with its own checks."""
