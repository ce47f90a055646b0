"""Telling other programs what happened: the feed of events and webhooks out (issue 7)."""
