CREATE TABLE IF NOT EXISTS games.games (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    title text NOT NULL,
    genre text NOT NULL,
    players integer NOT NULL,
    minutes integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    caller text,
    idempotency_key text,
    requested_title text,
    UNIQUE (caller, idempotency_key)
)