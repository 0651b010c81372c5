"""A mailbox's settings: its purpose (room, user, ...), zone, working hours, automatic replies."""

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.odata.answers import nested
from runbook_lib.sandbox.graph.outlook.mailboxes import context, mailbox_route, opened
from runbook_lib.sandbox.graph.routes import Call, Reply
from runbook_lib.sandbox.world.state import Json, Mailbox

NO_DATE = {"dateTime": "2026-01-01T00:00:00.0000000", "timeZone": "UTC"}


@mailbox_route("GET", "/mailboxSettings", page="user-get-mailboxsettings", omits="$select")
def get_mailbox_settings(call: Call) -> Reply:
    """All settings of a mailbox."""
    return nested(call, _settings(opened(call)), context(call, "mailboxSettings"))


@mailbox_route("GET", "/mailboxSettings/{setting}", like="/mailboxSettings", page="user-get-mailboxsettings")
def get_mailbox_setting(call: Call) -> Reply:
    """One setting: a complex one as itself, a plain one as `value`."""
    settings = {name.lower(): (name, value) for name, value in _settings(opened(call)).items()}
    asked = call.params["setting"]
    if asked.lower() not in settings:
        raise GraphError(400, "BadRequest", f"Resource not found for the segment '{asked}'.")
    name, value = settings[asked.lower()]
    return nested(
        call, value if isinstance(value, dict) else {"value": value}, context(call, f"mailboxSettings/{name}")
    )


def _settings(box: Mailbox) -> Json:
    return {
        "archiveFolder": None,
        "timeZone": box.time_zone,
        "delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
        "dateFormat": "M/d/yyyy",
        "timeFormat": "h:mm tt",
        "userPurpose": box.kind,
        "automaticRepliesSetting": {
            "status": "disabled",
            "externalAudience": "all",
            "internalReplyMessage": "",
            "externalReplyMessage": "",
            "scheduledStartDateTime": NO_DATE,
            "scheduledEndDateTime": NO_DATE,
        },
        "language": {"locale": "en-US", "displayName": "English (United States)"},
        "workingHours": box.work_hours,
    }
