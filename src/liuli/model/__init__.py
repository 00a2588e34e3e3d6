"""The decoder: ids to logits. One model, many families by configuration."""
