"""Connections: made, changed, given a new secret, each with its audit event (RX-17, RX-23)."""

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NoReturn

from pydantic import SecretStr
from sqlmodel import Session, col, select

from models.actors import Actor, ActorKind
from models.audit import AuditEntry, append_audit
from models.sealing import Keyring
from models.webhooks import WebhookConnection, WebhookKind
from service import problems
from service.accounts import ActorExists, create_actor
from service.problems import FieldError, Problem, describe
from service.settings import Settings
from service.webhooks.catalogue import KINDS
from service.webhooks.fetching import usable_api_url
from service.webhooks.mapping import MappingError, check_mapping
from service.webhooks.requests import CreateConnection, RotateSecret, UpdateConnection
from service.wishes import Requester

STANDARD_PREFIX = "whsec_"
_STANDARD_BYTES = range(24, 65)
"""Sizes of a key that Standard Webhooks permits."""


@dataclass(frozen=True)
class Shown:
    """A connection with the secret that was made for it, at the only moment when it is shown.

    `secret` is None where the caller brought one.
    """

    connection: WebhookConnection
    secret: str | None = field(repr=False)


def create_connection(
    session: Session,
    keyring: Keyring,
    settings: Settings,
    by: Actor,
    requester: Requester,
    request: CreateConnection,
) -> Shown:
    """Make a connection and the system actor that its openings are in the name of.

    Raises a Problem for a name that is taken and for what the kind cannot work with.
    """
    kind = KINDS[request.kind]
    if kind.needs_base_url and settings.base_url is None:
        _refuse("kind", "needs HANDOVER_BASE_URL, since the tool signs the address")
    connection = WebhookConnection(
        name=request.name,
        kind=request.kind,
        actor_id="",
        secret=b"",
        username=request.username or kind.username,
        signed_value=request.signed_value,
        mapping=_mapping(request.mapping),
        api_url=_api_url(request.kind, request.api_url),
    )
    _set_credential(keyring, connection, request.credential)
    plain = _secret(request.kind, request.secret)
    connection.seal_secret(keyring, plain)
    try:
        actor = create_actor(
            session, by, name=f"webhook {request.name}", kind=ActorKind.system, roles=[]
        )
    except ActorExists:
        raise Problem(
            problems.CONNECTION_EXISTS, f"There is a connection named {request.name} already."
        ) from None
    connection.actor_id = actor.id
    session.add(connection)
    _tell(session, requester, connection, "created", {"kind": request.kind.value})
    return Shown(connection, None if request.secret else plain)


def update_connection(
    session: Session,
    keyring: Keyring,
    requester: Requester,
    connection: WebhookConnection,
    request: UpdateConnection,
) -> None:
    """Change what is given; a mapping replaces the whole one before."""
    given = request.model_fields_set
    if request.mapping is not None:
        connection.mapping = _mapping(request.mapping)
    if "api_url" in given:
        connection.api_url = _api_url(connection.kind, request.api_url)
    if "credential" in given:
        _set_credential(keyring, connection, request.credential)
    if "signed_value" in given:
        connection.signed_value = request.signed_value
    if request.username is not None:
        connection.username = request.username
    if request.active is not None:
        connection.active = request.active
    _tell(session, requester, connection, "changed", {"changed": sorted(given)})


def rotate_secret(
    session: Session,
    keyring: Keyring,
    requester: Requester,
    connection: WebhookConnection,
    request: RotateSecret,
) -> Shown:
    """Give the connection a new secret; both are valid until the overlap ends."""
    plain = _secret(connection.kind, request.secret)
    overlap = timedelta(hours=request.overlap_hours)
    connection.replace_secret(keyring, plain, overlap=overlap)
    minutes = {"overlap_minutes": int(overlap.total_seconds() // 60)}
    _tell(session, requester, connection, "secret_rotated", minutes)
    return Shown(connection, None if request.secret else plain)


def list_connections(session: Session) -> list[WebhookConnection]:
    """Return all connections by name, those that are switched off too."""
    return list(session.exec(select(WebhookConnection).order_by(col(WebhookConnection.name))))


def find_connection(
    session: Session, name_or_id: str, *, for_update: bool = False
) -> WebhookConnection:
    """Return the connection of that name or id, or raise the 404."""
    query = select(WebhookConnection).where(
        (col(WebhookConnection.name) == name_or_id) | (col(WebhookConnection.id) == name_or_id)
    )
    if for_update:
        query = query.with_for_update()
    plausible = name_or_id.isascii() and name_or_id.isprintable()
    found = session.exec(query).first() if plausible else None
    if found is None:
        raise Problem(problems.NOT_FOUND, "There is no webhook connection of this name or id.")
    return found


def _mapping(mapping: Mapping[str, Any]) -> dict[str, Any]:
    for name, rule in mapping.items():
        if not (rule is None or isinstance(rule, str | dict)):
            _refuse(f"mapping.{name[:60]}", "needs a path, or an object with `constant`")
    try:
        check_mapping(mapping)
    except MappingError as error:
        _refuse(f"mapping.{error.field}", error.reason)
    return dict(mapping)


def _api_url(kind: WebhookKind, url: str | None) -> str | None:
    api = KINDS[kind].api
    if api is None:
        if url is not None:
            _refuse("api_url", "is not asked by this kind: its events say everything")
        return None
    found = url or api.default_url
    if found is None or not usable_api_url(found):
        _refuse("api_url", "needs the https address of the tool's API, without query or user")
    return found


def _set_credential(
    keyring: Keyring, connection: WebhookConnection, credential: SecretStr | None
) -> None:
    asks = KINDS[connection.kind].api is not None
    if asks and credential is None:
        _refuse("credential", "is needed: this tool's events carry ids only")
    if not asks and credential is not None:
        _refuse("credential", "is not used by this kind: its events say everything")
    plain = credential.get_secret_value() if credential else None
    if plain is not None and not (plain.isascii() and plain.isprintable()):
        _refuse("credential", "has characters that no header can carry")
    connection.seal_credential(keyring, plain)


def _secret(kind: WebhookKind, brought: SecretStr | None) -> str:
    standard = kind is WebhookKind.standard
    if brought is None:
        key = secrets.token_bytes(32)
        made = base64.b64encode(key).decode()
        return STANDARD_PREFIX + made if standard else secrets.token_urlsafe(32)
    plain = brought.get_secret_value()
    if standard and not _is_standard(plain):
        _refuse("secret", "needs the form whsec_… with 24 to 64 bytes in base64")
    return plain


def _is_standard(plain: str) -> bool:
    try:
        key = base64.b64decode(plain.removeprefix(STANDARD_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return plain.startswith(STANDARD_PREFIX) and len(key) in _STANDARD_BYTES


def _refuse(name: str, reason: str) -> NoReturn:
    error = FieldError(name, reason)
    raise Problem(problems.INVALID_REQUEST, describe([error]), errors=[error])


def _tell(
    session: Session,
    requester: Requester,
    connection: WebhookConnection,
    what: str,
    data: Mapping[str, Any],
) -> None:
    append_audit(
        session,
        AuditEntry(
            actor_id=requester.actor_id,
            action=f"webhook_connection.{what}",
            object_type="webhook_connection",
            object_id=connection.id,
            source_ip=requester.source_ip,
            request_id=requester.audited_request_id,
            data=data,
        ),
    )
