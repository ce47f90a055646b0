"""The provider plugin as the official engine starts it: a process that is talked to over gRPC."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from engine.localaws import LocalAws
from engine.properties import from_struct, to_struct
from engine.provider import Properties

ROOT = Path(__file__).parents[3]
messages: Any = provider_pb2


@dataclass
class Engine:
    """What the engine does with a plugin."""

    stub: Any
    process: subprocess.Popen[str]

    def configure(self, *, secrets: bool = True, **settings: Any) -> Any:
        return self.stub.Configure(
            messages.ConfigureRequest(
                args=to_struct(settings), acceptSecrets=secrets, acceptResources=True
            )
        )

    def check(self, urn: str, /, **news: Any) -> tuple[Properties, dict[str, str]]:
        """Checked inputs, and what is wrong by property."""
        answer = self.stub.Check(messages.CheckRequest(urn=urn, news=to_struct(news)))
        return from_struct(answer.inputs), {it.property: it.reason for it in answer.failures}

    def create(
        self, urn: str, inputs: Properties, *, preview: bool = False
    ) -> tuple[str, Properties]:
        answer = self.stub.Create(
            messages.CreateRequest(
                urn=urn, properties=to_struct(inputs), preview=preview, timeout=60
            )
        )
        return answer.id, from_struct(answer.properties)

    def diff(
        self, urn: str, id_: str, inputs: Properties, outputs: Properties, news: Properties
    ) -> Any:
        return self.stub.Diff(
            messages.DiffRequest(
                urn=urn,
                id=id_,
                old_inputs=to_struct(inputs),
                olds=to_struct(outputs),
                news=to_struct(news),
            )
        )

    def delete(self, urn: str, id_: str, inputs: Properties, outputs: Properties) -> None:
        self.stub.Delete(
            messages.DeleteRequest(
                urn=urn, id=id_, old_inputs=to_struct(inputs), properties=to_struct(outputs)
            )
        )


def environment(local_aws: LocalAws) -> dict[str, str]:
    """The process's own environment with the local AWS's in the place of any other."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, **local_aws.environment()}


def start(env: dict[str, str]) -> Engine:
    """Start the plugin and read its port, as the protocol wants."""
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.plugin.server", "127.0.0.1:1"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=env,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    stub: Any = provider_pb2_grpc.ResourceProviderStub(channel)
    return Engine(stub, process)


def stop(engine: Engine) -> int:
    """End the plugin as the engine does, and wait for it."""
    engine.process.terminate()
    code = engine.process.wait(60)
    assert engine.process.stdout is not None
    engine.process.stdout.close()
    return code


@pytest.fixture(scope="module")
def configured(local_aws: LocalAws) -> Iterator[Engine]:
    """A plugin that is ready."""
    engine = start(environment(local_aws))
    engine.stub.Handshake(messages.ProviderHandshakeRequest(engine_address="127.0.0.1:1"))
    engine.configure()
    yield engine
    stop(engine)
