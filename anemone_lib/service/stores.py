"""The operations on objects that jobs need: whole writes, conditional writes, uploads in parts.

*Conventions.* A key is a path with ``/``. The service makes every key, a client never does. `create` writes an object
only if the key is free, and says whether it wrote: of several workers exactly one succeeds. A reader sees a whole
object or none.
"""

from collections.abc import Mapping
from typing import Protocol


class MissingObject(Exception):
    """The store has no object under this key."""


class Store(Protocol):
    """The operations that jobs need from a place for objects."""

    def read(self, key: str) -> bytes:
        """Return the content of an object.

        Raises
        ------
        MissingObject
            The store has no object under this key.
        """
        ...

    def write(self, key: str, content: bytes, *, media_type: str = "application/octet-stream") -> None:
        """Write an object. An object with the same key is replaced."""
        ...

    def create(self, key: str, content: bytes) -> bool:
        """Write an object if the key is free.

        Returns
        -------
        written : bool
            False if the store has an object with this key already.
        """
        ...

    def delete(self, prefix: str) -> None:
        """Remove every object whose key begins with a prefix, and every upload that has begun there."""
        ...

    def get_size(self, key: str) -> int:
        """Return the size of an object in bytes.

        Raises
        ------
        MissingObject
            The store has no object under this key.
        """
        ...

    def list_keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with a prefix, sorted."""
        ...

    def get_address(self, key: str) -> str:
        """Return the path or address by which `anemone_lib.open_recording` opens the object."""
        ...

    def sign_url(self, key: str, *, file_name: str) -> str | None:
        """Return a URL from which a client can download the object; None if the service serves it itself."""
        ...

    def begin_upload(self, key: str) -> str:
        """Begin an upload in parts and return its id."""
        ...

    def sign_part_url(self, key: str, upload_id: str, number: int) -> str | None:
        """Return a URL to which a client can upload a part; None if the service receives it itself."""
        ...

    def complete_upload(
        self, key: str, upload_id: str, etags: Mapping[int, str], *, part_bytes: int, size_bytes: int
    ) -> None:
        """Join the uploaded parts into one object. If the object exists, nothing happens.

        Parameters
        ----------
        key : str
        upload_id : str
        etags : mapping of part number (from 1) to the ETag that the upload of the part returned
        part_bytes : int > 0, size of every part except the last
        size_bytes : int > 0, size of the whole object

        Raises
        ------
        Problem
            400: a part is missing, has another ETag, or has another size.
        """
        ...


def exists(store: Store, key: str) -> bool:
    """Return whether a store has an object under a key."""
    try:
        store.get_size(key)
    except MissingObject:
        return False
    return True
