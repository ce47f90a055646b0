"""HTTP, command line and worker: composes the other houses; nothing imports it."""
