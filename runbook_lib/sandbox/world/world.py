"""The sandbox cloud's state: its tenants, made from scenarios when first asked for, and its one clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runbook_lib.sandbox.world import catalogue, ids
from runbook_lib.sandbox.world.activations import Activations
from runbook_lib.sandbox.world.keys import Credentials
from runbook_lib.sandbox.world.scenarios.expand import expand
from runbook_lib.sandbox.world.sign_ins import Approval, SignIns
from runbook_lib.sandbox.world.state import App, Json, Mailbox, Secret, TenantState

__all__ = ["App", "Json", "Mailbox", "Secret", "TenantState", "World"]

SCENARIOS = Path(__file__).parent / "scenarios"


def system_clock() -> datetime:
    """The machine's time in UTC."""
    return datetime.now(UTC)


class World:
    """All tenants of one sandbox. `generated` tenants with `rooms` rooms each exist beside the scenarios' tenants."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        generated: int = 0,
        rooms: int = 50,
        folder: Path = SCENARIOS,
        auto_approve: bool = True,
        clock: Callable[[], datetime] = system_clock,
    ) -> None:
        self._clock = clock
        self.credentials = credentials
        self.offset = timedelta()
        paths = sorted(folder.glob("*.yaml"), key=_contoso_first)
        self.scenarios: dict[str, Json] = {path.stem: catalogue.load_yaml(path) for path in paths}
        for number in range(1, generated + 1):
            self.scenarios[f"gen-{number:04d}"] = _generated(number, rooms)
        self._keys = {name: key for key, scenario in self.scenarios.items() for name in _names(key, scenario)}
        self._auto_approve = auto_approve
        self.faults: Any = None
        self.log: list[Json] = []
        self.verified_tokens: dict[str, Json] = {}
        self.reset()

    def reset(self) -> None:
        """Put every tenant and the clock back to the start; faults and the log are their owners' to clear."""
        self.offset = timedelta()
        owners = catalogue.owners()
        homes = {key: owners.get(home) or ids.tenant_id(home) for key, home in catalogue.app_homes().items()}
        registered = [catalogue.app(key, home) for key, home in homes.items()]
        self.apps: dict[str, App] = {app.id: app for app in registered}
        self._enrol()
        self.sign_ins = SignIns()
        self.activations = Activations()
        self.approval = Approval(auto=self._auto_approve)
        self.tenants: dict[str, TenantState] = {}

    def forget(self, tenant: TenantState) -> None:
        """Put one tenant back to the start, with its activation mails, its people's sign-ins and the apps it added."""
        self.tenants.pop(tenant.key, None)
        self.activations.forget(tenant.key)
        people = {user["userPrincipalName"].lower() for user in tenant.users.values()}
        self.sign_ins.sessions = {key: upn for key, upn in self.sign_ins.sessions.items() if upn not in people}
        known = catalogue.app_homes()
        self.apps = {key: app for key, app in self.apps.items() if app.home != tenant.id or app.key in known}

    def _enrol(self) -> None:
        """Register the state folder's proofs: certificate, secret and an expired secret of the verifier app."""
        now = self.now()
        for app in self.apps.values():
            if app.key == "verifier":
                app.certificates = [self.credentials.verifier.der]
                app.secrets = [
                    Secret(self.credentials.verifier_secret, now + timedelta(days=180)),
                    Secret(self.credentials.expired_secret, now - timedelta(days=7)),
                ]

    def now(self) -> datetime:
        """The sandbox's time: the real one plus `offset`."""
        return self._clock() + self.offset

    def keys(self) -> list[str]:
        """The keys of all tenants, made already or not."""
        return list(self.scenarios)

    def tenant(self, name: str) -> TenantState | None:
        """The tenant of that key, directory id or verified domain, any case; None when there is none."""
        key = self._keys.get(name.lower())
        if key is None:
            return None
        if key not in self.tenants:
            self.tenants[key] = expand(key, self.scenarios[key], self.apps, self.now())
        return self.tenants[key]


def _contoso_first(path: Path) -> tuple[bool, str]:
    return path.stem != "contoso", path.stem


def _names(key: str, scenario: Json) -> list[str]:
    return [key, ids.tenant_id(key), *scenario["domains"]]


def _generated(number: int, rooms: int) -> Json:
    key = f"gen-{number:04d}"
    return {
        "name": f"Generated {number:04d}",
        "domains": [f"{key}.example", f"{key}.onmicrosoft.com"],
        "people": [
            {"alias": "admin", "name": "Admin Person", "roles": ["Global Administrator"]},
            {"alias": "spaceiq", "name": "Workplace Person"},
        ],
        "consents": [
            {"app": "verifier", "ago": "30d", "by": "admin"},
            {"app": "cronofy-enterprise", "ago": "2d", "by": "admin"},
        ],
        "rooms": {"generate": rooms},
    }
