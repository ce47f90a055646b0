"""Slugs: from legal names, and as given; nothing in one can mean anything to S3 or IAM (SP-17)."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.slugs import MAX_SLUG, RESERVED, NameRefused, SlugError, slug_for, validate_slug

SLUG = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")


@pytest.mark.parametrize(
    ("legal_name", "slug"),
    [
        ("ABC LLC", "ABC-LLC"),
        ("Clínica Peña, S.L.", "Clinica-Pena-SL"),
        ("abc llc", "abc-llc"),
        ("Straße & Söhne GmbH", "Strasse-Sohne-GmbH"),
        ("O'Brien's", "OBriens"),
        ("O’Brien’s", "OBriens"),
        ("Østergård ApS", "Ostergard-ApS"),
        ("Łódź Sp. z o.o.", "Lodz-Sp-z-oo"),
        ("Nguyễn", "Nguyen"),
        ("Col·legi", "Col-legi"),
        ("A/B_C--D  (E)", "A-B-C-D-E"),
        ("--ABC--", "ABC"),
        ("../../etc/passwd", "etc-passwd"),
        ("a*b?c${aws:username}", "a-b-c-aws-username"),
        ("100 % Skin", "100-Skin"),
        ("ＡＢＣ", "ABC"),
        ("x" * MAX_SLUG, "x" * MAX_SLUG),
    ],
)
def test_a_legal_name_makes_a_slug(legal_name: str, slug: str) -> None:
    """SP-17: `ABC LLC` → `ABC-LLC`; SP-19: IAM forbids spaces, so the user has the slug's name."""
    assert slug_for(legal_name) == slug


@pytest.mark.parametrize(
    ("legal_name", "suggested"),
    [
        ("ООО Ромашка", "OOO-Romashka"),
        ("北京医院", "BeiJingYiYuan"),
        ("Αθήνα ΑΕ", "Athina-AE"),
        ("ABC ООО", "ABC-OOO"),
    ],
)
def test_another_script_asks_for_a_slug_and_suggests_one(legal_name: str, suggested: str) -> None:
    with pytest.raises(SlugError) as raised:
        slug_for(legal_name)
    assert (raised.value.reason, raised.value.suggested) == ("other_script", suggested)
    assert validate_slug(suggested) == suggested


def test_a_name_that_is_too_long_gets_a_suggestion_of_whole_words() -> None:
    with pytest.raises(SlugError) as raised:
        slug_for("International Society for Dermatological Research and Practice")
    assert raised.value.reason == "too_long"
    assert raised.value.suggested == "International-Society-for-Dermatological-Research"


def test_a_name_of_one_endless_word_is_cut() -> None:
    with pytest.raises(SlugError) as raised:
        slug_for("x" * 60)
    assert raised.value.suggested == "x" * MAX_SLUG


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_names_are_refused_whatever_their_case(name: str) -> None:
    for spelling in (name, name.upper(), name.title()):
        for make in (slug_for, validate_slug):
            with pytest.raises(SlugError, match="reserved") as raised:
                make(spelling)
            assert raised.value.suggested == f"{spelling}-client"


@pytest.mark.parametrize("slug", ["ABC-LLC", "a", "0", "a-b-c", "x" * MAX_SLUG])
def test_a_given_slug_is_taken_as_it_is(slug: str) -> None:
    assert validate_slug(slug) == slug


@pytest.mark.parametrize(
    ("slug", "reason", "suggested"),
    [
        ("", "empty", None),
        ("-", "characters", None),
        ("-abc", "characters", "abc"),
        ("abc-", "characters", "abc"),
        ("a--b", "characters", "a-b"),
        ("ABC LLC", "characters", "ABC-LLC"),
        ("abc/../x", "characters", "abc-x"),
        ("abc*", "characters", "abc"),
        ("${aws:username}", "characters", "aws-username"),
        ("abc\n", "characters", "abc"),
        ("Peña", "characters", "Pena"),
        ("АBC", "characters", "ABC"),
        ("..", "characters", None),
        ("images/", "characters", None),
        ("x" * 51, "too_long", "x" * 50),
    ],
)
def test_a_given_slug_that_cannot_be_used(slug: str, reason: str, suggested: str | None) -> None:
    with pytest.raises(SlugError) as raised:
        validate_slug(slug)
    assert (raised.value.reason, raised.value.suggested) == (reason, suggested)


def test_the_longest_names_of_things_fit_aws() -> None:
    """User names have at most 64 characters in IAM, policy names 128."""
    assert MAX_SLUG <= 64
    assert len("x" * MAX_SLUG + "_s3_access") <= 128


@given(st.text(max_size=120))
@example("ŉ")
@example("ﬃ")
@example("½ Kilo")
def test_whatever_comes_in_a_slug_comes_out_or_a_reason(text: str) -> None:
    try:
        slug = slug_for(text)
    except SlugError as error:
        check_suggestion(error.suggested)
    except NameRefused:
        pass
    else:
        assert SLUG.fullmatch(slug)
        assert len(slug) <= MAX_SLUG
        assert slug_for(slug) == validate_slug(slug) == slug


@given(st.text(max_size=80))
def test_a_given_slug_is_never_changed(text: str) -> None:
    try:
        slug = validate_slug(text)
    except SlugError as error:
        check_suggestion(error.suggested)
    else:
        assert slug == text
        assert SLUG.fullmatch(slug)


def check_suggestion(suggested: str | None) -> None:
    assert suggested is None or validate_slug(suggested) == suggested
