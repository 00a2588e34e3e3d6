"""A run's folder: checkpoints, metrics, playback."""
