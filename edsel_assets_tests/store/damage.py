"""What a disk, or a person, does to a file."""

from pathlib import Path

DAMAGES = ("flipped", "cut", "emptied", "deleted")


def spoil(path: Path, how: str) -> bytes:
    """Flip 64 bytes in the middle of a file, cut it to half, empty or delete it; what it held before."""
    whole = path.read_bytes()
    middle = len(whole) // 2
    if how == "deleted":
        path.unlink()
        return whole
    start, end = max(0, middle - 32), middle + 32
    flipped = bytes(255 - byte for byte in whole[start:end])
    path.write_bytes(
        {"flipped": whole[:start] + flipped + whole[end:], "cut": whole[:middle], "emptied": b""}[how]
    )
    return whole
