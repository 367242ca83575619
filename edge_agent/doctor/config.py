"""Check `config`: what is wrong or unwise in the config file. It was read before; this says it."""

from typing import Final

from edge_agent.contracts.diagnosis import Finding, Outcome, failed, ok, warning
from edge_agent.doctor.examination import Tell
from edge_agent.doctor.site import Site

NAME: Final = "config"
_SHOWN: Final = 5


def judge(site: Site) -> list[Finding]:
    if site.document is None:
        more = len(site.problems) - _SHOWN
        found = [failed(problem, "") for problem in site.problems[:_SHOWN]]
        rest = f" ({more} more)" if more > 0 else ""
        remedy = f"mend it; `edge-agent check -c {site.config}` lists everything{rest}"
        return [*found, failed("no agent starts with this config", remedy)]
    enabled = len(site.connections)
    plural = "" if enabled == 1 else "s"
    found = [ok(f"{site.config}: {enabled} connection{plural}, device {site.document.agent.id}")]
    if not enabled:
        found.append(warning("nothing is polled", "add a connection: `edge-agent init` writes a sample"))
    if site.document.central is None:
        found.append(ok("no centre: this agent works alone"))
    found += [warning(text, f"see `edge-agent check -c {site.config}`") for text in site.warnings[:_SHOWN]]
    return found


class Config:
    name = NAME
    needs = ()
    seconds = 5.0

    async def run(self, site: Site, tell: Tell) -> None:
        tell(Outcome(NAME, tuple(judge(site))))
