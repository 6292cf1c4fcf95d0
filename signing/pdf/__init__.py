"""Sealed PDF (ISO 32000, PAdES ETSI EN 319 142) for members on international algorithms.
pyHanko is imported here alone. No page is laid out here: what is sealed comes as bytes.
"""
