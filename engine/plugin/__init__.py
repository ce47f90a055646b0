"""The AWS provider over Pulumi's ResourceProvider protocol, for the official program.

``schema`` tells what the package holds, ``messages`` puts values into the protocol's messages,
``service`` answers its calls, ``server`` is the program ``handover-resource-aws``. Linked as
``pulumi-resource-aws`` on PATH, it stands in where the official AWS plugin is missing.
"""
