"""The bridge to one other region: copies what is addressed to its hub, and brings back what became of what
came from there (G3).

Nothing here decides about a case: routing is hub/routing, calls are hub/delivery.
"""

from hub.bridge.role import serve

__all__ = ["serve"]
