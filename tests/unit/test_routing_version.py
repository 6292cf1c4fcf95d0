"""R9: a correction by version, from the gateway's header to the routing rules."""

from routing_cases import Hub, submitted_case
from test_gateway_headers import CASE, INTAKE

from adapters.ports import Submission
from hub.gateway.callers import Caller
from hub.routing.model import Disposition
from schemas import samples

DEPARTMENT = Caller("dept-a", (b"k",))


def decision(version: int, org: str) -> Submission:
    body = samples.body("case.decided")
    body["org"]["code"] = org
    return Submission(
        type="case.decided",
        source_ref="decision-1",
        body=body,
        occurred_at="2035-01-01T00:00:00+08:00",
        version=version,
        case_no=CASE,
    )


def test_r09_the_gateway_tells_the_version_and_the_router_takes_the_correction_after_the_end() -> None:
    hub = Hub()
    submitted_case(hub, "case.decided")
    org = hub.tables.members["dept-a"].org_code
    first = INTAKE.prepare(DEPARTMENT, decision(1, org))
    corrected = INTAKE.prepare(DEPARTMENT, decision(2, org))
    assert "version" not in first.attributes
    assert corrected.attributes["version"] == "2"
    hub.take(first, corrected)
    assert hub.last(first).disposition is Disposition.REFUSED, "a second decision without a higher version"
    assert hub.last(corrected).disposition is Disposition.ROUTED
