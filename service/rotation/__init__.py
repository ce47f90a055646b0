"""The life of keys after the opening: rotated, turned off, deleted, reported when old, replaced.

`wishes` writes what is wanted as an operation; `service.worker` carries it out; `due` says what
the clock asks for, and `service.worker.timekeeper` begins it.
"""
