"""The embedded Pulumi engine, its AWS provider and the local AWS."""
