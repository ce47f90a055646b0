"""Revisions of the schema. A released one is never edited; a change is a new revision."""
