"""What programs leave among images, and is no data: hidden files and folders, thumbnails of disk stations."""

from __future__ import annotations

LITTER_FOLDERS = ("__MACOSX", "@eaDir", "@__thumb", "#recycle", "@Recycle", "$RECYCLE.BIN", "lost+found")
_LITTER_FILES = ("thumbs.db", "desktop.ini", "ehthumbs.db")


def is_litter_folder(name: str) -> bool:
    """Whether a folder of this name holds copies or thumbnails, not data."""
    return name.startswith(".") or name in LITTER_FOLDERS


def is_litter_file(name: str) -> bool:
    """Whether a file of this name is hidden (macOS's ``._name`` included) or a system's own."""
    return name.startswith(".") or name.lower() in _LITTER_FILES


def is_hidden(path: str) -> bool:
    """Whether a file, or a folder on the way to it, is litter."""
    *folders, name = [part for part in path.split("/") if part not in ("", ".")] or [""]
    return is_litter_file(name) or any(is_litter_folder(folder) for folder in folders)
