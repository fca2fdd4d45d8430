"""Knowledge beside the model: checked entries from which reasons are chosen, not invented."""

from ra_sdk.knowledge.base import Knowledge, users
from ra_sdk.knowledge.entries import KINDS, Entry, Speaker, from_toml, made
from ra_sdk.knowledge.who import agreed

__all__ = ["KINDS", "Entry", "Knowledge", "Speaker", "agreed", "from_toml", "made", "users"]
