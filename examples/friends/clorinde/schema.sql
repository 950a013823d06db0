CREATE TABLE games (id uuid PRIMARY KEY, title text NOT NULL, players int4 NOT NULL);
