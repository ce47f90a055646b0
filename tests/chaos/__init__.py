"""Chaos: real processes of the service killed at every step, their AWS frozen, restarted and lying.

`python -m tests.chaos` runs as many seeded runs as asked for; `test_chaos.py` hits every point of
every kind of operation once. After each run the truth in AWS and in the database is looked at by
code that shares nothing with the service.
"""
