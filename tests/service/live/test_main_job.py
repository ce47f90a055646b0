"""The main job on the running service: HTTP in, AWS, SQL and PDF judged from outside."""

import concurrent.futures
import csv
import io
import json
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pikepdf
import pypdf
import pytest
from botocore.exceptions import ClientError

from service.demo.process import Served
from tests.service.live.conftest import WAIT, NewClient, caller, key_client, root

SIGNER = "Ada Lovelace"


def opened(api: httpx.Client, request: dict[str, Any]) -> dict[str, Any]:
    answer = api.post("/v1/clients", json=request, headers=WAIT)
    assert answer.status_code == 201, answer.text
    client: dict[str, Any] = answer.json()
    return client


def key_of(pdf: bytes) -> tuple[str, str]:
    with pikepdf.open(io.BytesIO(pdf), password=SIGNER) as document:
        [csv_file] = [
            attachment.get_file().read_bytes()
            for name, attachment in document.attachments.items()
            if name.endswith(".csv")
        ]
    row = next(csv.DictReader(io.StringIO(csv_file.decode())))
    return row["Access key ID"], row["Secret access key"]


def code_of(call: Any) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def test_open_hand_over_and_close(
    served: Served, api: httpx.Client, new_client: NewClient, tmp_path: Path
) -> None:
    """SP-15, SP-21, SP-22, SP-28, RX-22: from POST to PDF to DELETE, with the client's own key."""
    client = opened(api, new_client())
    slug, area = client["slug"], client["area"]
    answer = api.get(f"/v1/clients/{slug}/record.pdf")
    assert answer.headers["cache-control"].startswith("no-store")
    key_id, secret = key_of(answer.content)
    assert key_id == client["keys"][0]["key_id"]
    s3 = key_client(served, "s3", key_id, secret)
    own = {"Bucket": area["bucket"], "Key": f"{area['prefix']}images/a.png"}
    s3.put_object(**own, Body=b"image")
    assert code_of(lambda: s3.list_objects_v2(Bucket=area["bucket"])) == "AccessDenied"

    answer = api.delete(f"/v1/clients/{slug}", params={"reason": "the study ended"}, headers=WAIT)
    assert answer.status_code == 200, answer.text
    closed = answer.json()
    assert (closed["state"], closed["remaining"]["objects"]) == ("closed", 1)
    assert code_of(lambda: s3.put_object(**own, Body=b"late")) == "InvalidAccessKeyId"
    iam = root(served, "iam")
    assert code_of(lambda: iam.get_user(UserName=area["user_name"])) == "NoSuchEntity"
    assert api.get(f"/v1/clients/{slug}/record.pdf").status_code == 410
    assert api.get("/v1/audit/verify").json()["ok"]


def test_the_record_opens_in_other_makers_readers(
    api: httpx.Client, new_client: NewClient, tmp_path: Path
) -> None:
    """SP-28, PB-23: poppler and pypdf open it with the signer's name and in no other way."""
    client = opened(api, new_client())
    pdf = tmp_path / "record.pdf"
    pdf.write_bytes(api.get(f"/v1/clients/{client['slug']}/record.pdf").content)
    command = ["pdftotext", "-upw", SIGNER, str(pdf), "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Personal / Confidential" in text
    assert client["keys"][0]["key_id"] in text
    reader = pypdf.PdfReader(pdf)
    assert not reader.decrypt("")
    assert reader.decrypt(SIGNER)
    wrong = subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, check=False)
    assert wrong.returncode != 0


def test_a_post_that_accepts_pdf_answers_the_record(
    api: httpx.Client, new_client: NewClient
) -> None:
    """SP-22: one call from the contract to the protected PDF; a replay never shows it again."""
    request = new_client()
    headers = {"Accept": "application/pdf", "Idempotency-Key": request["legal_name"]}
    answer = api.post("/v1/clients", json=request, headers=headers)
    assert answer.headers["content-type"] == "application/pdf"
    assert key_of(answer.content)[0].startswith("AKIA")
    replay = api.post("/v1/clients", json=request, headers=headers)
    assert replay.headers["content-type"].startswith("application/json")


