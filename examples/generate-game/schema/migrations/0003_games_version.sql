ALTER TABLE games.games ADD COLUMN IF NOT EXISTS version integer
