"""What is fixed before the first step."""
