"""``handover serve``: the API and its worker, in local mode with a local AWS beside them."""

import asyncio
import gc
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from service.assembly import Runtime, aws_environment, running
from service.cli.output import JsonFlag, refuse
from service.cli.stopping import leave_on_signals
from service.cli.worker import refuse_sqlite
from service.http.app import create_app
from service.local import local_service
from service.logs import configure_logging
from service.settings import Settings

GRACE_SECONDS = 5
"""How long open connections, such as event streams, may take to end at a stop."""


def serve(
    local: Annotated[
        bool, typer.Option("--local", help="Everything on this machine, with a local AWS.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    data: Annotated[
        Path, typer.Option(help="Folder of local mode: database, state, keys, logs.")
    ] = Path(".handover"),
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Leave the work to `handover worker` processes.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Serve the API and carry out operations, until stopped by Ctrl-C or SIGTERM."""
    leave_on_signals()
    with _listening(host, port, as_json=as_json) as listener:
        if local:
            if no_worker:
                refuse_sqlite("sqlite", "`--no-worker`")
            configure_logging("info", data / "logs")
            with local_service(data, keyless=True) as service:
                document = {
                    "data": str(data.absolute()),
                    "token_file": str(service.token_file.absolute()),
                    "aws_endpoint": service.aws.endpoint_url,
                    "aws_ca_bundle": str(service.aws.ca_bundle),
                }
                _run(service.runtime, listener, document, as_json=as_json)
        else:
            settings = Settings()
            if no_worker:
                refuse_sqlite(settings.database, "`--no-worker`")
            configure_logging(settings.log_level, None)
            with running(
                settings, aws_environment(settings), worker=not no_worker, keyless=True
            ) as runtime:
                _run(runtime, listener, {}, as_json=as_json)


def _run(
    runtime: Runtime, listener: socket.socket, document: dict[str, str], *, as_json: bool
) -> None:
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    config = uvicorn.Config(
        create_app(runtime.services),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        lifespan="on",
    )
    # What was loaded stays for good: without this each full collection would look at all of it.
    gc.freeze()
    _announce(runtime, {"address": address, **document}, as_json=as_json)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


def _announce(runtime: Runtime, document: dict[str, str], *, as_json: bool) -> None:
    areas = runtime.services.areas
    engine = f"{areas.stacks.engine} engine, Pulumi {areas.stacks.engine_version()}"
    logging.getLogger(__name__).info("serving %s with the %s", document["address"], engine)
    if as_json:
        typer.echo(json.dumps({**document, "engine": areas.stacks.engine}))
        return
    typer.echo(f"Handover serves {document['address']} ({engine}); API: /docs")
    if "token_file" in document:
        typer.echo(f"Token of the admin: {document['token_file']}")
        typer.echo(f"Local AWS: {document['aws_endpoint']}, CA {document['aws_ca_bundle']}")
    typer.echo("Stop with Ctrl-C.")


@contextmanager
def _listening(host: str, port: int, *, as_json: bool) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            sentence = f"{host}:{port} can't be listened on: {error.strerror}. Give another --port."
            refuse("address", sentence, as_json=as_json)
        listener.listen(2048)
        yield listener
