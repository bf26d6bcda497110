"""An object store in memory, with the encryption and the owners that S3 has."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ACCOUNT_KEY = "arn:aws:kms:eu-west-1:111122223333:key/aws-managed"


@dataclass(frozen=True, kw_only=True)
class FakeObject:
    content: bytes
    kms_key: str | None = None

    @property
    def size(self) -> int:
        return len(self.content)


@dataclass
class FakeObjectStore:
    """Implements ``ObjectStore``; remembers where each upload was read from."""

    objects: dict[tuple[str, str], FakeObject] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    failure: BaseException | None = None
    uploads: list[Path] = field(default_factory=list)

    def exists(self, bucket: str, key: str, *, expected_owner: str | None) -> FakeObject | None:
        self._check_owner(bucket, expected_owner)
        return self.objects.get((bucket, key))

    def put_file(self, bucket, key, path, *, kms_key, encrypt, expected_owner, task) -> None:
        self._check_owner(bucket, expected_owner)
        self.uploads.append(path)
        content = path.read_bytes()
        if self.failure is not None:
            raise self.failure
        arn = f"arn:aws:kms:eu-west-1:111122223333:key/{kms_key.rpartition('/')[2]}" if kms_key else None
        self.objects[bucket, key] = FakeObject(content=content, kms_key=arn or (ACCOUNT_KEY if encrypt else None))
        task.advance(len(content))

    def _check_owner(self, bucket: str, expected_owner: str | None) -> None:
        if expected_owner is not None and self.owners.get(bucket, expected_owner) != expected_owner:
            raise PermissionError(f"{bucket} belongs to {self.owners[bucket]}")
