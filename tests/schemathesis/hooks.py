"""What Schemathesis cannot know of the API: how to log in, whom not to touch, and formats that have no pattern."""

import ipaddress
import os

import requests
import schemathesis
from hypothesis import strategies as st

URL = os.environ["LATCHKEY_URL"]
PASSWORD = os.environ["LATCHKEY_ADMIN_PASSWORD"]
ADMIN = os.environ["LATCHKEY_ADMIN_EMAIL"]
NOBODY = "usr_000000000000"

# Wrong passwords count against the address that they come from, and other cases send many.
ADDRESSES = map(str, ipaddress.IPv4Network("198.18.0.0/15"))


def call(path, body, headers):
    answer = requests.post(URL + path, json=body, headers=headers, timeout=20)
    answer.raise_for_status()
    return answer.json()["data"]


def log_in(email):
    credentials = {"email": email, "password": PASSWORD}
    return call("/v1/sessions", credentials, {"X-Forwarded-For": next(ADDRESSES)})


def bearer(session):
    return {"Authorization": f"Bearer {session['token']}"}


OWN = log_in(ADMIN)


def user(email):
    return call("/v1/users", {"email": email, "password": PASSWORD}, bearer(OWN))


# One to log out all the time, and one whose password is guessed, which keeps them from logging in.
LEAVING, GUESSED = user("leaving@example.com"), user("guessed@example.com")
OF_GUESSED = log_in(GUESSED["email"])
KEPT = {user["user_id"] for user in (LEAVING, GUESSED)} | {OWN["user"]["id"]}


def provider(session):
    class Provider:
        def get(self, case, context):
            return session()

        def set(self, case, session, context):
            case.headers.update(bearer(session))

    return Provider


auth = schemathesis.auth
auth(refresh_interval=None).apply_to(operation_id="logOut")(provider(lambda: log_in(LEAVING["email"])))
auth(refresh_interval=None).apply_to(operation_id="changePassword")(provider(lambda: OF_GUESSED))
auth(refresh_interval=None).skip_for(operation_id=["logOut", "changePassword"])(provider(lambda: OWN))


@schemathesis.hook
def before_call(context, case, kwargs):
    """The run would end itself if it disabled its own users or changed their passwords."""
    if case.path_parameters.get("user_id") in KEPT:
        case.path_parameters["user_id"] = NOBODY


def networks(kind, bits):
    numbers = st.tuples(st.integers(0, 2**bits - 1), st.integers(0, bits))
    return numbers.map(lambda pair: str(kind(pair, strict=False)))


schemathesis.openapi.format(
    "ip-range",
    st.one_of(
        networks(ipaddress.IPv4Network, 32),
        networks(ipaddress.IPv6Network, 128),
        st.ip_addresses().map(str),
    ),
)
