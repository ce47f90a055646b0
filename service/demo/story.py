"""The story of one client, from contract to closed area, with the client's own key."""

import io
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from rich.console import Console

from service.demo.claims import DEAD, Claims
from service.demo.follow import follow
from service.demo.key import Key, aws, key_in, opens_with, session_token
from service.demo.process import Served, service_process
from service.demo.reporting import report_contract

CLIENT = {
    "legal_name": "ABC LLC",
    "purpose": "Review of dermatology images for an ad-hoc study",
    "data_categories": ["medical images"],
    "contract": {
        "kind": "dpa",
        "reference": "DPA-2026-014",
        "signed_on": "2026-01-15",
        "jurisdiction": "ES",
        "signer": {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.org"},
    },
}
OTHER_CLIENT = {
    **CLIENT,
    "legal_name": "ABC LLC 2",
    "contract": {**CLIENT["contract"], "reference": "DPA-2026-015"},  # type: ignore[dict-item]
}
REPORTED_CLIENT = {
    **CLIENT,
    "legal_name": "ABC LLC 3",
    "contract": {**CLIENT["contract"], "reference": "DPA-2026-016"},  # type: ignore[dict-item]
}
SIGNER = "Ada Lovelace"
IMAGE = "study-001.png"


@dataclass(frozen=True)
class Tools:
    """What each chapter needs."""

    console: Console
    claims: Claims
    http: httpx.Client
    served: Served
    out: Path

    def aws(self, service: str, key: Key, area: dict[str, Any]) -> Any:
        """Return a boto3 client with the key."""
        served = self.served
        return aws(service, key, served.aws_endpoint, served.aws_ca_bundle, area["region"])


def tell(console: Console, out: Path) -> Claims:
    """Run the demo and return its claims. The PDF is left under ``out``."""
    claims = Claims(console)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="handover-demo-") as data:
        console.print("\n[bold]Handover[/]: one service, one local AWS, one client\n")
        with ExitStack() as running:
            with console.status("starting service and local AWS …"):
                served = running.enter_context(service_process(Path(data) / "data"))
            console.print(f"The service answers at {served.address}, the local AWS beside it.")
            with _http(served) as http:
                _chapters(Tools(console, claims, http, served, out))
    _summary(console, claims)
    return claims


def _http(served: Served) -> httpx.Client:
    headers = {"Authorization": f"Bearer {served.token}"}
    return httpx.Client(base_url=served.address, headers=headers, timeout=90)


def _chapters(tools: Tools) -> None:
    area = _open(tools)
    key = _hand_over(tools, area)
    taken = _use(tools, area, key)
    _close(tools, area, key, taken)
    _report(tools)


def _open(tools: Tools) -> dict[str, Any]:
    tools.console.print("\n[bold]1. A contract is signed: open the area of ABC LLC[/]")
    answer = tools.http.post("/v1/clients", json=CLIENT).raise_for_status()
    ended = follow(tools.console, tools.http, answer.json())
    tools.claims.check("the operation has succeeded", ended["state"] == "succeeded")
    client: dict[str, Any] = tools.http.get("/v1/clients/ABC-LLC").raise_for_status().json()
    place = f"s3://{client['area']['bucket']}/{client['area']['prefix']}"
    tools.claims.check("the area is open", client["state"] == "open", place)
    return {**client["area"], "key_ids": [key["key_id"] for key in client["keys"]]}


def _hand_over(tools: Tools, area: dict[str, Any]) -> Key:
    tools.console.print("\n[bold]2. Hand over the key: the protected record[/]")
    answer = tools.http.get("/v1/clients/ABC-LLC/record.pdf").raise_for_status()
    pdf = tools.out / "T-050-003-ABC-LLC.pdf"
    pdf.write_bytes(answer.content)
    claims = tools.claims
    claims.check("the PDF is there", answer.content.startswith(b"%PDF-"), str(pdf))
    claims.check("it does not open without a password", not opens_with(pdf, ""))
    claims.check("nor with another name", not opens_with(pdf, "Grace Hopper"))
    claims.check("it opens with the name of the signer", opens_with(pdf, SIGNER), SIGNER)
    key = key_in(pdf, SIGNER)
    found = key.access_key_id
    claims.check("the key inside is the area's", found in area["key_ids"], found)
    return key


