"""Countries and regions: data lie in the EU, other jurisdictions wait (SP-03, SP-04)."""

import pytest
from botocore.session import get_session

from models.countries import (
    EEA,
    EU,
    EU_REGIONS,
    RegionOutsideEU,
    UnknownCountry,
    check_country,
    check_region,
    in_eea,
)


def test_the_union_has_27_members_and_the_area_30() -> None:
    assert (len(EU), len(EEA)) == (27, 30)
    assert {check_country(code) for code in EEA} == EEA


@pytest.mark.parametrize(("code", "inside"), [("ES", True), ("no", True), ("GB", False)])
def test_other_jurisdictions_are_told_apart(code: str, inside: bool) -> None:
    """SP-04: Switzerland, the United Kingdom and others need an approval."""
    assert in_eea(code) is inside
    assert not in_eea("CH")
    assert not in_eea("US")


def test_a_country_is_written_in_capitals() -> None:
    assert check_country("es") == "ES"


@pytest.mark.parametrize(
    "code", ["", "E", "XX", "ESP", "724", "ß", "ſe", "E\u0130", "España", "E "]
)
def test_an_unknown_country_is_refused(code: str) -> None:
    with pytest.raises(UnknownCountry, match="ISO 3166-1"):
        check_country(code)


@pytest.mark.parametrize(("code", "meant"), [("UK", "GB"), ("el", "GR")])
def test_a_usual_mistake_is_named(code: str, meant: str) -> None:
    with pytest.raises(UnknownCountry, match=f"written {meant}"):
        check_country(code)


@pytest.mark.parametrize("region", sorted(EU_REGIONS))
def test_regions_of_the_union_are_taken(region: str) -> None:
    """SP-03: servers located in Europe."""
    assert check_region(region) == region


@pytest.mark.parametrize(
    "region", ["us-east-1", "eu-west-2", "eu-central-2", "EU-WEST-1", "eu-west-9", "", "eu-west-1 "]
)
def test_any_other_region_is_refused(region: str) -> None:
    """SP-03: London and Zurich begin with `eu-` and are not in the Union."""
    with pytest.raises(RegionOutsideEU, match="eu-west-1"):
        check_region(region)


def test_every_region_is_one_that_aws_has() -> None:
    session = get_session()
    partitions = session.get_available_partitions()
    known = {r for p in partitions for r in session.get_available_regions("s3", partition_name=p)}
    documented = {"eusc-de-east-1"}  # the sovereign cloud: the SDK may list it later
    assert known | documented >= EU_REGIONS
