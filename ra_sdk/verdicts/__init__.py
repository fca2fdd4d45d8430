"""Verdicts of templates: from memory, the store or the model."""
