"""What a record says: from its input to a document of blocks, in the record's language (SP-15)."""

from urllib.parse import urlsplit

from pydantic import SecretStr

from pdf.blocks import (
    Block,
    Bullets,
    Callout,
    Cell,
    Code,
    Document,
    Heading,
    Paragraph,
    Running,
    Step,
    Table,
    TitleBlock,
    Whole,
    Wide,
)
from pdf.catalogue import Catalogue, catalogue
from pdf.command import commands
from pdf.record import RecordInput

FACT_WIDTHS = (0.24, 0.76)
STEPS = ("install", "configure", "check", "upload", "prove", "list", "download")
"""The main way in, in order; a step without a command in the record's profile is left out."""
OTHER_WAYS = ("python", "rclone")


def document(record: RecordInput, secret: SecretStr) -> Document:
    """Return the document of a record: template version 1 of T-050-003."""
    texts = catalogue(record.language)
    sections = (
        (_title(record, texts), _introduction(record, texts)),
        _key(record, secret, texts),
        _parties(record, texts),
        _permissions(record, texts),
        _help(record, texts),
        _steps(record, texts),
        _rules(record, texts),
        _other_ways(record, texts),
    )
    return Document(
        title=f"{record.number} {texts['document.title']}",
        author=record.organisation.name,
        subject=texts["document.subject"],
        language=record.language,
        running=_running(record, texts),
        blocks=tuple(block for section in sections for block in section),
    )


def _running(record: RecordInput, texts: Catalogue) -> Running:
    return Running(
        head=texts["running.head"],
        classification=record.classification,
        foot=texts.fill("running.foot", number=record.number, version=record.version),
        page=texts["running.page"],
        draft=texts["running.draft"] if record.draft else "",
    )


def _title(record: RecordInput, texts: Catalogue) -> TitleBlock:
    template = texts.fill("facts.template_value", version=record.template_version)
    return TitleBlock(
        organisation=record.organisation.name,
        title=texts["document.title"],
        subtitle=texts["document.subtitle"],
        facts=(
            (texts["facts.record"], record.number),
            (texts["facts.version"], f"{record.version}"),
            (texts["facts.issued"], texts.moment(record.issued_local, record.time_zone)),
            (texts["facts.template"], template),
        ),
        widths=(0.24, 0.12, 0.42, 0.22),
        logo=record.organisation.logo,
    )


def _introduction(record: RecordInput, texts: Catalogue) -> Callout:
    what = texts.fill(
        "intro.writes" if record.profile.may_upload else "intro.reads",
        client=record.client_legal_name,
        organisation=record.organisation.name,
        region=record.region,
    )
    return Callout(texts["intro.title"], (what, texts["intro.first"]))


def _key(record: RecordInput, secret: SecretStr, texts: Catalogue) -> tuple[Block, ...]:
    rows = [
        _fact(texts["key.id"], record.access_key_id, mono=True),
        _fact(texts["key.secret"], secret.get_secret_value(), mono=True),
        _fact(texts["key.region"], record.region, mono=True),
        _fact(texts["key.user"], record.user_name, mono=True),
        _fact(texts["key.bucket"], record.bucket, mono=True),
        _fact(texts["key.prefix"], record.prefix, mono=True),
        _fact(texts["key.upload"], record.upload_url, mono=True),
        _fact(texts["key.valid"], _validity(record, texts)),
    ]
    if not record.profile.may_upload:
        del rows[6]
    if record.endpoint_url is not None:
        rows.append(_fact(texts["key.endpoint"], record.endpoint_url, mono=True))
    return (Heading(texts["key.heading"]), Table(tuple(rows), FACT_WIDTHS))


def _validity(record: RecordInput, texts: Catalogue) -> str:
    start = texts.date(record.valid_from)
    if record.valid_until is None:
        return texts.fill("key.valid_open", start=start)
    return texts.fill("key.valid_until", start=start, end=texts.date(record.valid_until))


