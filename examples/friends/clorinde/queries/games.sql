--! add_game
INSERT INTO games (id, title, players) VALUES (:id, :title, :players);

--! games_for
SELECT id, title, players FROM games WHERE players >= :players ORDER BY title;

--! set_players
UPDATE games SET players = :players WHERE id = :id;
