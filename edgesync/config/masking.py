"""Hides passwords in what is shown to people."""

from __future__ import annotations

import re

MASK = "***"


def mask_password(url: str) -> str:
    """The URL without its password, wherever it stands: `//user:password@host`, or `?password=`."""
    url = re.sub(r"(://[^:/@]*:).*@", rf"\1{MASK}@", url)
    return re.sub(r"([?&][^=&]*password=)[^&]*", rf"\1{MASK}", url, flags=re.IGNORECASE)
