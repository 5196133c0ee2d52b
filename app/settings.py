"""The settings, read once from ``FORWARD_PASS_*`` variables: the only reader of the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="FORWARD_PASS_", frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on. Without accounts only loopback is accepted.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    data: Path = Field(
        ROOT / "data", description="Folder of the database, its lock file, backups and the signing secret."
    )
    database: str = Field(
        "", description="Path of the SQLite file; empty means forward-pass.sqlite in the data folder."
    )
    content: Path = Field(ROOT / "content", description="Folder of the card files.")
    allowed_hosts: tuple[str, ...] = Field(
        ("127.0.0.1", "localhost", "[::1]"),
        description="Host names that a request may carry, without the port (protects against DNS rebinding).",
    )
    time_zone: str = Field("", description="IANA name of the learner's time zone; empty means the machine's.")
    workers: int = Field(2, ge=1, le=64, description="Worker processes that run demonstrations.")
    pool: bool = Field(True, description="Start the worker pool; off serves stored pictures only.")
    worker_memory_mb: int = Field(1024, ge=64, description="Memory that one run may add to its worker, in MiB.")
    run_limit_seconds: float = Field(10.0, gt=0, description="Longest time that one demonstration may run.")
    queue_limit: int = Field(64, ge=1, description="Runs that may wait; more are refused with Retry-After.")
    runs_per_worker: int = Field(500, ge=1, description="Runs after which a reused worker is replaced.")
    unconfined: bool = Field(
        False, description="Allow workers without the Linux sandbox (needed on macOS); /readyz says so."
    )
    gpus: int = Field(0, ge=0, le=16, description="CUDA devices given to one long-lived worker each.")
    body_limit_bytes: int = Field(1_000_000, ge=1024, description="Largest request body that is read.")

    @property
    def database_path(self) -> Path:
        return Path(self.database) if self.database else self.data / "forward-pass.sqlite"
