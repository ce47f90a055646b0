"""A service with a local AWS and as many clients as asked for, made in bulk."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config
from sqlmodel import select

from models.access_keys import AccessKey, AccessKeyStatus
from models.actors import Actor
from models.base import new_id
from models.clients import Client, ClientState, Contract, ContractKind, Signer
from models.database import create_engine_for, transaction
from models.names import entity_key, reference_key, slug_key
from service.demo.process import Served
from stacks.policies import area_policy, compact

BUCKET = "legit-health-clients"
GROUP = "Clients"
REGION = "eu-west-1"
BULK_THREADS = 8


@dataclass
class World:
    """A running service with its data folder; ``filled`` counts the clients made in bulk."""

    served: Served
    data: Path
    filled: int = 0

    def environment(self) -> dict[str, str]:
        """Return the AWS settings of the service's local AWS, as its root user."""
        return {
            "AWS_ENDPOINT_URL": self.served.aws_endpoint,
            "AWS_CA_BUNDLE": self.served.aws_ca_bundle,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def aws(self, service: str) -> Any:
        """Return a boto3 client for many threads."""
        session: Any = boto3.Session()
        return session.client(
            service,
            endpoint_url=self.served.aws_endpoint,
            verify=self.served.aws_ca_bundle,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(max_pool_connections=32, tcp_keepalive=True),
        )

    def http(self) -> httpx.Client:
        """Return the service's admin."""
        return httpx.Client(
            base_url=self.served.address,
            headers={"Authorization": f"Bearer {self.served.token}"},
            timeout=120,
            trust_env=False,
        )

    def fill(self, count: int) -> None:
        """Bring the number of clients that are there up to ``count``: AWS, database and state."""
        slugs = [f"Bulk-{number:05d}" for number in range(self.filled, count)]
        iam, s3 = self.aws("iam"), self.aws("s3")
        with ThreadPoolExecutor(BULK_THREADS) as pool:
            keys = list(pool.map(lambda slug: bare_calls(iam, s3, slug), slugs))
        self._rows(dict(zip(slugs, keys, strict=True)))
        for backend in (self.data / "state", self.data.parent / "state"):
            copy_stacks(backend, slugs)
        self.filled = max(count, self.filled)

    def _rows(self, keys: Mapping[str, str]) -> None:
        database = create_engine_for(f"sqlite:///{self.data / 'handover.db'}")
        with transaction(database) as session:
            owner = session.exec(select(Actor)).first()
            assert owner is not None
            for slug, key_id in keys.items():
                client = _client(slug, owner.id)
                session.add(client)
                session.flush()
                contract = _contract(client)
                session.add(contract)
                session.flush()
                session.add(
                    Signer(contract_id=contract.id, full_name="Bulk", email="b@bulk.example")
                )
                session.add(
                    AccessKey(
                        client_id=client.id,
                        generation=1,
                        access_key_id=key_id,
                        status=AccessKeyStatus.active,
                    )
                )
        database.dispose()


def bare_calls(iam: Any, s3: Any, slug: str) -> str:
    """Make by hand what an area is, in the fewest AWS calls; return the key's id."""
    iam.create_user(
        UserName=slug,
        PermissionsBoundary="arn:aws:iam::000000000000:policy/handover-client-boundary",
        Tags=[{"Key": "handover:client", "Value": slug}],
    )
    iam.add_user_to_group(UserName=slug, GroupName=GROUP)
    policy = area_policy("hardened", bucket=BUCKET, slug=slug, region=REGION)
    iam.put_user_policy(
        UserName=slug, PolicyName=f"{slug}_s3_access", PolicyDocument=compact(policy)
    )
    s3.put_object(Bucket=BUCKET, Key=f"{slug}/images/", Body=b"")
    return str(iam.create_access_key(UserName=slug)["AccessKey"]["AccessKeyId"])


def copy_stacks(backend: Path, slugs: list[str]) -> None:
    """Put a checkpoint for each slug beside those that are there, as an engine would have."""
    folder = backend / ".pulumi" / "stacks" / "handover-clients"
    template = next(iter(sorted(folder.glob("*.json"))), None)
    if template is None:
        return
    text, name = template.read_text(), json.loads(template.read_text())["checkpoint"]["stack"]
    original = name.rsplit("/", 1)[-1]
    for slug in slugs:
        (folder / f"{slug}.json").write_text(text.replace(original, slug))


def _client(slug: str, owner_id: str) -> Client:
    return Client(
        id=new_id(),
        slug=slug,
        slug_key=slug_key(slug),
        legal_name=slug,
        entity_key=entity_key(slug),
        purpose="to be there",
        data_categories=["images"],
        state=ClientState.open,
        owner_actor_id=owner_id,
        bucket=BUCKET,
        prefix=f"{slug}/",
        region=REGION,
        user_name=slug,
    )


def _contract(client: Client) -> Contract:
    return Contract(
        client_id=client.id,
        kind=ContractKind.customer,
        reference=client.slug,
        reference_key=reference_key(client.slug),
        signed_on=date(2026, 1, 1),
        jurisdiction="ES",
    )
