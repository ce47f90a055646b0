"""The idle house of the suspension's tests: rotations are driven by hand as well."""

from tests.service.suspension.conftest import hands, idle, slug

__all__ = ["hands", "idle", "slug"]
