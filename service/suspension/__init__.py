"""Suspension: a client's access is cut at once, and stays cut until somebody resumes it (RX-22).

A suspension is desired state. `wishes` commits it; `switching` carries it out by direct calls,
in whichever process comes first: the API's own, a worker at the end of each step that makes or
switches a key, or the timekeeper, which tries on until AWS has confirmed.
"""
