"""Pulumi programs of the areas, and the one module that drives the Automation API."""
