"""What a Glance can do and tell. Older ones tell less, and edgesync then works with less detail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """What was found out about one Glance."""

    # The newest API version, such as "v2.18".
    version: str
    # Import methods that are offered: copy-image, web-download, glance-direct.
    methods: frozenset[str]
    # Whether an image's tasks are shown: the progress of a copy in Glance's words, the age of a lock.
    tells_tasks: bool = True
    # Whether the stores' types and pools are shown to admins.
    tells_details: bool = True
    # Whether these have the clusters' ids; True until they have been seen without.
    tells_fsid: bool = True

    # Whether images are shown with their locations, and so may get new ones (show_multiple_locations); False until they
    # have been seen with them.
    shows_locations: bool = False

    @property
    def misses(self) -> tuple[str, ...]:
        """One sentence for each thing that a newer, or another, Glance would offer."""
        sentences = {
            "Glance does not show tasks (it does from API v2.12 on): copies have no progress in its words, and nobody "
            "knows when the lock of a dead import expires.": self.tells_tasks,
            "Glance does not tell the stores' types and pools (it does from API v2.15 on).": self.tells_details,
            "Glance does not tell the clusters' ids: that a store is the cluster that edgesync has a key for can't be "
            "checked.": self.tells_fsid or not self.tells_details,
            "Glance does not offer web-download: no image can be imported from a URI.": "web-download" in self.methods,
            "Glance does not offer glance-direct: no image can be imported from a file.": "glance-direct"
            in self.methods,
        }
        return tuple(sentence for sentence, there in sentences.items() if not there)
