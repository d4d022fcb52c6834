"""The command `retab-emulator`, also `python -m retab_orchestration.emulator`."""

import logging
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from retab_orchestration.emulator.service import Service
from retab_orchestration.emulator.serving.allowed_hosts import names_allowed
from retab_orchestration.emulator.serving.server import REQUEST_TIMEOUT, Server, address, listen
from retab_orchestration.emulator.workflows.definitions import read_workflows

__all__ = ["main"]


class Api(StrEnum):
    """The routes that an emulator serves: those of all servers, of older ones, of newer ones, or of one generation."""

    BOTH = "both"
    CLASSIC = "classic"
    CURRENT = "current"
    G1A = "g1a"
    G1B = "g1b"
    G2A = "g2a"
    G2B = "g2b"
    G2C = "g2c"
    G3A = "g3a"
    G3B = "g3b"
    G3C = "g3c"


class Auth(StrEnum):
    """The headers that may carry the key."""

    BOTH = "both"
    API_KEY = "api-key"
    BEARER = "bearer"


class Idempotency(StrEnum):
    """What a repeated `Idempotency-Key` means."""

    COMPARED = "compared"
    HONOURED = "honoured"
    IGNORED = "ignored"


class Metadata(StrEnum):
    """What the server does with a run's metadata."""

    KEPT = "kept"
    UNFILTERED = "unfiltered"
    DROPPED = "dropped"


class AbsentRoutes(StrEnum):
    """How a path is refused that other servers have."""

    UNKNOWN = "unknown"
    WORKFLOW = "workflow"


ApiOption = Annotated[
    Api,
    typer.Option(
        help="Routes to serve: those of all servers, of older ones, of newer ones, of one generation."
    ),
]
AuthOption = Annotated[
    Auth | None,
    typer.Option(help="Header that may carry the key; what the routes had unless told otherwise."),
]
AbsentOption = Annotated[
    AbsentRoutes,
    typer.Option(
        help="What a path that other servers have is taken for: an unknown one, or one of a workflow."
    ),
]
WorkflowsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="YAML file with workflows of your own.")
]
ApiKeyOption = Annotated[str | None, typer.Option(help="The one right key; without it any key is accepted.")]
KeyOption = Annotated[
    Idempotency,
    typer.Option(
        help="What an Idempotency-Key that came before gives: the same run if the request is the same, else 409; the "
        "same run; or another one."
    ),
]
MetadataOption = Annotated[
    Metadata,
    typer.Option(help="Metadata of runs: kept, kept while the list does not filter by it, or not stored."),
]
LagOption = Annotated[float, typer.Option(help="Seconds for which a new run is in no list.")]
HostsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Name besides those of loopback and --host by which it may be called; may be given several times.",
    ),
]
TimeOption = Annotated[float, typer.Option(help="Seconds within which a request has to arrive.")]


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 0,
    api: ApiOption = Api.BOTH,
    workflows: WorkflowsOption = None,
    speed: Annotated[float, typer.Option(help="How many times faster than usual runs go.")] = 1.0,
    api_key: ApiKeyOption = None,
    auth: AuthOption = None,
    idempotency: KeyOption = Idempotency.COMPARED,
    metadata: MetadataOption = Metadata.KEPT,
    list_lag: LagOption = 0.0,
    absent_routes: AbsentOption = AbsentRoutes.UNKNOWN,
    allow_host: HostsOption = None,
    request_timeout: TimeOption = REQUEST_TIMEOUT,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log requests on stderr.")] = False,
) -> None:
    """Run a local Retab until it is interrupted; print one line when it is ready."""
    _set_up_logging(verbose=verbose)
    try:
        service = Service(
            api=api.value,
            api_key=api_key,
            workflows=read_workflows(workflows) if workflows else (),
            speed=speed,
            auth=auth and auth.value,
            idempotency=idempotency.value,
            metadata=metadata.value,
            list_lag=list_lag,
            absent_routes=absent_routes.value,
            allow_hosts=names_allowed(host, allow_host or ()),
        )
        listener = listen(host, port)
        ready = partial(_say, f"listening on {address(host, listener)}")
        server = Server(service, ready, verbose=verbose, request_timeout=request_timeout)
    except (OSError, ValueError) as error:
        typer.echo(f"retab-emulator: {error}", err=True)
        raise typer.Exit(1) from error
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def main() -> None:
    """Run the command."""
    typer.run(serve)


def _say(what: str) -> None:
    print(f"retab-emulator {what}", flush=True)  # noqa: T201 - the one line of output


def _set_up_logging(*, verbose: bool) -> None:
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    else:
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())
        logging.getLogger("uvicorn").propagate = False


if __name__ == "__main__":
    main()
