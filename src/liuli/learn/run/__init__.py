"""A run's folder: checkpoints, metrics, predictions."""