def test_a_hundred_identical_requests_make_one_stack_and_one_key(
    served: Served, api: httpx.Client, new_client: NewClient
) -> None:
    request = new_client()

    def post(_: int) -> int:
        with caller(served) as mine:
            return mine.post("/v1/clients", json=request).status_code

    with concurrent.futures.ThreadPoolExecutor(25) as pool:
        codes = sorted(pool.map(post, range(100)))
    assert codes == [202] + [409] * 99
    slug = request["legal_name"].replace(" ", "-")
    [operation] = api.get("/v1/operations", params={"client": slug}).json()["items"]
    ended = api.get(f"/v1/operations/{operation['id']}", headers=WAIT).json()
    assert ended["state"] == "succeeded"
    keys = root(served, "iam").list_access_keys(UserName=slug)["AccessKeyMetadata"]
    assert len(keys) == 1


def test_one_idempotency_key_gives_one_operation_however_often_it_is_sent(
    served: Served, new_client: NewClient
) -> None:
    request = new_client()
    headers = {"Idempotency-Key": f'"{request["legal_name"]}"'}

    def post(_: int) -> tuple[int, str]:
        with caller(served) as mine:
            answer = mine.post("/v1/clients", json=request, headers=headers)
            return answer.status_code, answer.json()["id"]

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = set(pool.map(post, range(30)))
    assert len({operation for _, operation in answers}) == 1
    assert {code for code, _ in answers} <= {200, 202}


def test_a_refusal_in_the_middle_is_rolled_back_and_the_same_request_works_afterwards(
    served: Served, api: httpx.Client, new_client: NewClient
) -> None:
    """AWS's code in plain words, nothing left behind, and no trace after a second try."""
    request = new_client()
    slug = request["legal_name"].replace(" ", "-")
    iam = root(served, "iam")
    policy = iam.get_group_policy(GroupName="Clients", PolicyName="deny-session-tokens")
    iam.delete_group_policy(GroupName="Clients", PolicyName="deny-session-tokens")
    assert api.get("/readyz").status_code == 503
    members = iam.get_group(GroupName="Clients")["Users"]
    for member in members:
        iam.remove_user_from_group(GroupName="Clients", UserName=member["UserName"])
    iam.delete_group(GroupName="Clients")
    try:
        answer = api.post("/v1/clients", json=request, headers=WAIT)
        problem = answer.json()
        assert answer.status_code == 502
        assert problem["code"] == "NoSuchEntity", problem
        assert "User user" in problem["rolled_back"]
        assert code_of(lambda: iam.get_user(UserName=slug)) == "NoSuchEntity"
        listed = root(served, "s3").list_objects_v2(
            Bucket="legit-health-clients", Prefix=f"{slug}/"
        )
        assert listed["KeyCount"] == 0
        assert api.get(f"/v1/clients/{slug}").json()["state"] == "failed"
    finally:
        iam.create_group(GroupName="Clients")
        iam.put_group_policy(
            GroupName="Clients",
            PolicyName="deny-session-tokens",
            PolicyDocument=json.dumps(policy["PolicyDocument"]),
        )
        for member in members:
            iam.add_user_to_group(GroupName="Clients", UserName=member["UserName"])
    assert opened(api, request)["state"] == "open"
    assert len(iam.list_access_keys(UserName=slug)["AccessKeyMetadata"]) == 1


def test_a_user_that_is_not_ours_stops_the_opening_and_stays(
    served: Served, api: httpx.Client, new_client: NewClient
) -> None:
    request = new_client()
    slug = request["legal_name"].replace(" ", "-")
    iam = root(served, "iam")
    iam.create_user(UserName=slug)
    key_id = iam.create_access_key(UserName=slug)["AccessKey"]["AccessKeyId"]
    answer = api.post("/v1/clients", json=request, headers=WAIT)
    assert answer.json()["code"] == "EntityAlreadyExists"
    [kept] = iam.list_access_keys(UserName=slug)["AccessKeyMetadata"]
    assert (kept["AccessKeyId"], kept["Status"]) == (key_id, "Active")


def test_reopening_gives_a_new_key_and_the_next_record(
    served: Served, api: httpx.Client, new_client: NewClient
) -> None:
    """SP-15: same slug, next generation, next number; the old key stays dead."""
    client = opened(api, new_client())
    slug = client["slug"]
    first = key_of(api.get(f"/v1/clients/{slug}/record.pdf").content)
    api.delete(f"/v1/clients/{slug}", params={"reason": "a pause"}, headers=WAIT)
    answer = api.post(f"/v1/clients/{slug}/reopen", json={}, headers=WAIT)
    assert answer.status_code in (200, 201), answer.text
    second = key_of(api.get(f"/v1/clients/{slug}/record.pdf").content)
    assert first[0] != second[0]
    again = answer.json()
    assert [key["status"] for key in again["keys"]].count("active") == 1
    numbers = [record["number"] for record in again["records"]]
    assert len(set(numbers)) == 2
    old = key_client(served, "s3", *first)
    listing = {"Bucket": "legit-health-clients", "Prefix": f"{slug}/"}
    assert code_of(lambda: old.list_objects_v2(**listing)) == "InvalidAccessKeyId"
    assert code_of(lambda: key_client(served, "s3", *second).list_objects_v2(**listing)) == "done"


