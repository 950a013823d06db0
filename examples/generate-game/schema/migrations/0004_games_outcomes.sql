CREATE TABLE IF NOT EXISTS games.outcomes (
    id uuid PRIMARY KEY,
    committed boolean NOT NULL,
    at timestamptz NOT NULL
)
