"""The HTTP routes. Thin: read, check the key, call a part, answer."""

from __future__ import annotations

from reference.backend.api.admin import admin_routes
from reference.backend.api.notify import notify_routes
from reference.backend.api.phone import phone_routes
from reference.backend.api.site import site_routes

__all__ = ["admin_routes", "notify_routes", "phone_routes", "site_routes"]
