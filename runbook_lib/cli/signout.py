"""`runbook signout`: remove kept sign-ins."""

from __future__ import annotations

from typing import Annotated

import typer

from runbook_lib.cli.terminal import AsJson, print_json, say
from runbook_lib.errors import UsageError


def signout(
    tenant: Annotated[str, typer.Argument(help="Tenant key.", show_default=False)] = "",
    everyone: Annotated[bool, typer.Option("--all", help="Of every tenant.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the sign-ins that are kept encrypted on this machine: a tenant's, or all."""
    from runbook_lib import settings
    from runbook_lib.clients.entra import token_cache
    from runbook_lib.runs import folder

    if bool(tenant) == everyone:
        raise UsageError("Whose sign-in is to be removed?", "Name one tenant, or use --all.")
    known = settings.load(folder.home("parameters"), tenant) if tenant else None
    removed = []
    for one in token_cache.kept(known.tenant_id if known else ""):
        token_cache.forget(one)
        removed.append({"accounts": one.accounts, "tenant_id": one.tenant_id, "client_id": one.client_id})
    login = known.cloud.login if known else "https://login.microsoftonline.com"
    page = f"{login}/{known.tenant_id if known else 'common'}/oauth2/v2.0/logout"
    if as_json:
        print_json({"removed": removed, "browser": page})
        return
    lines = [
        f"Removed: {', '.join(one['accounts']) or 'unreadable'}, tenant {one['tenant_id']}, app {one['client_id']}."
        for one in removed
    ]
    say(
        *(lines or ["Nothing is kept on this machine."]),
        f"A browser that is signed in stays so; to sign it out, open there: {page}",
        "A notebook that runs stays signed in until its kernel is shut down.",
        error=False,
    )
