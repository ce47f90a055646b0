"""The key as the CSV that AWS tools import (SP-22)."""

import csv
import io

from pydantic import SecretStr

# The header that `aws configure import` requires; the file that the AWS console offers lacks the
# user name and is refused by it (docs.aws.amazon.com/cli, "configure import").
HEADER = ("User Name", "Access key ID", "Secret access key")


def credentials_csv(user_name: str, access_key_id: str, secret_access_key: SecretStr) -> bytes:
    """Return header and one row in UTF-8 with CRLF line ends (RFC 4180)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerow((user_name, access_key_id, secret_access_key.get_secret_value()))
    return text.getvalue().encode()