def _parties(record: RecordInput, texts: Catalogue) -> tuple[Block, ...]:
    contract = texts.fill(
        f"parties.contract.{record.contract_kind}",
        reference=record.contract_reference,
        date=texts.date(record.contract_signed_on),
        signer=record.signer_name,
    )
    role = texts.fill(f"parties.role.{record.our_role}", organisation=record.organisation.name)
    rows = (
        _fact(texts["parties.client"], record.client_legal_name),
        _fact(texts["parties.organisation"], role),
        _fact(texts["parties.contract"], contract),
        _fact(texts["parties.purpose"], record.purpose),
        _fact(texts["parties.categories"], texts["list.separator"].join(record.data_categories)),
        _fact(texts["parties.classification"], record.classification),
    )
    return (Heading(texts["parties.heading"]), Table(rows, FACT_WIDTHS))


def _permissions(record: RecordInput, texts: Catalogue) -> tuple[Block, ...]:
    kind = record.profile.value
    may = "\n".join(texts.listed(f"profile.{kind}.may"))
    may_not = "\n".join(texts.listed(f"profile.{kind}.may_not"))
    return (
        Heading(texts.fill("profile.heading", profile=kind)),
        Table(
            rows=((Cell(may, "bullets"), Cell(may_not, "bullets")),),
            widths=(0.5, 0.5),
            titles=(texts["profile.may"], texts["profile.may_not"]),
        ),
    )


def _steps(record: RecordInput, texts: Catalogue) -> tuple[Block, ...]:
    """Return the main way in, which most clients need alone (SP-27)."""
    blocks: list[Block] = [
        Heading(texts["steps.heading"]),
        Paragraph(texts["steps.intro"], keep=True),
    ]
    needed = {"install", *(command.step for command in commands(record))}
    shown = [step for step in STEPS if step in needed]
    for number, step in enumerate(shown, 1):
        blocks += _step(record, texts, step, f"{number}")
    return (Wide(tuple(blocks)),)


def _other_ways(record: RecordInput, texts: Catalogue) -> tuple[Block, ...]:
    """Return the ways in for those who use another program."""
    blocks: list[Block] = [
        Heading(texts["ways.heading"]),
        Paragraph(texts["ways.intro"], keep=True),
    ]
    for mark, step in zip("AB", OTHER_WAYS, strict=True):
        blocks += _step(record, texts, step, mark)
    return (Wide((*blocks, *_graphical(record, texts, "C"))),)


def _step(record: RecordInput, texts: Catalogue, step: str, mark: str) -> tuple[Block, ...]:
    title = texts[f"steps.{step}.title"]
    # What a step says of uploading does not concern a key that only reads, and so on.
    kind = next((kind for kind in _kinds(record) if f"steps.{step}.{kind}" in texts.keys), "text")
    text = texts.fill(f"steps.{step}.{kind}", user=record.user_name)
    codes = tuple(Code(lines) for lines in _by_installing(record, step) if lines)
    return (Step(mark, title, text, keep=bool(codes)), *codes)


