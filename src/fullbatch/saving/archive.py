"""Zip archives of arrays and text that know what must be in them: nothing is missing, unknown, or other than written.

The first member, `metadata.json`, tells kind, version and the type and shape of every other member, each an array in
NumPy's format. The archive's comment is the SHA-256 of all bytes before it.
"""

import hashlib
import json
import math
import re
import zipfile
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DamagedError, ModelFileError

Array = npt.NDArray[Any]
Arrays = Mapping[str, "Array | Stacked"]

FORMAT, VERSION = "fullbatch", 2
METADATA = "metadata.json"

_SEAL = re.compile(rb"sha256:[0-9a-f]{64}")
_UNSEALED = b"sha256:" + b"0" * 64
_CHUNK = 2**20

# More text than this is no metadata of ours.
_LONGEST_METADATA = 2**24
# Booleans, whole numbers, numbers, bytes and text.
_KINDS = "biufSU"
_LARGEST_CHARACTER = 0x10FFFF

_LOCAL, _LOCAL_BYTES = b"PK\3\4", 30
_DESCRIPTOR, _UTF8 = 0x08, 0x800  # flags of a member
_DESCRIPTOR_BYTES = (16, 24)
_END = b"PK\5\6\0\0\0\0"


class Stacked(NamedTuple):
    """Vectors that are saved as the rows of one matrix, without making it.

    Parameters
    ----------
    rows : tuple of (size,) float64 arrays
        Any number of them.
    size : int
        Length of each.
    """

    rows: tuple[Array, ...]
    size: int


def pack(file: IO[bytes], kind: str, arrays: Arrays, metadata: Mapping[str, Any]) -> None:
    """Write an archive.

    Parameters
    ----------
    file : binary file
        To write to, from here on; need not seek.
    kind : str
        What is in it.
    arrays : mapping of str to array or Stacked
        Numbers and text; objects are refused.
    metadata : mapping
        Anything JSON can hold.
    """
    members = {name: _told(*_type_and_shape(name, array)) for name, array in arrays.items()}
    header = {"format": FORMAT, "version": VERSION, "kind": kind, "members": members, **metadata}
    sealed = _Sealed(file)
    with zipfile.ZipFile(sealed, "w") as archive:  # type: ignore[arg-type]
        archive.comment = _UNSEALED
        # Without the time, so that the same contents are the same bytes.
        archive.writestr(zipfile.ZipInfo(METADATA), json.dumps(header, indent=1))
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                _write_array(member, array)
    sealed.close()


def unpack(file: IO[bytes], where: str) -> tuple[str, dict[str, Array], dict[str, Any]]:
    """Read an archive.

    Parameters
    ----------
    file : binary file
        That seeks, and has an end.
    where : str
        What it is called in messages.

    Returns
    -------
    kind : str
    arrays : dict of str to array
    metadata : dict
        What was given to `pack`.

    Raises
    ------
    DamagedError
        Something is missing, unknown, twice there, compressed, larger than the file, or not as it was written.
    ModelFileError
        It is of a later version.
    """
    try:
        return _unpack(file, where)
    except ModelFileError:
        raise
    except Exception as error:  # zipfile, NumPy and JSON raise errors of all kinds for bytes that others wrote
        words = str(error) or type(error).__name__
    raise DamagedError(f"{where} is damaged, or not a file of fullbatch: {words}")


def is_ours(head: bytes) -> bool:
    """Whether a file that begins like this is an archive of ours, whole or not."""
    return head.startswith(_LOCAL) and METADATA.encode() in head[:60] and b'"format": "fullbatch"' in head


def _unpack(file: IO[bytes], where: str) -> tuple[str, dict[str, Array], dict[str, Any]]:
    size = file.seek(0, 2)
    is_sealed = _check_seal(file, size, where)
    with zipfile.ZipFile(file) as archive:
        if METADATA not in archive.namelist():
            raise DamagedError(f"{where} is not a file of fullbatch: it has no {METADATA}")
        members = _checked_members(file, archive, size, is_sealed)
        metadata = _metadata(archive, members.pop(METADATA))
        if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
            raise DamagedError(f"{where} is not a file of fullbatch")
        version = metadata.get("version")
        if type(version) is not int or not 1 <= version <= VERSION:
            raise ModelFileError(
                f"{where} has version {str(version)[:20]}, this fullbatch reads up to {VERSION}: upgrade fullbatch"
            )
        if (version > 1) is not is_sealed:
            raise ValueError("the SHA-256 at its end is missing" if version > 1 else "version 1 has no SHA-256")
        if not all(name.endswith(".npy") for name in members):
            raise ValueError(f"the member {next(name for name in members if not name.endswith('.npy'))} is unknown")
        names = {name.removesuffix(".npy"): member for name, member in members.items()}
        told = metadata.get("members") if version > 1 else dict.fromkeys(names)
        if not isinstance(told, dict):
            raise ValueError("members: the list of the arrays is missing")
        for name in [*told.keys() - names.keys(), *names.keys() - told.keys()]:
            raise ValueError(f"the member {name} is {'missing' if name in told else 'unknown'}")
        arrays = {name: _read_array(archive, member, name, told[name]) for name, member in names.items()}
    kind = metadata.get("kind")
    if not isinstance(kind, str):
        raise ValueError("kind must be text")
    beside = {name: value for name, value in metadata.items() if name not in ("format", "version", "kind", "members")}
    return kind, arrays, beside


