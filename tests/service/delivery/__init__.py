"""Tests of delivery: links, e-mails, receipts, forgetting."""
