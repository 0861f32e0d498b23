package sqlite

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations returns the steps of the schema in order: the n-th leads to version n.
func migrations() ([]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	steps := make([]string, len(names))
	for i, name := range names {
		sql, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps[i] = string(sql)
	}
	return steps, nil
}

// migrate brings the schema up to date, each step in a transaction of its own with the version that it leads to.
func migrate(c *conn) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	version, err := c.number(`PRAGMA user_version`)
	if err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	if version > int64(len(steps)) {
		return fmt.Errorf("the data was written by a newer version of the gateway (schema %d; this one knows up to %d)",
			version, len(steps))
	}
	for i := int(version); i < len(steps); i++ {
		if err := applyMigration(c, steps[i], i+1); err != nil {
			return fmt.Errorf("bringing the schema to version %d: %w", i+1, err)
		}
	}
	return nil
}

func applyMigration(c *conn, sql string, version int) (err error) {
	txn, err := c.BeginImmediate()
	if err != nil {
		return err
	}
	defer txn.End(&err)
	if err := c.Conn.Exec(sql); err != nil {
		return err
	}
	return c.Conn.Exec(fmt.Sprintf(`PRAGMA user_version = %d`, version))
}
