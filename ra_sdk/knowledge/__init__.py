"""Knowledge beside the model: checked entries from which reasons are chosen, not invented."""

from ra_sdk.knowledge.base import Knowledge, users
from ra_sdk.knowledge.entries import Entry, Speaker, made
from ra_sdk.knowledge.who import agreed

__all__ = ["Entry", "Knowledge", "Speaker", "agreed", "made", "users"]
