"""The commands of a first evening: `runbook new`, `doctor` and `signout`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.terminal import AsJson, person, print_json, say
from runbook_lib.errors import UsageError
from runbook_lib.model import NO_APP, Cloud

if TYPE_CHECKING:
    from runbook_lib.setup.tenant_file import Found, Place

METHODS = ("browser", "device-code", "certificate")
QUICK = (
    "A quick look signs you in through {name}, Microsoft's own app, which every tenant has. What an administrator "
    "consents to there stays there after tonight, for everybody of the tenant who uses that app; the audit log names "
    "Microsoft's app and not this runbook; and some tenants block it. To undo it: Entra admin center > Enterprise "
    "applications > {name} > Permissions."
)
OWN = (
    "To read the tenant, the runbook needs an app registration of its own: read-only, used by nobody else, and deleted "
    "in one click when the work is done. It is not Cronofy's app, and not how you sign in at step 4."
)


def _answer(given: str, question: str, default: str | None = None, check: Callable[[str], str] = str.strip) -> str:
    """Return what an option gave, else a person's answer, else the default, as `check` returns it.

    Raises the UsageError of `check` for an option; a person reads it and is asked again.
    """
    if given or not person():
        return check(given or default or "")

    def checked(typed: str) -> str:
        try:
            return check(typed)
        except UsageError as error:
            raise typer.BadParameter(str(error)) from error

    return str(typer.prompt(question, default=default, value_proc=checked, err=True))


def _checked_method(text: str) -> str:
    method = text.strip()
    if method not in METHODS:
        raise UsageError(f"{text!r} is no way to sign in.", f"Choose one of {', '.join(METHODS)}.")
    return method


def new(
    tenant: Annotated[str, typer.Argument(help="A short name for the tenant: letters, digits, hyphens.")],
    domain: Annotated[str, typer.Option(help="The domain of the tenant's mailboxes.")] = "",
    name: Annotated[str, typer.Option(help="The organization's name, as people know it.")] = "",
    admin: Annotated[str, typer.Option(help="Who signs in and accepts in steps 4 and 5.")] = "",
    spaceiq_admin: Annotated[str, typer.Option(help="Who works in SpaceIQ in steps 1 to 3.")] = "",
    method: Annotated[str, typer.Option(help=f"How the runbook signs in: {', '.join(METHODS)}.")] = "",
    client_id: Annotated[str, typer.Option(help="The runbook's app registration, if there is one already.")] = "",
    quick_look: Annotated[
        bool, typer.Option(help="Sign in through Microsoft's shared app; a warning is shown.")
    ] = False,
    certificate: Annotated[str, typer.Option(help="Method certificate: the file with key and certificate.")] = "",
    account: Annotated[str, typer.Option(help="The only account that may sign the runbook in.")] = "",
    cloud: Annotated[
        str, typer.Option(help="A cloud's name or cloud file; default: the one that has the domain.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Make a tenant file: ask what is not given as an option, look the domain up, write it with every key explained."""
    from runbook_lib.runs import folder
    from runbook_lib.setup import tenant_file

    parameters = folder.home("parameters")
    path = tenant_file.checked_key(parameters, tenant)
    missing = [option for option, given in (("--domain", domain), ("--name", name), ("--admin", admin)) if not given]
    if missing and not person():
        raise UsageError("Nobody is here to answer questions.", f"Give {', '.join(missing)}.")
    question = "Domain of the tenant's mailboxes, for example contoso.com"
    asked = _answer(domain, question, check=tenant_file.checked_domain)
    found = tenant_file.look_up(asked, _clouds(cloud, parameters))
    where = f"{found.cloud} ({found.region})" if found.region else found.cloud
    say(f"{found.domain} is the tenant {found.tenant_id} in the cloud {where}.")
    answers = _basics(found, name, admin, spaceiq_admin)
    answers |= _sign_in(tenant, method, client_id, quick_look, certificate, account)
    made = tenant_file.write(parameters, tenant, answers)
    following = f"runbook {'app' if made.sign_in.client_id == NO_APP else 'doctor'} {tenant}"
    if as_json:
        print_json({"file": str(path), "tenant_id": found.tenant_id, "cloud": found.cloud, "next": following})
        return
    say(f"Wrote {path}. Compare its tenant_id with Entra admin center > Overview before you go on.", error=False)
    say(*([OWN] if made.sign_in.client_id == NO_APP else []), f"Next: {following}", error=False)


def _clouds(named: str, parameters: Path) -> dict[str, Cloud]:
    """Return the clouds to ask, by what a tenant file calls them: all of Microsoft's, or the one that is named."""
    from runbook_lib import settings, vendors

    known = dict(vendors.clouds())
    if not named:
        return known
    if named in known:
        return {named: known[named]}
    file = Path(named)
    if not file.is_file():
        raise UsageError(f"{named} is no cloud file, and none of {', '.join(known)}.", "runbook sandbox writes one.")
    own = settings.cloud_file(file)
    try:
        shown = Path(os.path.relpath(file.resolve(), parameters.resolve())).as_posix()
    except ValueError:  # on another drive of Windows
        shown = file.resolve().as_posix()
    return {shown: own}


def _basics(found: Found, name: str, admin: str, spaceiq_admin: str) -> dict[Place, str]:
    from runbook_lib.setup.tenant_file import checked_account

    guess = found.domain.partition(".")[0].capitalize()
    answers: dict[Place, str] = {
        ("name",): _answer(name, "Name of the organization", guess),
        ("tenant_id",): found.tenant_id,
        ("domain",): found.domain,
        ("admin",): _answer(admin, "Administrator who accepts in steps 4 and 5 (account name)", check=checked_account),
        ("cloud",): found.cloud,
    }
    spaceiq = _answer(spaceiq_admin, "Who works in SpaceIQ in steps 1 to 3 (may stay empty)", "")
    return answers | ({("spaceiq_admin",): spaceiq} if spaceiq else {})


def _sign_in(key: str, method: str, client_id: str, quick: bool, certificate: str, account: str) -> dict[Place, str]:
    """Ask how the runbook signs in, and through which app."""
    from runbook_lib import vendors
    from runbook_lib.clients.entra import token_cache

    shared = vendors.facts()["graph_command_line"]
    method = _answer(method, f"How the runbook signs in ({', '.join(METHODS)})", "browser", _checked_method)
    if quick and (client_id or method == "certificate"):
        raise UsageError("A quick look is for a person, through Microsoft's app.", "Leave out --quick-look.")
    if not (quick or client_id) and method != "certificate" and person():
        say(QUICK.format(**shared))
        question = "Only a quick look that way, instead of an app registration of your own?"
        quick = typer.confirm(question, default=False, err=True)
    elif quick:
        say(QUICK.format(**shared))
    answers: dict[Place, str] = {
        ("sign_in", "method"): method,
        ("sign_in", "client_id"): shared["client_id"] if quick else client_id or NO_APP,
    }
    if method == "certificate":
        default = (token_cache.folder() / "certificates" / f"{key}.pem").as_posix()
        answers["sign_in", "certificate"] = _answer(certificate, "File of key and certificate", default)
    return answers | ({("sign_in", "account"): account} if account else {})
