"""What of a client makes its opening wait for an approval (SP-04, PB-17, GDPR art. 9)."""

from collections.abc import Mapping

from models.approvals import Condition
from models.clients import Client, Contract
from models.countries import in_eea
from service.settings import Settings


def conditions_of(
    settings: Settings, client: Client, contract: Contract
) -> Mapping[Condition, str | None]:
    """Return the conditions that the client meets as it stands, each with what meets it."""
    met: dict[Condition, str | None] = {}
    if not in_eea(contract.jurisdiction):
        met[Condition.other_jurisdiction] = contract.jurisdiction
    if client.special_category:
        met[Condition.special_category] = None
    if client.profile not in settings.profiles_allowed:
        met[Condition.profile] = client.profile.value
    return met
