"""Webhooks that come in: verified, kept, read as a wish to open an area, and carried out."""
