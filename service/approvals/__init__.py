"""Approvals: which openings wait for people, who may decide them, and what becomes of them."""
