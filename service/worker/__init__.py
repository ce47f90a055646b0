"""The worker: takes operations from the database and carries them out, durably."""
