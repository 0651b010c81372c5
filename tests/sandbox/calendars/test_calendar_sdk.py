"""Microsoft's own SDK reads the sandbox's places and calendars, over TLS, and finds its typed properties filled."""

import asyncio
import ssl
import warnings
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from runbook_lib.sandbox.entra.tokens import access_token
from runbook_lib.sandbox.server import Sandbox
from tests.sandbox.outlook import ADELE, CRONOFY, EVERYTHING, ROOM

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kiota warns of a class of its own
    from kiota_abstractions.authentication import AuthenticationProvider
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from kiota_abstractions.request_information import RequestInformation
    from msgraph.generated.models.attendee import Attendee
    from msgraph.generated.models.attendee_type import AttendeeType
    from msgraph.generated.models.date_time_time_zone import DateTimeTimeZone
    from msgraph.generated.models.email_address import EmailAddress
    from msgraph.generated.models.event import Event
    from msgraph.generated.models.free_busy_status import FreeBusyStatus
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError
    from msgraph.generated.models.response_type import ResponseType
    from msgraph.generated.models.user_purpose import UserPurpose
    from msgraph.generated.places.graph_room.graph_room_request_builder import GraphRoomRequestBuilder
    from msgraph.generated.users.item.calendar.get_schedule.get_schedule_post_request_body import (
        GetSchedulePostRequestBody,
    )
    from msgraph.generated.users.item.calendar_view.calendar_view_request_builder import CalendarViewRequestBuilder
    from msgraph.generated.users.item.calendar_view.delta.delta_request_builder import DeltaRequestBuilder
    from msgraph.graph_request_adapter import GraphRequestAdapter
    from msgraph.graph_service_client import GraphServiceClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK warns of itself when it loads parts
LIST = "rooms-building-1@contoso.example"
RoomsQuery = GraphRoomRequestBuilder.GraphRoomRequestBuilderGetQueryParameters
ViewQuery = CalendarViewRequestBuilder.CalendarViewRequestBuilderGetQueryParameters
DeltaQuery = DeltaRequestBuilder.DeltaRequestBuilderGetQueryParameters
Work = Callable[[GraphServiceClient], Awaitable[None]]


class Bearer(AuthenticationProvider):
    """Puts a token into every request."""

    def __init__(self, token: str) -> None:
        self.token = token

    async def authenticate_request(
        self,
        request: RequestInformation,
        additional_authentication_context: dict[str, Any] | None = None,  # noqa: ARG002 - the base class has it
    ) -> None:
        request.headers.add("Authorization", f"Bearer {self.token}")


def run(sandbox: Sandbox, work: Work, permissions: frozenset[str] = EVERYTHING) -> None:
    """Do the work with a client that is signed in as an application."""
    tenant = sandbox.world.tenant("contoso")
    assert tenant is not None
    token = access_token(sandbox.world, tenant, tenant.apps[CRONOFY], permissions)

    async def with_client() -> None:
        context = ssl.create_default_context(cafile=str(sandbox.ca_file))
        async with httpx.AsyncClient(verify=context, trust_env=False, timeout=30) as http:
            adapter = GraphRequestAdapter(Bearer(token), http)
            adapter.base_url = f"{sandbox.url}/v1.0"
            await work(GraphServiceClient(request_adapter=adapter))

    asyncio.run(with_client())


def at(moment: datetime) -> DateTimeTimeZone:
    return DateTimeTimeZone(date_time=moment.strftime("%Y-%m-%dT%H:%M:%S"), time_zone="UTC")


def test_rooms_and_room_lists(sandbox: Sandbox) -> None:
    async def work(client: GraphServiceClient) -> None:
        page = await client.places.graph_room.get(RequestConfiguration(query_parameters=RoomsQuery(top=5, count=True)))
        assert page is not None
        assert page.value is not None
        assert (len(page.value), page.odata_count, page.odata_next_link) == (5, 12, None)
        room = page.value[0]
        assert (room.email_address, room.capacity, room.floor_number) == (ROOM, 4, 1)
        assert room.address is not None
        assert room.address.city == "Bellevue"
        assert room.additional_data == {}
        one = await client.places.by_place_id(ROOM).graph_room.get()
        assert one is not None
        assert one.id == room.id
        lists = await client.places.graph_room_list.get()
        assert lists is not None
        assert lists.value is not None
        assert lists.value[0].email_address == LIST
        rooms = await client.places.by_place_id(LIST).graph_room_list.rooms.get()
        assert rooms is not None
        assert rooms.value is not None
        assert len(rooms.value) == 5

    run(sandbox, work)


