"""The HTTP interface: `create_app` in `app.py`, one router file a noun, everything else shared by
them.
"""
