CREATE INDEX ASYNC IF NOT EXISTS games_newest ON games.games (created_at, id)