def test_a_booking_from_request_to_cancellation(sandbox: Sandbox) -> None:
    async def work(client: GraphServiceClient) -> None:
        start = sandbox.world.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=24)
        end = start + timedelta(hours=1)
        attendee = Attendee(email_address=EmailAddress(address=ROOM), type=AttendeeType.Resource)
        user, room = client.users.by_user_id(ADELE), client.users.by_user_id(ROOM)
        event = await user.events.post(Event(subject="Test", start=at(start), end=at(end), attendees=[attendee]))
        assert event is not None
        assert event.id is not None
        assert set(event.additional_data) <= {
            *("@odata.context", "@odata.etag", "calendar@odata.associationLink", "calendar@odata.navigationLink")
        }
        sandbox.world.offset += timedelta(seconds=3)
        event = await user.events.by_event_id(event.id).get()
        assert event is not None
        assert event.id is not None
        assert event.attendees is not None
        status = event.attendees[0].status
        assert status is not None
        assert (status.response, status.time is not None) == (ResponseType.Accepted, True)
        window = ViewQuery(
            start_date_time=start.isoformat(), end_date_time=end.isoformat(), select=["subject", "iCalUId", "showAs"]
        )
        view = await room.calendar_view.get(RequestConfiguration(query_parameters=window))
        assert view is not None
        assert view.value is not None
        assert [(each.i_cal_u_id, each.show_as) for each in view.value] == [(event.i_cal_u_id, FreeBusyStatus.Busy)]
        body = GetSchedulePostRequestBody(
            schedules=[ROOM, "nobody@contoso.example"],
            start_time=at(start),
            end_time=at(end),
            availability_view_interval=30,
        )
        schedules = await user.calendar.get_schedule.post(body)
        assert schedules is not None
        assert schedules.value is not None
        busy, unknown = schedules.value
        assert busy.availability_view == "22"
        assert busy.schedule_items is not None
        assert busy.schedule_items[0].status == FreeBusyStatus.Busy
        assert busy.working_hours is not None
        assert busy.working_hours.time_zone is not None
        assert busy.working_hours.time_zone.name == "Pacific Standard Time"
        assert unknown.error is not None
        assert unknown.error.response_code == "5009"
        tracked = DeltaQuery(start_date_time=start.isoformat(), end_date_time=end.isoformat())
        changes = await room.calendar_view.delta.get(RequestConfiguration(query_parameters=tracked))
        assert changes is not None
        assert changes.odata_delta_link is not None
        await user.events.by_event_id(event.id).delete()
        sandbox.world.offset += timedelta(seconds=3)
        later = await room.calendar_view.delta.with_url(changes.odata_delta_link).get()
        assert later is not None
        assert later.value is not None
        assert "@removed" in later.value[0].additional_data

    run(sandbox, work)


def test_a_calendar_and_the_settings_of_its_mailbox(sandbox: Sandbox) -> None:
    async def work(client: GraphServiceClient) -> None:
        room = client.users.by_user_id(ROOM)
        calendar = await room.calendar.get()
        assert calendar is not None
        assert calendar.owner is not None
        assert (calendar.owner.address, calendar.is_default_calendar) == (ROOM, True)
        settings = await room.mailbox_settings.get()
        assert settings is not None
        assert settings.user_purpose == UserPurpose.Room
        assert settings.working_hours is not None
        assert set(settings.additional_data) == {"@odata.context"}

    run(sandbox, work)


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("on-premises", 404, "MailboxNotEnabledForRESTAPI"),
        ("missing", 404, "ResourceNotFound"),
        ("policy-blocked", 403, "ErrorAccessDenied"),
    ],
)
def test_a_refusal_is_an_error_with_its_code(sandbox: Sandbox, state: str, status: int, code: str) -> None:
    tenant = sandbox.world.tenant("contoso")
    assert tenant is not None
    tenant.mailboxes[ROOM].state = state

    async def work(client: GraphServiceClient) -> None:
        with pytest.raises(ODataError) as refusal:
            await client.users.by_user_id(ROOM).calendar.get()
        assert refusal.value.error is not None
        assert (refusal.value.response_status_code, refusal.value.error.code) == (status, code)

    run(sandbox, work)


def test_places_without_permission_are_an_error(sandbox: Sandbox) -> None:
    async def work(client: GraphServiceClient) -> None:
        with pytest.raises(ODataError) as refusal:
            await client.places.graph_room.get()
        assert refusal.value.response_status_code == 403

    run(sandbox, work, frozenset({"Calendars.ReadWrite"}))
