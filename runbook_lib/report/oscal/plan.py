"""The OSCAL documents that say what a run asks: the catalog of checks, their mapping to frameworks, and the plan."""

from __future__ import annotations

import re
from uuid import NAMESPACE_URL, uuid5

from runbook_lib import vendors
from runbook_lib.evidence.verify_txt import REHEARSAL
from runbook_lib.model import Json
from runbook_lib.report import controls
from runbook_lib.report.story import Story, question

URN = "urn:spaceiq-calendar-runbook:oscal"
MARKUP = re.compile(r"([\\`*\[\]<>])")
"""What would be markup in a text of OSCAL, which is Markdown."""


def uid(*parts: object) -> str:
    """Return the id of what these words name, the same whenever it is asked for."""
    return str(uuid5(NAMESPACE_URL, "/".join((URN, *map(str, parts)))))


def uid_in(told: Story, *parts: object) -> str:
    """Return the id of what these words name in this run of this tenant."""
    return uid(told.tenant["tenant_id"], told.folder.name, *parts)


def line(words: str) -> str:
    """Return words on one line, as a name or a property must be, and never nothing."""
    return " ".join(words.split()) or "–"


def text(words: str) -> str:
    """Return words as they stand, whatever a tenant put into them, where OSCAL reads Markdown."""
    return MARKUP.sub(r"\\\1", words)


def title(words: str) -> str:
    """Return words as a title."""
    return text(line(words))


def props(**values: object) -> list[Json]:
    """Return properties of our own naming."""
    pairs = ((name.replace("_", "-"), line(str(value))) for name, value in values.items())
    return [{"name": name, "ns": URN, "value": value} for name, value in pairs]


def metadata(told: Story, words: str, **more: object) -> Json:
    """Return the head of a document; of a rehearsal it says so. The version of OSCAL is filled in by who writes it."""
    stamp = {} if told.cloud["microsoft"] else {"remarks": text(f"{told.cloud['name']}: {REHEARSAL}")}
    return {
        "title": title(words),
        "last-modified": max(one.finished for one in told.looks).isoformat(),
        "version": told.looks[-1].versions["spaceiq-calendar-runbook"],
        "oscal-version": "",
        **stamp,
        **more,
    }


def checks(told: Story) -> list[str]:
    """Return every check of the map, and those of the run that a later version may no longer have."""
    ran = (one.check for record in told.judged for one in record.findings)
    return list(dict.fromkeys([*controls.supports(), *ran]))


def objective(check: str) -> str:
    """Return the id of what a check is there to establish."""
    return f"{check}_obj"


def catalog(told: Story) -> Json:
    """Return our checks as controls with one objective each."""
    listed = [
        {
            "id": check,
            "title": title(question(check)),
            "parts": [{"id": objective(check), "name": "assessment-objective", "prose": text(question(check))}],
        }
        for check in checks(told)
    ]
    head = metadata(told, "Checks of the Office 365 calendar runbook")
    return {"uuid": uid("catalog"), "metadata": head, "controls": listed}


def mapping(told: Story) -> Json:
    """Return which controls of each framework the checks support; a check is narrower than any of them."""
    provenance = {
        "method": "human",
        "matching-rationale": "functional",
        "status": "draft",
        "mapping-description": "Each check gives evidence for a part of the controls it is mapped to. The reasons are "
        "the project's own, and no auditor has reviewed them.",
        "remarks": f"The frameworks were read on {controls.read_on()}.",
    }
    return {
        "uuid": uid("mapping"),
        "metadata": metadata(told, "What the runbook's checks give evidence for"),
        "provenance": provenance,
        "mappings": [_framework(one) for one in controls.frameworks().values()],
    }


def _framework(framework: controls.Framework) -> Json:
    maps = [
        {
            "uuid": uid("map", framework.key, check),
            "relationship": "subset-of",
            "sources": [{"type": "control", "id-ref": check}],
            "targets": [{"type": "control", "id-ref": _id_in(framework.key, one)} for one in ids],
            "remarks": f"It {support.why}.",
        }
        for check, support in controls.supports().items()
        if (ids := support.ids[framework.key])
    ]
    return {
        "uuid": uid("map", framework.key),
        "source-resource": {"type": "catalog", "href": "catalog.json"},
        "target-resource": {"type": "catalog", "href": framework.catalog, "remarks": framework.title},
        "maps": maps,
    }


def _id_in(framework: str, control: str) -> str:
    """Return a control's id as the framework's own catalog writes it: NIST's says ac-6.7 for AC-6(7)."""
    return control.lower().replace("(", ".").rstrip(")") if framework == "nist" else control


def reviewed(told: Story) -> Json:
    """Return the selection of all checks: one that was not judged is reported, not left out."""
    return {"control-selections": [{"include-controls": [{"control-id": check} for check in checks(told)]}]}


def plan(told: Story) -> Json:
    """Return the plan that every run follows; there is no system security plan, and it says so."""
    missing, tool = uid_in(told, "no system security plan"), uid_in(told, "tool")
    why = "There is none. This plan's local definitions describe the system, catalog.json has the controls."
    platform = {"uuid": uid_in(told, "platform"), "uses-components": [{"component-uuid": tool}]}
    return {
        "uuid": uid_in(told, "plan"),
        "metadata": metadata(told, f"How {told.tenant['name']} is looked at, run {told.folder.name}"),
        "import-ssp": {"href": f"#{missing}", "remarks": why},
        "local-definitions": {"components": _looked_at(told)},
        "reviewed-controls": reviewed(told),
        "assessment-assets": {"components": [_tool(told, tool)], "assessment-platforms": [platform]},
        "back-matter": {"resources": [{"uuid": missing, "title": "No system security plan", "description": why}]},
    }


def _looked_at(told: Story) -> list[Json]:
    tenant, app = told.tenant, told.looks[-1].settings.get("cronofy_app", vendors.facts()["cronofy"]["enterprise"])
    return [
        {
            "uuid": uid_in(told, "tenant"),
            "type": "system",
            "title": title(tenant["name"]),
            "description": "The Microsoft 365 tenant that was looked at.",
            "props": props(tenant_id=tenant["tenant_id"], domain=tenant["domain"], cloud=told.cloud["name"]),
            "status": {"state": "operational"},
        },
        {
            "uuid": uid_in(told, "cronofy"),
            "type": "service",
            "title": "Cronofy",
            "description": "The enterprise application that reads and books room calendars for SpaceIQ.",
            "props": props(application_id=app),
            "status": {"state": "operational"},
        },
    ]


def _tool(told: Story, uuid: str) -> Json:
    return {
        "uuid": uuid,
        "type": "software",
        "title": "spaceiq-calendar-runbook",
        "description": "Reads the tenant and judges what came; confirmations come from people.",
        "props": props(**told.looks[-1].versions),
        "status": {"state": "operational"},
    }