class _Sealed:
    """A file whose last bytes, the archive's comment, are written when the SHA-256 of all others is known."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash, self._held = file, hashlib.sha256(), b""

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if len(view) < len(_UNSEALED):
            held = self._held + bytes(view)
            written, self._held = held[: -len(_UNSEALED)], held[-len(_UNSEALED) :]
            self._put(written)
        else:
            self._put(self._held)
            self._put(view[: -len(_UNSEALED)])
            self._held = bytes(view[-len(_UNSEALED) :])
        return len(view)

    def flush(self) -> None:
        """Nothing: what is held back stays so until `close`."""

    def close(self) -> None:
        self._file.write(b"sha256:" + self._hash.hexdigest().encode())

    def _put(self, data: Any) -> None:
        self._hash.update(data)
        self._file.write(data)


def _check_seal(file: IO[bytes], size: int, where: str) -> bool:
    """Whether there is a SHA-256 at the end; it must be that of the bytes before it."""
    length = size - len(_UNSEALED)
    file.seek(max(length, 0))
    seal = file.read(len(_UNSEALED))
    if not _SEAL.fullmatch(seal):
        return False
    contents = hashlib.sha256()
    file.seek(0)
    while length:
        part = file.read(min(_CHUNK, length))
        if not part:
            raise ValueError("it ends too early")
        contents.update(part)
        length -= len(part)
    if seal != b"sha256:" + contents.hexdigest().encode():
        raise DamagedError(
            f"{where} is damaged: its bytes are not those that were written (by their SHA-256): take another copy of "
            "it, or write it again"
        )
    return True


def _checked_members(
    file: IO[bytes], archive: zipfile.ZipFile, size: int, is_sealed: bool
) -> dict[str, zipfile.ZipInfo]:
    """Members by their names: stored as they are, each once, one after another from the first byte to the last.

    So none can vanish from the directory at the end of the file, or be larger than the file.
    """
    members = {info.filename: info for info in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise ValueError("a member is there twice")
    ordered = sorted(members.values(), key=lambda info: info.header_offset)
    for info, end in zip(ordered, [*(info.header_offset for info in ordered[1:]), archive.start_dir], strict=True):
        name = info.filename
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ValueError(f"the member {name} is compressed")
        if info.flag_bits & ~(_DESCRIPTOR | _UTF8) or info.orig_filename != name:
            raise ValueError(f"the member {name} is encrypted or of an unknown kind")
        file.seek(info.header_offset)
        head = file.read(_LOCAL_BYTES)
        if not head.startswith(_LOCAL) or len(head) < _LOCAL_BYTES:
            raise ValueError(f"the member {name} is not where the directory says")
        beside = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        rest = end - (info.header_offset + _LOCAL_BYTES + beside + info.file_size)
        if rest not in (_DESCRIPTOR_BYTES if info.flag_bits & _DESCRIPTOR else (0,)):
            raise ValueError(f"the member {name} is not as long as the directory says, or another one is missing")
    if ordered[0].header_offset != 0:
        raise ValueError("something stands before its first member")
    end = size - 22 - len(archive.comment)
    file.seek(max(end, 0))
    if len(archive.comment) != (len(_UNSEALED) if is_sealed else 0) or not file.read(8).startswith(_END):
        raise ValueError("something stands behind its last member")
    return members


def _metadata(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    if member.file_size > _LONGEST_METADATA:
        raise ValueError(f"{METADATA} has {member.file_size} bytes")
    return json.loads(archive.read(member).decode())


def _type_and_shape(name: str, array: Array | Stacked) -> tuple[np.dtype[Any], tuple[int, ...]]:
    if isinstance(array, Stacked):
        return np.dtype("<f8"), (len(array.rows), array.size)
    if array.dtype.kind not in _KINDS:
        raise ValueError(f"{name} is an array of {array.dtype}, which is not saved: that would take pickle")
    return array.dtype, array.shape


def _told(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    """Type and shape of an array as the metadata tells them, such as "<f8 (3, 4)"."""
    return f"{dtype.str} {shape}"


def _write_array(member: IO[bytes], array: Array | Stacked) -> None:
    if not isinstance(array, Stacked):
        np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
        return
    shape = (len(array.rows), array.size)
    np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": shape})
    for row in array.rows:
        member.write(np.ascontiguousarray(row, "<f8").data)


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, told: Any) -> Array:
    """An array, once it is known that type and shape are those that were told and that the file holds so many bytes.

    The checksum of a member is checked with its last byte.
    """
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"the member {name} is an array of version {version}")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, dtype = read_header(member)
        if told is not None and told != _told(dtype, shape):
            raise ValueError(f"the member {name} is {_told(dtype, shape)}, the metadata says {str(told)[:60]}")
        if (
            dtype.kind not in _KINDS
            or not dtype.itemsize
            or not all(type(length) is int and length >= 0 for length in shape)
        ):
            raise ValueError(f"the member {name} is {_told(dtype, shape)}, which is never saved")
        length = math.prod(shape) * dtype.itemsize
        if member.tell() + length != info.file_size:
            raise ValueError(f"the member {name} does not have the {length} bytes of its type and shape")
        flat = np.empty(math.prod(shape), dtype)
        rest = flat.view(np.uint8).data if length else memoryview(b"")
        while len(rest):
            part = member.read(min(len(rest), _CHUNK))
            if not part:
                raise ValueError(f"the member {name} ends too early")
            rest[: len(part)] = part
            rest = rest[len(part) :]
    if dtype.kind == "U" and flat.size and flat.view(f"{dtype.str[0]}u4").max() > _LARGEST_CHARACTER:
        raise ValueError(f"the member {name} is no text")
    flat = flat.astype(dtype.newbyteorder("="), copy=False)
    return flat.reshape(shape[::-1]).T if by_column else flat.reshape(shape)
