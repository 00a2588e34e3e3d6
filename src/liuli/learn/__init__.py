"""Data to weights: rows, and the training that reads them."""
