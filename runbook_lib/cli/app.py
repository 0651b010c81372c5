"""The command `runbook app`: show how the runbook's own app is registered, or register it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.terminal import AsJson, console, person, print_json, say
from runbook_lib.errors import UsageError
from runbook_lib.model import NO_APP, Json, Tenant

if TYPE_CHECKING:
    from runbook_lib.clients.entra.certificate import KeyPair

ROOT = Path(__file__).resolve().parents[2]


def app(
    tenant: Annotated[str, typer.Argument(help="Tenant key: the name of a file in parameters/.")],
    create: Annotated[bool, typer.Option("--create", help="Register it, once a person typed the domain.")] = False,
    new_certificate: Annotated[
        bool, typer.Option("--new-certificate", help="Make the key and certificate that the tenant file names.")
    ] = False,
    client_id: Annotated[str, typer.Option(help="Register it through this app instead of Microsoft's.")] = "",
    method: Annotated[str, typer.Option(help="How to sign in for that: browser or device-code.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show how the runbook's own read-only app is registered, with every permission and its id; or register it."""
    from runbook_lib import settings
    from runbook_lib.runs import folder
    from runbook_lib.setup import registration

    parameters = folder.home("parameters")
    known = settings.load(parameters, tenant)
    if create:
        _check(known, method)
    pair = _certificate(known, make=new_certificate, demand=create)
    made = registration.plan(known, pair)
    if create:
        made = _create(known, parameters / f"{tenant}.yaml", made, registration.registrar(known, client_id, method))
    if as_json:
        print_json(made)
    elif create:
        _print_created(known, made)
    else:
        _print_plan(known, made)


def _check(tenant: Tenant, method: str) -> None:
    """Refuse what cannot be registered; raises UsageError."""
    from runbook_lib import vendors

    if tenant.sign_in.client_id not in (NO_APP, vendors.facts()["graph_command_line"]["client_id"]):
        raise UsageError(
            f"The tenant file of {tenant.name} names an app already: {tenant.sign_in.client_id}.",
            f"To make another one, put {NO_APP} in its place first.",
        )
    if method not in ("", "browser", "device-code"):
        raise UsageError(f"{method!r} is no way for a person to sign in.", "Choose browser or device-code.")
    if not person():
        raise UsageError("An app is registered only when a person says so, and nobody is here.", "Use a terminal.")


def _certificate(tenant: Tenant, *, make: bool, demand: bool) -> KeyPair | None:
    """Return the certificate that is uploaded, made now if that is asked for; the key stays in its file."""
    from runbook_lib.clients.entra import certificate

    file, password = tenant.sign_in.certificate, os.environ.get(certificate.PASSWORD, "")
    if tenant.sign_in.method != "certificate" or file is None:
        if make:
            raise UsageError("The tenant file's sign_in.method is not certificate.", "Leave out --new-certificate.")
        return None
    now = datetime.now(UTC)
    if make:
        if file.suffix.lower() == ".cer":
            raise UsageError(f"{file.name} is what the certificate to upload is called.", f"Say {file.stem}.pem.")
        if file.resolve().is_relative_to(ROOT):
            raise UsageError(f"{file.resolve()} lies in the runbook's own folder.", "Keep keys outside of it.")
        pair = certificate.make(file, f"SpaceIQ calendar runbook, {tenant.key}", password, now)
        file.with_suffix(".cer").write_text(pair.public_pem, encoding="ascii")
        how = "with the passphrase of" if password else "readable for your account only, and without a passphrase from"
        say(f"Made {file} ({how} {certificate.PASSWORD}), and for uploading {file.with_suffix('.cer')}.")
        return pair
    if demand or file.exists():
        return certificate.read(file, password, now)
    say(f"{file} is not there yet: --new-certificate makes it.")
    return None


def _create(tenant: Tenant, path: Path, plan: Json, registrar: Tenant) -> Json:
    """Register the app after a typed word; return its id and where to consent."""
    from runbook_lib.clients import http as clients_http
    from runbook_lib.clients.entra import sign_in as entra
    from runbook_lib.clients.graph import client as graph
    from runbook_lib.setup import registration, tenant_file

    names = ", ".join(one["name"] for one in plan["permissions"])
    say(
        f"This registers {plan['application']['displayName']!r} in {tenant.name} ({tenant.tenant_id}), with: {names}.",
        f"You sign in for it through the app {registrar.sign_in.client_id}, which needs Application.ReadWrite.All.",
        "If you consent to that for the whole organization, it stays granted to that app: consent for yourself only.",
    )
    if typer.prompt(f"Type {tenant.domain} to register it, anything else to stop", err=True).strip() != tenant.domain:
        raise UsageError("Nothing was registered.", "The tenant is as it was.")
    with clients_http.session(tenant.cloud) as http:
        credential = entra.sign_in(
            registrar, registration.CALLS, http, attended=True, show=lambda prompt: say(str(prompt))
        )
        door = graph.Graph(registrar, credential, http)
        door.assert_tenant()
        client_id = registration.create(door, plan["application"])
    written = tenant_file.replace_client_id(path, tenant.sign_in.client_id, client_id)
    consent = {
        "url": registration.consent_url(tenant, client_id),
        "portal": registration.portal_page(tenant, client_id),
    }
    return {
        "tenant": tenant.key,
        "client_id": client_id,
        "file": str(path),
        "written": written,
        "admin_consent": consent,
    }


def _print_created(tenant: Tenant, made: Json) -> None:
    file = made["file"]
    say(
        f"Registered, with the client id {made['client_id']}.",
        f"It stands in {file} now." if made["written"] else f"Put it into client_id in {file}.",
        "It may read nothing yet: an administrator has to consent, as Global Administrator or Privileged Role",
        f"Administrator. Either here: {made['admin_consent']['url']}",
        "(the browser then fails to open http://localhost; the consent is given all the same)",
        f"or with the button 'Grant admin consent' there: {made['admin_consent']['portal']}",
        f"Next: runbook doctor {tenant.key}",
        error=False,
    )


def _print_plan(tenant: Tenant, plan: Json) -> None:
    from rich.table import Table

    kind = plan["permissions"][0]["kind"]
    say(f"The runbook's own app in {tenant.name}, for sign-in by {plan['method']}. It can change nothing.", error=False)
    table = Table(f"Microsoft Graph, {kind}", "why")
    for one in plan["permissions"]:
        table.add_row(one["name"], one["why"])
    console().print(table, markup=False)
    steps = [f"  {number}. {words}" for number, words in enumerate(plan["by_hand"], 1)]
    say(
        f"\nLet this runbook register it, after a sign-in and a typed word: runbook app {tenant.key} --create",
        "\nOr by hand, in the Entra admin center:",
        *steps,
        "\nOr by Azure's command line, with this as app.json:",
        json.dumps(plan["application"]),
        f"  az login --tenant {tenant.tenant_id} --allow-no-subscriptions",
        f'  az rest --method POST --url "{plan["create"]["url"]}" --headers "Content-Type=application/json" '
        '--body "@app.json"',
        f"\nThen an administrator consents: {plan['admin_consent']['url']}",
        f"or in the portal: {plan['admin_consent']['portal']}",
        *plan["beyond_reading"],
        error=False,
    )
