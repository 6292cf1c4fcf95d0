"""Descriptions derived from the contracts: JSON Schema, OpenAPI, WSDL/XSD, AsyncAPI. Pure functions,
contracts in, text or dict out."""