def _by_installing(record: RecordInput, step: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the lines of a step that install something, and the others."""
    mine = [command for command in commands(record) if command.step == step]
    installing = tuple(command.line for command in mine if command.installs)
    return installing, tuple(command.line for command in mine if not command.installs)


def _kinds(record: RecordInput) -> tuple[str, ...]:
    """Return the kinds of texts made for this profile alone, the closest first."""
    if not record.profile.may_upload:
        return ("reads",)
    return () if record.profile.may_download else ("writes",)


def _graphical(record: RecordInput, texts: Catalogue, mark: str) -> tuple[Block, ...]:
    """Return what to enter in Cyberduck and WinSCP, and why their start page is refused."""
    any_server, region_server, port = _servers(record)
    folder = record.upload_path if record.profile.may_upload else record.prefix
    path = f"/{record.bucket}/{folder}"
    rows = [
        (texts["graphical.protocol"], "Amazon S3", "Amazon S3"),
        (texts["graphical.server"], any_server, region_server),
        (texts["graphical.port"], port, port),
        (texts["graphical.user"], record.access_key_id, record.access_key_id),
        (texts["graphical.path"], path, path),
        (texts["graphical.where"], *texts.listed("graphical.path_places")),
    ]
    if record.profile.may_upload:
        rows.append((texts["graphical.acl"], *texts.listed("graphical.acl_places")))
    plain = [texts[f"graphical.{row}"] for row in ("protocol", "where", "acl")]
    title = texts["steps.graphical.title"]
    return (
        Step(mark, title, texts["steps.graphical.text"]),
        Table(
            rows=tuple(
                (
                    Cell(label, "label"),
                    *(Cell(v, "text" if label in plain else "mono") for v in two),
                )
                for label, *two in rows
            ),
            widths=(0.2, 0.4, 0.4),
            titles=(texts["graphical.setting"], "Cyberduck", "WinSCP"),
        ),
        Paragraph(texts["graphical.root"]),
    )


def _servers(record: RecordInput) -> tuple[str, str, str]:
    """Return S3's host without and with the region, and its port."""
    if record.endpoint_url is not None:
        address = urlsplit(record.endpoint_url)
        host = address.hostname or ""
        return host, host, f"{address.port or 443}"
    regional = f"s3.{record.region}.{record.aws_domain}"
    # Cyberduck finds the region by itself; only the Sovereign Cloud has no host without one.
    own = regional if record.aws_domain == "amazonaws.eu" else f"s3.{record.aws_domain}"
    return own, regional, "443"


def _rules(record: RecordInput, texts: Catalogue) -> tuple[Block, ...]:
    sections = (_errors(record, texts), _handling(record, texts), _approvals(record, texts))
    return (Whole(tuple(block for section in sections for block in section)),)


def _errors(record: RecordInput, texts: Catalogue) -> tuple[Block, ...]:
    rows = texts.listed(
        "errors.rows",
        area=record.area_url,
        help=record.organisation.help_contact,
        hosts=_hosts(record, texts),
    )
    split = (row.partition("|") for row in rows)
    return (
        Heading(texts["errors.heading"]),
        Table(
            rows=tuple((Cell(error, "mono"), Cell(meaning)) for error, _, meaning in split),
            widths=(0.26, 0.74),
            titles=(texts["errors.error"], texts["errors.meaning"]),
        ),
    )


def _hosts(record: RecordInput, texts: Catalogue) -> str:
    """Return the hosts that a client's network must let through."""
    if record.endpoint_url is not None:
        return record.endpoint_url
    s3 = f"s3.{record.region}.{record.aws_domain}"
    hosts = (s3, f"{record.bucket}.{s3}", f"sts.{record.region}.{record.aws_domain}")
    return texts["list.separator"].join(hosts)


def _handling(record: RecordInput, texts: Catalogue) -> tuple[Block, ...]:
    rules = texts.listed(
        "handling.rules",
        help=record.organisation.help_contact,
        dpo=record.organisation.dpo_contact,
    )
    if record.profile.may_upload:
        rules = (texts["handling.upload"], *rules)
    attached = Paragraph(texts["handling.attached"], small=True)
    return (Heading(texts["handling.heading"]), Bullets(rules), attached)


def _help(record: RecordInput, texts: Catalogue) -> tuple[Block, ...]:
    rows = (
        _fact(texts["help.support"], record.organisation.help_contact),
        _fact(texts["help.dpo"], record.organisation.dpo_contact),
    )
    return (Heading(texts["help.heading"]), Table(rows, FACT_WIDTHS))


def _approvals(record: RecordInput, texts: Catalogue) -> tuple[Block, ...]:
    """Return who approved the template, and which state of it (SP-29, SP-30)."""
    if not (record.approvals or record.draft):
        return ()
    state = "approvals.draft" if record.draft else "approvals.approved"
    said = texts.fill(state, version=record.template_version)
    head = (
        Heading(texts["approvals.heading"]),
        Paragraph(said, keep=bool(record.approvals)),
    )
    return (*head, _signatures(record, texts)) if record.approvals else head


def _signatures(record: RecordInput, texts: Catalogue) -> Table:
    rows = tuple(
        (
            Cell(texts[f"approvals.{approval.step}"]),
            Cell(approval.role),
            Cell(texts.date(approval.on)),
            Cell(approval.commit, "mono"),
        )
        for approval in record.approvals
    )
    columns = ("step", "role", "date", "commit")
    titles = tuple(texts[f"approvals.{column}"] for column in columns)
    return Table(rows, widths=(0.15, 0.14, 0.23, 0.48), titles=titles)


def _fact(label: str, value: str, *, mono: bool = False) -> tuple[Cell, Cell]:
    return (Cell(label, "label"), Cell(value, "mono" if mono else "text"))
