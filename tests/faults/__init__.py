"""AWS that misbehaves: a proxy on loopback before the local AWS, and the faults that it injects."""
