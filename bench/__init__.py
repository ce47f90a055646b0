"""Measurements: how long the main job takes beside the bare AWS calls that it needs."""
