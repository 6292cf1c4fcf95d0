"""SOAP on both sides: calling ASMX services, and reading the calls that members make to the hub.
zeep is used here and nowhere else; nothing reaches it that was not parsed defensively first.
"""
