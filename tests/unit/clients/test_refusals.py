"""Error sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.clients.refusals import LONGEST, copy_refused, delete_refused, location_refused, plain, refused
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, EdgesyncError, NotFoundError, PermanentError, RequestError

IMAGE = ImageId("7f2c")
STORES = [StoreId("dcn1"), StoreId("dcn10")]

PAGE = (
    b"<html>\n <head>\n  <title>409 Conflict</title>\n </head>\n <body>\n  <h1>409 Conflict</h1>\n"
    b"  Image has active task<br /><br />\n\n\n </body>\n</html>"
)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (PAGE, "Image has active task"),
        (b"<h1>409 Conflict</h1> Image has active task<br />", "Image has active task"),
        (b'{"message": "Image has active task<br /><br />\\n\\n", "code": "409 Conflict"}', "Image has active task"),
        (b'{"error": {"message": "Authentication is required.", "code": 401}}', "Authentication is required."),
        (b"It&#x27;s &lt;here&gt;", "It's <here>"),
        (b"<html><head><title>502</title></head><body><center><h1>502 Bad Gateway</h1></center><hr>nginx", "nginx"),
        (b"{broken", "{broken"),
        (b'["a"]', '["a"]'),
        (b"", ""),
        (b"\xff\xfe", "��"),
    ],
)
def test_the_sentence_is_taken_out(body: bytes, said: str) -> None:
    assert plain(body) == said


@given(st.binary(max_size=2000))
def test_any_body_gives_one_short_line(body: bytes) -> None:
    said = plain(body)
    assert len(said) <= LONGEST
    assert "\n" not in said


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, PermanentError),
        (400, RequestError),
        (403, PermanentError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, PermanentError),
        (415, PermanentError),
    ],
)
def test_every_status_has_a_class_and_a_remedy(status: int, kind: type[EdgesyncError]) -> None:
    error = refused("list the images", status, "because", policy="get_images")
    assert type(error) is kind
    assert error.message.startswith("Can't list the images.")
    assert "because" in error.message
    assert error.remedy


@pytest.mark.parametrize(
    ("status", "said", "kind", "words"),
    [
        (400, "Image is already present at store 'dcn10'", RequestError, "in store dcn10 already"),
        (400, "'stores' is not a list", RequestError, "is not a list"),
        (409, "Image has active task", ConflictError, "Another import"),
        (
            409,
            "New operation on image '7f2c' is not permitted as prior operation is still in progress",
            ConflictError,
            "Another import",
        ),
        (409, "Only images with status active can be targeted for copying", ConflictError, "not active"),
        (409, "Store for identifier dcn10 not found", PermanentError, "no store dcn10."),
        (409, "Unknown scheme 'dcn10' found in URI", PermanentError, "no store dcn10."),
        (404, "No image found with ID 7f2c", NotFoundError, "gone"),
        (403, "You are not authorized to complete copy_image action.", PermanentError, "not authorized"),
        (413, "Project over quota", PermanentError, "over quota"),
    ],
)
def test_refused_copies(status: int, said: str, kind: type[EdgesyncError], words: str) -> None:
    error = copy_refused(IMAGE, STORES, status, said)
    assert type(error) is kind
    assert words in error.message
    assert error.remedy


def test_a_copy_refused_by_policy_names_the_policy() -> None:
    assert "copy_image" in copy_refused(IMAGE, STORES, 403, "no").remedy


@pytest.mark.parametrize(
    ("status", "said", "kind", "words"),
    [
        (403, "Cannot delete image data from the only store containing it.", PermanentError, "only copy"),
        (403, "You are not authorized", PermanentError, "not authorized"),
        (404, "Image 7f2c is not stored in store dcn1.", NotFoundError, "no copy in store dcn1"),
        (404, "Failed to find image 7f2c", NotFoundError, "gone"),
        (409, "The selected store dcn1 is not available on this node.", PermanentError, "no store dcn1"),
        (409, "The data could not be deleted because it is in use", ConflictError, "in use"),
        (409, "It's not allowed ... if image status is not 'active'", ConflictError, "not active"),
    ],
)
def test_refused_deletions(status: int, said: str, kind: type[EdgesyncError], words: str) -> None:
    error = delete_refused(IMAGE, STORES[0], status, said)
    assert type(error) is kind
    assert words in error.message
    assert error.remedy


def test_invisible_locations_name_the_setting() -> None:
    error = location_refused(IMAGE, STORES[0], 403, "It's not allowed to add locations if locations are invisible.")
    assert "show_multiple_locations" in error.remedy
