"""What Pulumi's Automation API promises, asserted alike for both engines.

Each test's first line says, in the words of Pulumi's documentation, what is supported. The table in
``docs/engines.md`` is made from them and their results: run
``python -m tests.engine.conformance.table``.
"""
