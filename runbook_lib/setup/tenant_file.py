"""A first tenant file: what Entra says about a domain in public, and the commented YAML that is made of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from runbook_lib import settings
from runbook_lib.clients import http as clients_http
from runbook_lib.errors import CloudError, SettingsError, UsageError
from runbook_lib.model import Cloud, Json, Tenant

EXAMPLE = settings.SCHEMA.with_name("_example.yaml")
"""The one source of every comment in a tenant file."""
SHAPES: Json = json.loads(settings.SCHEMA.read_text(encoding="utf-8"))["$defs"]
DOMAIN, ACCOUNT = (re.compile(SHAPES[name]["pattern"]) for name in ("domain", "account"))
DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(10))})
"""Names that no file can have on Windows: https://learn.microsoft.com/windows/win32/fileio/naming-a-file."""
GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LINE = re.compile(r"(?P<indent> *)(?P<off># )?(?P<key>[a-z_]+):(?P<value>[^#]*?)(?P<gap>\s*)(?P<comment># .*)?")

Place = tuple[str, ...]
"""A key of the tenant file: ("name",) or ("sign_in", "method")."""


@dataclass(frozen=True, slots=True)
class Found:
    """The tenant behind a domain: its id, the cloud it lives in by the name a tenant file uses, and where in it."""

    domain: str
    tenant_id: str
    cloud: str
    region: str


def checked_key(parameters: Path, key: str) -> Path:
    """Return the path of the tenant file `key`; raises UsageError for a name that cannot be one, or that is taken."""
    if not settings.KEY.fullmatch(key) or key.lower() in DEVICES:
        raise UsageError(f"{key!r} cannot name a tenant.", "Use letters, digits and hyphens, for example contoso-eu.")
    taken = next((one for one in settings.keys(parameters) if one.lower() == key.lower()), "")
    if taken:
        raise UsageError(f"{parameters / taken}.yaml is there already.", "Edit it, or name the new tenant differently.")
    return parameters / f"{key}.yaml"


def checked_domain(text: str) -> str:
    """Return the domain in what somebody typed, an account's address included; raises UsageError for anything else."""
    domain = text.strip().rpartition("@")[2].lower()
    if not DOMAIN.search(domain):
        raise UsageError(f"{text!r} is not a domain.", "Type the part behind the @ of a mailbox, such as contoso.com.")
    return domain


def checked_account(text: str) -> str:
    """Return the account name that somebody typed; raises UsageError for anything else."""
    account = text.strip()
    if not ACCOUNT.search(account):
        raise UsageError(f"{text!r} is not an account name.", "Type it as people sign in, such as dana@contoso.com.")
    return account


def look_up(domain: str, clouds: Mapping[str, Cloud]) -> Found:
    """Ask the sign-in of each cloud in turn, without signing in, whose `domain` is.

    https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc; the members that name the cloud are not
    documented but widely used. Raises UsageError when no cloud knows it, CloudError when none could be asked.
    """
    logins: dict[str, Cloud] = {}
    for cloud in clouds.values():
        logins.setdefault(cloud.login, cloud)
    for cloud in logins.values():
        document = _document(domain, cloud)
        if document is not None:
            return _found(domain, document, clouds)
    hosts = ", ".join(login.removeprefix("https://") for login in logins)
    raise UsageError(
        f"Microsoft Entra knows no tenant with the domain {domain} ({hosts}).",
        "Check the spelling; in the Microsoft 365 admin center, Settings > Domains lists the tenant's domains.",
    )


def _document(domain: str, cloud: Cloud) -> Json | None:
    """Return Entra's public document about a domain, None when that cloud has no such tenant."""
    with clients_http.session(cloud) as http:
        answer = http.get(f"{cloud.login}/{domain}/v2.0/.well-known/openid-configuration")
    try:
        document = answer.json()
    except ValueError:
        document = {}
    if answer.status_code == 200 and isinstance(document, dict) and "issuer" in document:
        return document
    if answer.status_code == 400 and "AADSTS90002" in answer.text:
        return None
    host = cloud.login.removeprefix("https://")
    raise CloudError(f"{host} answered {answer.status_code} to a public question.", "A proxy may stand in between.")


