"""The first tables: actors, clients, contracts, keys, operations, records, the audit chain."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON_OR_JSONB = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    _create_actors()
    _create_api_tokens()
    _create_audit_events()
    _create_clients()
    _create_access_keys()
    _create_contracts()
    _create_operations()
    _create_stack_outputs()
    _create_idempotency_keys()
    _create_operation_events()
    _create_records()
    _create_signers()


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")


def _refers(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column],
        [f"{to}.id"],
        name=f"fk_{table}_{column}_{to}",
        deferrable=True,
        initially="DEFERRED",
    )


def _create_actors() -> None:
    op.create_table(
        "actors",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("roles", JSON_OR_JSONB, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_actors"),
        sa.UniqueConstraint("name", name="uq_actors_name"),
    )


def _create_api_tokens() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("hint", sa.String(4), nullable=False),
        sa.Column("scopes", JSON_OR_JSONB, nullable=False),
        sa.Column("slugs", JSON_OR_JSONB, nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        _refers("api_tokens", "actor_id", "actors"),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("token_sha256", name="uq_api_tokens_token_sha256"),
    )
    op.create_index("ix_api_tokens_actor_id", "api_tokens", ["actor_id"])


def _create_audit_events() -> None:
    op.create_table(
        "audit_events",
        sa.Column("sequence", COUNTER, autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.String(32), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("object_type", sa.String(32), nullable=False),
        sa.Column("object_id", sa.String(64), nullable=False),
        sa.Column("client_id", sa.String(32), nullable=True),
        sa.Column("source_ip", sa.String(45), nullable=True),
        sa.Column("request_id", sa.String(64), nullable=True),
        sa.Column("data", JSON_OR_JSONB, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        _refers("audit_events", "actor_id", "actors"),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_client_id_sequence", "audit_events", ["client_id", "sequence"])
    op.create_index("ix_audit_events_object_id_sequence", "audit_events", ["object_id", "sequence"])


def _create_clients() -> None:
    op.create_table(
        "clients",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("slug", sa.String(50), nullable=False),
        sa.Column("slug_key", sa.String(50), nullable=False),
        sa.Column("legal_name", sa.String(), nullable=False),
        sa.Column("entity_key", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("data_categories", JSON_OR_JSONB, nullable=False),
        sa.Column("special_category", sa.Boolean(), nullable=False),
        sa.Column("classification", sa.String(), nullable=False),
        sa.Column("profile", sa.String(32), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("owner_actor_id", sa.String(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("bucket", sa.String(63), nullable=False),
        sa.Column("prefix", sa.String(64), nullable=False),
        sa.Column("region", sa.String(32), nullable=False),
        sa.Column("user_name", sa.String(64), nullable=False),
        sa.Column("remaining_objects", sa.BigInteger(), nullable=True),
        sa.Column("remaining_bytes", sa.BigInteger(), nullable=True),
        sa.Column("remaining_counted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.CheckConstraint("length(slug) BETWEEN 1 AND 50", name=op.f("ck_clients_slug_length")),
        sa.CheckConstraint(
            "slug_key = lower(slug)", name=op.f("ck_clients_slug_key_is_lower_slug")
        ),
        _refers("clients", "owner_actor_id", "actors"),
        sa.PrimaryKeyConstraint("id", name="pk_clients"),
        sa.UniqueConstraint("slug_key", name="uq_clients_slug_key"),
    )
    op.create_index("ix_clients_entity_key", "clients", ["entity_key"])
    op.create_index("ix_clients_owner_actor_id", "clients", ["owner_actor_id"])
    op.create_index("ix_clients_state_slug_key", "clients", ["state", "slug_key"])
    op.create_index("ix_clients_valid_until", "clients", ["valid_until"])


def _create_access_keys() -> None:
    op.create_table(
        "access_keys",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("access_key_id", sa.String(128), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proven_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        _refers("access_keys", "client_id", "clients"),
        sa.PrimaryKeyConstraint("id", name="pk_access_keys"),
        sa.UniqueConstraint("access_key_id", name="uq_access_keys_access_key_id"),
        sa.UniqueConstraint("client_id", "generation", name="uq_access_keys_client_id_generation"),
    )


def _create_contracts() -> None:
    op.create_table(
        "contracts",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("our_role", sa.String(32), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("reference_key", sa.String(), nullable=False),
        sa.Column("signed_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("jurisdiction", sa.String(2), nullable=False),
        sa.Column("file_sha256", sa.String(64), nullable=True),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _refers("contracts", "client_id", "clients"),
        sa.PrimaryKeyConstraint("id", name="pk_contracts"),
    )
    op.create_index("ix_contracts_client_id", "contracts", ["client_id"])
    op.create_index("ix_contracts_reference_key", "contracts", ["reference_key"])
    op.create_index(
        "uq_contracts_current",
        "contracts",
        ["client_id"],
        unique=True,
        sqlite_where=sa.text('"current"'),
        postgresql_where=sa.text('"current"'),
    )


def _create_operations() -> None:
    op.create_table(
        "operations",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("step", sa.String(64), nullable=True),
        sa.Column("progress_done", sa.Integer(), nullable=False),
        sa.Column("progress_total", sa.Integer(), nullable=False),
        sa.Column("failure_code", sa.String(64), nullable=True),
        sa.Column("failure_detail", sa.String(), nullable=True),
        sa.Column("rolled_back", JSON_OR_JSONB, nullable=False),
        sa.Column("next_step", sa.String(), nullable=True),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("parameters", JSON_OR_JSONB, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        _refers("operations", "client_id", "clients"),
        _refers("operations", "requested_by", "actors"),
        sa.PrimaryKeyConstraint("id", name="pk_operations"),
    )
    op.create_index("ix_operations_client_id_created_at", "operations", ["client_id", "created_at"])
    op.create_index("ix_operations_created_at_id", "operations", ["created_at", "id"])
    op.create_index("ix_operations_state_created_at", "operations", ["state", "created_at"])
    op.create_index(
        "uq_operations_unfinished",
        "operations",
        ["client_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('awaiting_approval', 'pending', 'running')"),
        postgresql_where=sa.text("state IN ('awaiting_approval', 'pending', 'running')"),
    )


def _create_stack_outputs() -> None:
    op.create_table(
        "stack_outputs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("client_id", sa.String(), nullable=True),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("stack", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("value", JSON_OR_JSONB, nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        _refers("stack_outputs", "client_id", "clients"),
        sa.PrimaryKeyConstraint("id", name="pk_stack_outputs"),
        sa.UniqueConstraint("project", "stack", "name", name="uq_stack_outputs_project_stack_name"),
    )
    op.create_index("ix_stack_outputs_client_id", "stack_outputs", ["client_id"])


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("body_sha256", sa.String(64), nullable=False),
        sa.Column("operation_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _refers("idempotency_keys", "actor_id", "actors"),
        _refers("idempotency_keys", "operation_id", "operations"),
        sa.PrimaryKeyConstraint("actor_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_index("ix_idempotency_keys_operation_id", "idempotency_keys", ["operation_id"])


def _create_operation_events() -> None:
    op.create_table(
        "operation_events",
        sa.Column("id", COUNTER, nullable=False),
        sa.Column("operation_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("data", JSON_OR_JSONB, nullable=False),
        _refers("operation_events", "operation_id", "operations"),
        sa.PrimaryKeyConstraint("id", name="pk_operation_events"),
        sa.UniqueConstraint(
            "operation_id", "sequence", name="uq_operation_events_operation_id_sequence"
        ),
    )


def _create_records() -> None:
    op.create_table(
        "records",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("number", sa.String(24), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("access_key_row_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("template_version", sa.String(32), nullable=False),
        sa.Column("frozen_input", JSON_OR_JSONB, nullable=False),
        sa.Column("password_form", sa.String(32), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issued_by", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=True),
        _refers("records", "access_key_row_id", "access_keys"),
        _refers("records", "client_id", "clients"),
        _refers("records", "issued_by", "actors"),
        sa.PrimaryKeyConstraint("id", name="pk_records"),
        sa.UniqueConstraint(
            "access_key_row_id", "version", name="uq_records_access_key_row_id_version"
        ),
        sa.UniqueConstraint("number", "version", name="uq_records_number_version"),
        sa.UniqueConstraint("year", "sequence", "version", name="uq_records_year_sequence_version"),
    )
    op.create_index("ix_records_client_id", "records", ["client_id"])


def _create_signers() -> None:
    op.create_table(
        "signers",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("first_name", sa.String(), nullable=True),
        sa.Column("last_name", sa.String(), nullable=True),
        sa.Column("full_name", sa.String(), nullable=True),
        sa.Column("email", sa.String(), nullable=False),
        sa.CheckConstraint(
            "(full_name IS NULL AND first_name IS NOT NULL AND last_name IS NOT NULL)"
            " OR (full_name IS NOT NULL AND first_name IS NULL AND last_name IS NULL)",
            name=op.f("ck_signers_one_form_of_name"),
        ),
        _refers("signers", "contract_id", "contracts"),
        sa.PrimaryKeyConstraint("id", name="pk_signers"),
    )
    op.create_index("ix_signers_contract_id", "signers", ["contract_id"])
