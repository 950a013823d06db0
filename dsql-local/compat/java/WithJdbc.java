import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.Properties;

/** JDBC: a table, a row, a conflict. */
class WithJdbc {
    static Connection connect() throws SQLException {
        var properties = new Properties();
        properties.setProperty("user", "admin");
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        properties.setProperty("sslmode", "verify-full");
        properties.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
        var url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/postgres";
        return DriverManager.getConnection(url, properties);
    }

    static void run(Connection connection, String sql) throws SQLException {
        try (var statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    public static void main(String[] arguments) throws SQLException {
        try (var one = connect(); var two = connect()) {
            run(one, "CREATE TABLE notes (id int PRIMARY KEY, note text)");
            try (var insert = one.prepareStatement("INSERT INTO notes VALUES (?, ?)")) {
                // The driver prepares the statement on the server at the fifth execution.
                for (int id = 1; id <= 8; id++) {
                    insert.setInt(1, id);
                    insert.setString(2, "first");
                    insert.executeUpdate();
                }
            }
            try {
                run(two, "SELECT 1 FROM notes");
            } catch (SQLException stale) {
                // OC001, once: the session cached the catalog before the table was created.
                run(two, "SELECT 1 FROM notes");
            }
            one.setAutoCommit(false);
            two.setAutoCommit(false);
            run(two, "SELECT 1 FROM notes");
            run(one, "UPDATE notes SET note = 'one' WHERE id = 1");
            try {
                try {
                    run(two, "UPDATE notes SET note = 'two' WHERE id = 1");
                } finally {
                    one.commit();
                }
                two.commit();
                throw new IllegalStateException("the second writer got no error");
            } catch (SQLException error) {
                if (!"40001".equals(error.getSQLState())) {
                    throw error;
                }
            }
        }
    }
}
