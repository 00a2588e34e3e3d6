"""The decoder: from token ids to logits. One implementation for several families of models."""
