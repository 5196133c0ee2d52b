"""What routes are given: the viewer and the parts of the running application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from app.viewer import Viewer, solo


def viewer_of(request: Request) -> Viewer:
    """Without accounts everybody is the one learner of this machine."""
    return solo(request.app.state.time_zone)


def wants_fragment(request: Request) -> bool:
    """True for htmx, which swaps a part of the page; a plain form gets a redirect."""
    return request.headers.get("hx-request") == "true"


CurrentViewer = Annotated[Viewer, Depends(viewer_of)]
Fragment = Annotated[bool, Depends(wants_fragment)]
