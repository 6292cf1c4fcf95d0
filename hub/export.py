"""`govhub schemas export`: the texts derived from the contracts, with the topics of the catalogue as
channels."""

import json

from schemas import contracts
from schemas.derive import asyncapi, jsonschema, openapi, wsdl
from topics import catalogue


def export(what: str, address: str = "http://127.0.0.1:8080") -> str:
    """what: openapi | wsdl | asyncapi | jsonschema. address: the gateway's, as members see it. Raises
    KeyError."""
    known = contracts.load()
    if what == "wsdl":
        return wsdl.render(known, address + "/soap/hub")
    document: object
    if what == "openapi":
        document = openapi.render(known, address)
    elif what == "asyncapi":
        document = asyncapi.render(known, catalogue.load().topics)
    else:
        document = {contract.name: jsonschema.render(contract) for contract in known}
    return json.dumps(document, ensure_ascii=False, indent=2)
