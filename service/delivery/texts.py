"""What the link's page and the e-mail say, in each language of the records."""

from collections.abc import Mapping

from service.settings import SIGNER_NAME

Texts = Mapping[str, str]

_EN: Texts = {
    "title": "Your access record",
    "intro": "Here you can download, once, the record with the access key of your storage area.",
    "about": "{number}, version {version}, from {organisation}.",
    "until": "This link works until {until}.",
    "password": (
        "The document is protected. Its password is the name of the person who signed the "
        "contract, spelt as in the contract, accents included."
    ),
    "password_code": (
        "The document is protected. Its password is the name of the person who signed the "
        "contract, spelt as in the contract, accents included, then a space and the code of six "
        "words that you get by another channel."
    ),
    "token": "Code of the link (what stands after # in it)",
    "download": "Download the record",
    "downloaded": "The record was downloaded; this link is used up. Keep the file safe.",
    "confirm": "Confirm that the key works",
    "confirmed": "Thank you. Your confirmation is noted.",
    "invalid": (
        "This link is wrong, has expired or was used. Ask whoever sent it for a new one: a link "
        "works once, for a limited time."
    ),
    "subject": "Access to your storage area: {organisation}",
    "mail_intro": (
        "{organisation} has opened a private storage area for {client}. The record with the "
        "access key is ready. It can be downloaded once, until {until}:"
    ),
    "mail_stranger": (
        "If you do not expect this message, do not open the link and tell us: {help_contact}."
    ),
}

_ES: Texts = {
    "title": "Su registro de acceso",
    "intro": (
        "Aquí puede descargar, una sola vez, el registro con la clave de acceso de su área de "
        "almacenamiento."
    ),
    "about": "{number}, versión {version}, de {organisation}.",
    "until": "Este enlace funciona hasta {until}.",
    "password": (
        "El documento está protegido. Su contraseña es el nombre de la persona que firmó el "
        "contrato, escrito como en el contrato, con sus acentos."
    ),
    "password_code": (
        "El documento está protegido. Su contraseña es el nombre de la persona que firmó el "
        "contrato, escrito como en el contrato, con sus acentos, después un espacio y el código "
        "de seis palabras que recibe por otro canal."
    ),
    "token": "Código del enlace (lo que sigue a # en él)",
    "download": "Descargar el registro",
    "downloaded": "El registro se ha descargado; este enlace ya no sirve. Guarde bien el fichero.",
    "confirm": "Confirmar que la clave funciona",
    "confirmed": "Gracias. Su confirmación queda anotada.",
    "invalid": (
        "Este enlace no es correcto, ha caducado o ya se usó. Pida uno nuevo a quien se lo envió: "
        "cada enlace sirve una vez, durante un tiempo limitado."
    ),
    "subject": "Acceso a su área de almacenamiento: {organisation}",
    "mail_intro": (
        "{organisation} ha abierto un área de almacenamiento privada para {client}. El registro "
        "con la clave de acceso está listo. Se puede descargar una vez, hasta {until}:"
    ),
    "mail_stranger": ("Si no espera este mensaje, no abra el enlace y avísenos: {help_contact}."),
}

TEXTS: Mapping[str, Texts] = {"en": _EN, "es": _ES}


def texts(language: str) -> Texts:
    """Return the texts of a language; English for one that there is none of."""
    return TEXTS.get(language, _EN)


def password_text(language: str, rule: str) -> str:
    """Return how the document is opened, for a password rule of the settings; never the value."""
    name = "password" if rule == SIGNER_NAME else "password_code"
    return texts(language)[name]
