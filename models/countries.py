"""Countries, and the AWS regions in which data may lie (SP-03, SP-04)."""

import pycountry

# fmt: off
EU = frozenset({
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU",
    "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
})
# fmt: on
"""The member states of the European Union, ISO 3166-1 alpha-2."""

EEA = EU | {"IS", "LI", "NO"}
"""The European Economic Area, where the GDPR applies (EEA Joint Committee decision 154/2018)."""

EU_REGIONS = frozenset(
    {
        "eu-central-1",  # Frankfurt
        "eu-north-1",  # Stockholm
        "eu-south-1",  # Milan
        "eu-south-2",  # Spain
        "eu-west-1",  # Ireland
        "eu-west-3",  # Paris
        "eusc-de-east-1",  # European Sovereign Cloud, Brandenburg
    }
)
"""AWS regions inside the European Union; London (eu-west-2) and Zurich (eu-central-2) are not."""

_OFTEN_MEANT = {"UK": "GB", "EL": "GR"}


class UnknownCountry(ValueError):
    """The text is not an ISO 3166-1 alpha-2 country code."""


class RegionOutsideEU(ValueError):
    """The AWS region does not lie in the European Union, or does not exist."""


def check_country(code: str) -> str:
    """The country code in capitals; raises UnknownCountry for what ISO 3166-1 does not have."""
    upper = code.upper() if code.isascii() else code
    if len(upper) == 2 and pycountry.countries.get(alpha_2=upper) is not None:
        return upper
    meant = f"; {upper} is written {_OFTEN_MEANT[upper]} there" if upper in _OFTEN_MEANT else ""
    raise UnknownCountry(f"Give a two-letter country code of ISO 3166-1, such as ES or DE{meant}.")


def in_eea(code: str) -> bool:
    """Whether a jurisdiction lies in the EU or the EEA; any other needs an approval (SP-04).

    Territories with a country code of their own are not counted in.
    """
    return code.upper() in EEA


def check_region(region: str) -> str:
    """The region as given; raises RegionOutsideEU unless it is one of EU_REGIONS (SP-03)."""
    if region not in EU_REGIONS:
        raise RegionOutsideEU(
            f"The region {region} is not in the European Union. "
            f"Use one of {', '.join(sorted(EU_REGIONS))}."
        )
    return region