def _found(domain: str, document: Json, clouds: Mapping[str, Cloud]) -> Found:
    tenant = re.search(GUID, str(document["issuer"]).lower())
    graph_host, part = document.get("msgraph_host", ""), document.get("tenant_region_sub_scope") or ""
    fitting = [name for name, cloud in clouds.items() if cloud.graph == f"https://{graph_host}"]
    if part == "GCC" and "gcc" in fitting:
        fitting = ["gcc"]
    if not tenant or not fitting:
        where = graph_host or document.get("cloud_instance_name") or "an unknown cloud"
        raise UsageError(
            f"The tenant of {domain} lives in the cloud of {where}, which is none of {', '.join(clouds)}.",
            "Leave --cloud out; for a cloud that the runbook does not know, give a cloud file.",
        )
    region = " ".join(filter(None, (document.get("tenant_region_scope"), part)))
    return Found(domain, tenant[0], fitting[0], region)


def write(parameters: Path, key: str, answers: Mapping[Place, str]) -> Tenant:
    """Write the commented tenant file of `answers` and return what it means; nothing is left behind if it is no good.

    Raises UsageError for a bad or taken key, and for an answer that the schema refuses.
    """
    path = checked_key(parameters, key)
    text = render(EXAMPLE.read_text(encoding="utf-8"), answers)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
        return settings.load(parameters, key)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Check the folder and its rights.") from error
    except SettingsError as error:
        path.unlink()
        faults = "\n".join(re.sub(r"^ *line \d+: ", "  ", line) for line in error.message.splitlines()[1:])
        raise UsageError(f"Nothing was written, because of the answers:\n{faults}", "Give others.") from error


def render(example: str, answers: Mapping[Place, str]) -> str:
    """Return the example with `answers` in place of its values; what was not answered becomes a comment."""
    sections = {place[0] for place in answers if len(place) > 1}
    return "".join(f"{line}\n" for line in _lines(example.splitlines(), answers, sections))


def _lines(lines: Iterable[str], answers: Mapping[Place, str], sections: set[str]) -> Iterator[str]:
    section, muted = "", False
    for line in lines:
        found = LINE.fullmatch(line)
        if not found:
            yield line
            continue
        inside, empty = bool(found["indent"]), found["value"].strip() in ("[]", "{}")
        if not inside and not found["off"]:
            section = found["key"]
            muted = (section,) not in answers and section not in sections and not empty
        place = (section, found["key"]) if inside else (found["key"],)
        if place in answers:
            yield _answered(found, answers[place])
        elif muted and (inside or not found["off"]):
            yield _muted(found, line)
        elif inside and not found["off"] and section in sections:
            yield f"{found['indent']}# {line.strip()}"
        else:
            yield line


def _answered(found: re.Match[str], value: str) -> str:
    start = f"{found['indent']}{found['key']}: {scalar(value)}"
    return f"{start:<{found.start('comment') - 1}} {found['comment']}" if found["comment"] else start


def _muted(found: re.Match[str], line: str) -> str:
    """Return the line as a comment, with its own comment where it was."""
    if not found["comment"]:
        return f"# {line}"
    return f"# {line[: found.start('gap')]}{' ' * max(1, len(found['gap']) - 2)}{found['comment']}"


def scalar(value: str) -> str:
    """Return `value` as YAML reads it back as the same text, in quotes only where it must be."""
    try:
        plain = yaml.safe_load(f"x: {value}") == {"x": value}
    except yaml.YAMLError:
        plain = False
    return value if plain else str(yaml.dump(value, default_style='"', allow_unicode=True, width=math.inf)).strip()


def replace_client_id(path: Path, old: str, new: str) -> bool:
    """Put the app's id into the tenant file in place of the placeholder; false when the placeholder is not there."""
    text = path.read_text(encoding="utf-8-sig")
    changed = re.sub(rf"(?m)^(\s+client_id: *)[\"']?{old}[\"']?(?=\s|$)", lambda found: found[1] + new, text)
    if changed == text:
        return False
    whole = path.with_suffix(".yaml.new")
    whole.write_text(changed, encoding="utf-8", newline="\n")
    whole.replace(path)
    return True
