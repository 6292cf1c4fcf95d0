"""Members that speak REST with canonical JSON: the hub calls them, signed (R17)."""
