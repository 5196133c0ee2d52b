"""Pictures beside a card are shown; the rest of the folder is not served."""

from __future__ import annotations

from pathlib import Path

from tests.fakes import running

PIXEL = bytes.fromhex("89504e470d0a1a0a")


async def test_only_pictures_are_served_from_the_content_folder(tmp_path: Path) -> None:
    folder = tmp_path / "content" / "applied"
    folder.mkdir(parents=True)
    (folder / "loss.png").write_bytes(PIXEL)
    (folder / "note.md").write_text("secret", encoding="utf-8")
    async with running(tmp_path, content=tmp_path / "content") as (client, _):
        assert (await client.get("/content/applied/loss.png")).content == PIXEL
        assert (await client.get("/content/applied/note.md")).status_code == 404
        assert (await client.get("/content/..%2fforward-pass.sqlite")).status_code == 404
