// pgx: a table, a row, a conflict, with verified TLS.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log"
	"os"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

func connect(ctx context.Context) *pgx.Conn {
	config, err := pgx.ParseConfig("")
	check(err)
	pem, err := os.ReadFile(os.Getenv("PGSSLROOTCERT"))
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config.TLSConfig = &tls.Config{RootCAs: roots, ServerName: os.Getenv("PGHOST")}
	connection, err := pgx.ConnectConfig(ctx, config)
	check(err)
	return connection
}

func run(ctx context.Context, connection *pgx.Conn, sql string, arguments ...any) {
	_, err := connection.Exec(ctx, sql, arguments...)
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal("Error: ", err)
	}
}

func main() {
	ctx := context.Background()
	one, two := connect(ctx), connect(ctx)
	run(ctx, one, "CREATE TABLE notes (id int PRIMARY KEY, note text)")
	run(ctx, one, "INSERT INTO notes VALUES ($1, $2)", 1, "first")
	var note string
	check(one.QueryRow(ctx, "SELECT note FROM notes WHERE id = $1", 1).Scan(&note))
	if note != "first" {
		log.Fatal("Error: read ", note)
	}
	run(ctx, one, "BEGIN")
	run(ctx, two, "BEGIN")
	run(ctx, one, "UPDATE notes SET note = $1", "one")
	run(ctx, two, "UPDATE notes SET note = $1", "two")
	run(ctx, one, "COMMIT")
	_, err := two.Exec(ctx, "COMMIT")
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "40001" {
		log.Fatal("Error: COMMIT returned ", err, " instead of a conflict")
	}
}
