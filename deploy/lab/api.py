"""Log in to the lab's Keystone as somebody, and speak to the APIs: a session that adds the token to each request."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session

from deploy.lab.layout import Lab

# Who can log in with a password, and to which project.
PROJECTS: Mapping[str, str] = {"admin": "admin", "member": "tenant", "edgesync": "service", "glance": "service"}
DEADLINE = 60  # seconds without an answer


@contextmanager
def login(lab: Lab, user: str = "admin", deadline: float = DEADLINE) -> Iterator[Session]:
    """A session as that user; the token is fetched with the first request."""
    auth = Password(
        auth_url=lab.keystone_url,
        username=user,
        password=lab.secret(user),
        project_name=PROJECTS[user],
        user_domain_id="default",
        project_domain_id="default",
    )
    with requests.Session() as connections:
        yield Session(auth=auth, session=connections, timeout=deadline)


def answers(url: str, deadline: float = 5) -> bool:
    """Whether a server there answers without an error, asked without a log-in."""
    try:
        return requests.get(url, timeout=deadline).ok
    except requests.RequestException:
        return False
