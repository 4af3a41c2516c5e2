import base64

import pytest
from dap_pipelines.mask import MASK, Lines, Mask

SECRET = "5ULiLHdTWeiSIzooIfPmK3bvLnSUSzRp"


def test_a_secret_is_replaced_wherever_it_stands() -> None:
    assert Mask([SECRET])(f"a {SECRET}b {SECRET}".encode()) == b"a " + MASK + b"b " + MASK


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "user:x"])
@pytest.mark.parametrize("after", ["", "\n", "@h"])
def test_base64_of_a_secret_is_masked_at_any_offset(before: str, after: str) -> None:
    encoded = base64.b64encode(f"{before}{SECRET}{after}".encode())
    masked = Mask([SECRET])(encoded)
    assert MASK in masked
    # What stays may depend on one byte of the secret at either end.
    rest = masked.split(MASK)
    assert len(rest) == 2
    shown = base64.b64encode(SECRET.encode()).decode()
    assert shown[8:-8].encode() not in masked


def test_each_line_of_a_secret_of_many_lines_is_masked() -> None:
    mask = Mask(["-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----"])
    assert mask(b"x mnopqrstuvwx") == b"x " + MASK
    assert mask(b"-----BEGIN KEY-----") == b"-----BEGIN KEY-----"


def test_short_values_are_left_alone() -> None:
    assert Mask(["ci"])(b"ci is on") == b"ci is on"


def test_lines_are_masked_though_they_come_in_pieces() -> None:
    lines = Lines(Mask([SECRET]))
    assert lines.feed(SECRET[:10].encode()) == []
    assert lines.feed(SECRET[10:].encode() + b"\nrest") == [(MASK, True)]
    assert lines.close() == [(b"rest", True)]


@pytest.mark.parametrize("start", range(0, 200, 7))
def test_a_secret_across_the_pieces_of_a_long_line_is_masked(start: int) -> None:
    lines = Lines(Mask([SECRET]), longest=100)
    data = b"." * start + SECRET.encode() + b"." * 300
    pieces = []
    for at in range(0, len(data), 50):
        pieces += lines.feed(data[at : at + 50])
    pieces += lines.close()
    assert b"".join(piece for piece, _ in pieces) == b"." * start + MASK + b"." * 300
    assert not pieces[0][1]
