"""The record T-050-003: a frozen input in, a password-protected PDF out.

A pure house: it reads fonts and catalogues, writes nothing, and knows no other house.
"""

from pdf.catalogue import UnknownLanguageError, languages
from pdf.command import Command, commands, commands_text
from pdf.credentials import credentials_csv
from pdf.fonts import FontBook, UnprintableTextError, default_fonts
from pdf.password import PasswordFormError, SignerName, password_rule, record_password
from pdf.protection import WrongPasswordError, attachments, protect
from pdf.record import Approval, Organisation, Profile, RecordInput
from pdf.rendering import COMMANDS_FILE, CREDENTIALS_FILE, fingerprint, issue, render
from pdf.specimen import SPECIMEN_SECRET, specimen
from pdf.template import (
    APPROVAL_ROLES,
    ApprovalError,
    TemplateVersion,
    UnknownTemplateError,
    choose,
    latest_approved,
    template,
    templates,
)

__all__ = [
    "APPROVAL_ROLES",
    "COMMANDS_FILE",
    "CREDENTIALS_FILE",
    "SPECIMEN_SECRET",
    "Approval",
    "ApprovalError",
    "Command",
    "FontBook",
    "Organisation",
    "PasswordFormError",
    "Profile",
    "RecordInput",
    "SignerName",
    "TemplateVersion",
    "UnknownLanguageError",
    "UnknownTemplateError",
    "UnprintableTextError",
    "WrongPasswordError",
    "attachments",
    "can_print",
    "choose",
    "commands",
    "commands_text",
    "credentials_csv",
    "default_fonts",
    "fingerprint",
    "issue",
    "languages",
    "latest_approved",
    "password_rule",
    "protect",
    "record_password",
    "render",
    "specimen",
    "template",
    "templates",
]


def can_print(text: str, fonts: FontBook | None = None) -> list[str]:
    """Return the characters of a text that no font prints, each once; [] if it prints whole."""
    return (fonts or default_fonts()).can_print(text)