def _use(tools: Tools, area: dict[str, Any], key: Key) -> Key:
    tools.console.print("\n[bold]3. The client's engineer uses it, and nothing else[/]")
    bucket, prefix, claims = area["bucket"], area["prefix"], tools.claims
    s3 = tools.aws("s3", key, area)
    s3.put_object(Bucket=bucket, Key=f"{prefix}images/{IMAGE}", Body=_image())
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}images/")
    names = [item["Key"] for item in listed.get("Contents", [])]
    claims.check("uploads and lists", f"{prefix}images/{IMAGE}" in names, f"{prefix}images/{IMAGE}")
    other = _other_area(tools)
    claims.refused(
        "may not list another client's prefix",
        lambda: s3.list_objects_v2(Bucket=bucket, Prefix=other),
    )
    claims.refused(
        "nor write there", lambda: s3.put_object(Bucket=bucket, Key=f"{other}x", Body=b"x")
    )
    claims.refused("nor list the bucket's root", lambda: s3.list_objects_v2(Bucket=bucket))
    claims.refused(
        "nor delete, not even its own",
        lambda: s3.delete_object(Bucket=bucket, Key=f"{prefix}images/{IMAGE}"),
    )
    served = tools.served
    return session_token(key, served.aws_endpoint, served.aws_ca_bundle, area["region"])


def _other_area(tools: Tools) -> str:
    answer = tools.http.post("/v1/clients", json=OTHER_CLIENT, headers={"Prefer": "wait=60"})
    return str(answer.raise_for_status().json()["area"]["prefix"])


def _close(tools: Tools, area: dict[str, Any], key: Key, taken: Key) -> None:
    tools.console.print("\n[bold]4. The contract ends: close the area[/]")
    reason = {"reason": "the study has ended"}
    answer = tools.http.delete("/v1/clients/ABC-LLC", params=reason).raise_for_status()
    ended = follow(tools.console, tools.http, answer.json())
    claims, bucket, prefix = tools.claims, area["bucket"], area["prefix"]
    claims.check("the operation has succeeded", ended["state"] == "succeeded")
    closed = tools.http.get("/v1/clients/ABC-LLC").raise_for_status().json()
    remaining = closed["remaining"]
    claims.check("the area is closed", closed["state"] == "closed")
    still = f"{remaining['objects']} object, {remaining['bytes']} bytes"
    claims.check("the client's image is still there", remaining["objects"] == 1, still)
    claims.refused(
        "the key is nobody any more", tools.aws("sts", key, area).get_caller_identity, DEAD
    )
    for name, dead in (("the key", key), ("a session token taken from it before", taken)):
        s3 = tools.aws("s3", dead, area)
        listing = partial(s3.list_objects_v2, Bucket=bucket, Prefix=prefix)
        upload = partial(s3.put_object, Bucket=bucket, Key=f"{prefix}images/late.png", Body=b"x")
        claims.refused(f"{name} can list nothing any more", listing, DEAD)
        claims.refused(f"{name} can upload nothing any more", upload, DEAD)
    chain = tools.http.get("/v1/audit/verify").raise_for_status().json()
    claims.check("the audit chain is whole", chain["ok"], f"{chain['events']} events")


def _report(tools: Tools) -> None:
    tools.console.print("\n[bold]5. A tool reports the next contract: the area opens by itself[/]")
    report_contract(tools.http, tools.claims, REPORTED_CLIENT)


def _summary(console: Console, claims: Claims) -> None:
    if claims.broken:
        console.print(f"\n[red]{len(claims.broken)} of {claims.checked} claims do not hold.[/]\n")
    else:
        console.print(f"\n[green]All {claims.checked} claims hold.[/]\n")


def _image() -> bytes:
    """Return a small PNG."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (196, 154, 132)).save(picture, "PNG")
    return picture.getvalue()
