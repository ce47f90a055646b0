"""Delivery: one-time links, e-mails, receipts, and forgetting the secret when it has arrived."""
