"""How the model of ra_sdk is made: corpus, fine-tuning, export, evaluation. The command is ``ra-train``."""

from __future__ import annotations

__all__ = ["__version__"]
__version__ = "0.1.0"