def test_drift_and_previews_over_http(
    served: Served, api: httpx.Client, new_client: NewClient
) -> None:
    client = opened(api, new_client())
    slug = client["slug"]
    assert api.post(f"/v1/clients/{slug}/refresh").json() == {"in_step": True, "drift": []}
    key_id = client["keys"][0]["key_id"]
    root(served, "iam").update_access_key(UserName=slug, AccessKeyId=key_id, Status="Inactive")
    drift = api.post(f"/v1/clients/{slug}/refresh").json()
    assert [(item["name"], item["kind"]) for item in drift["drift"]] == [("key-1", "changed")]
    close = api.get(f"/v1/clients/{slug}/preview", params={"of": "close"}).json()
    assert {change["operation"] for change in close["changes"]} == {"delete"}
    assert api.get(f"/v1/clients/{slug}").json()["state"] == "open"


def test_progress_is_streamed_and_can_be_taken_up_again(
    api: httpx.Client, new_client: NewClient
) -> None:
    """Server-sent events with Last-Event-ID: each resource, then the final state."""
    operation = api.post("/v1/clients", json=new_client()).json()
    whole = api.get(f"/v1/operations/{operation['id']}/events").text
    for resource in ("User", "UserPolicy", "AccessKey", "UserGroupMembership", "BucketObjectv2"):
        assert f'"type":"{resource}"' in whole.replace(" ", "")
    assert '"to":"succeeded"' in whole.replace(" ", "")
    last = [line for line in whole.splitlines() if line.startswith("id:")][-2].split(":")[1]
    rest = api.get(
        f"/v1/operations/{operation['id']}/events", headers={"Last-Event-ID": last.strip()}
    ).text
    assert rest.count("event:") == 1


def test_no_secret_lies_in_clear_anywhere(
    data: Path, served: Served, api: httpx.Client, new_client: NewClient
) -> None:
    """PB-13, RX-03: logs, database, durable engine, state, history and temporary files."""
    client = opened(api, new_client())
    slug = client["slug"]
    _, secret = key_of(api.get(f"/v1/clients/{slug}/record.pdf").content)
    answers = [
        api.get(f"/v1/clients/{slug}").text,
        api.get("/v1/operations", params={"client": slug}).text,
        api.get(f"/v1/clients/{slug}/audit").text,
        api.post(f"/v1/clients/{slug}/refresh").text,
        api.get(f"/v1/clients/{slug}/preview", params={"of": "close"}).text,
    ]
    assert not [text for text in answers if secret in text]
    assert files_with(data, secret) == []
    api.delete(f"/v1/clients/{slug}", params={"reason": "done"}, headers=WAIT)
    assert files_with(data, secret) == []
    assert files_with(data, served.token) == []


def files_with(data: Path, secret: str) -> list[str]:
    """Return the files that hold the secret, whatever its encoding in a byte stream."""
    exempt = {"aws", "keys"}
    return [
        str(file.relative_to(data))
        for file in data.rglob("*")
        if file.is_file()
        and file.relative_to(data).parts[0] not in exempt
        and file.name != "admin.token"
        and (
            secret.encode() in file.read_bytes() or secret.encode("utf-16-le") in file.read_bytes()
        )
    ]


def test_the_search_for_secrets_can_find_one(data: Path, served: Served) -> None:
    """The test above can fail: the search sees what lies in clear in the database."""
    with sqlite3.connect(data / "handover.db") as database:
        [(name,)] = database.execute("SELECT name FROM actors LIMIT 1").fetchall()
    assert "handover.db" in " ".join(files_with(data, name))


@pytest.mark.parametrize("path", ["admin.token", "keys/sealing.json", "keys/passphrase"])
def test_private_files_are_their_owners_only(data: Path, served: Served, path: str) -> None:
    assert (data / path).stat().st_mode & 0o077 == 0
    assert data.stat().st_mode & 0o077 == 0
